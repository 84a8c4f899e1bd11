"""Errors of TLS streams.  Pure: modules that only catch them need no OpenSSL."""


class TLSError(ConnectionError):
    """TLS ended in an error: OpenSSL's reason, such as the alert that was received."""


class Truncated(TLSError):
    """The peer ended TCP without close_notify: what it sent may have been cut."""
