"""Formats and writes the log without ever holding up the reactor.

Lines wait in a bounded buffer (`writer`); a thread writes them to a descriptor, to
syslog (`targets`) or to a file that is rotated (`log_file`); `setup` chooses.
"""
