"""The field Date.  Pure."""

from collections.abc import Callable
from email.utils import formatdate


class DateLine:
    """The line that says when an answer was made, or came (RFC 9110, 6.6.1).

    `now` returns the time in seconds since the epoch.
    """

    __slots__ = ("_line", "_now", "_second")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second, self._line = -1, b""

    def line(self) -> bytes:
        """The line with its end, formatted once a second at most."""
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._line = b"Date: %b\r\n" % formatdate(second, usegmt=True).encode()
        return self._line
