"""Where the log goes, written without ever holding the reactor.

Lines wait in a bounded buffer (`writer`); a thread writes them to a descriptor, to
syslog (`targets`) or to a file that is rotated (`log_file`); `setup` chooses.
"""
