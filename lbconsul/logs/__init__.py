"""Formats and writes the log without blocking the reactor.

Lines wait in a bounded buffer (`writer`); a thread writes them to a descriptor, to
syslog (`targets`) or to a rotated file (`log_file`); `setup` chooses by the options.
"""
