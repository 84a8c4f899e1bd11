"""What a relay needs of a byte stream."""

from typing import Protocol


class Stream(Protocol):
    """A connected, non-blocking byte stream with a descriptor to poll.

    A `socket.socket` is one.  Methods behave as those of a socket: they raise
    `BlockingIOError` if they would block, and another `OSError` once the stream is
    broken.
    """

    def fileno(self) -> int:
        """The descriptor that says when the stream can be read and written."""

    def recv_into(self, buffer: bytearray, /) -> int:
        """Read into `buffer`; returns the number of bytes, 0 at the peer's end."""

    def recv(self, size: int, /) -> bytes:
        """Read up to `size` bytes; nothing at the peer's end."""

    def send(self, data: bytes | memoryview, /) -> int:
        """Send the beginning of `data`; returns how many bytes."""

    def shutdown(self, how: int, /) -> None:
        """End the own direction, with `socket.SHUT_WR`."""

    def getsockopt(self, level: int, option: int, /) -> int:
        """An option of the socket below, such as its pending error."""

    def setsockopt(self, level: int, option: int, value: bytes, /) -> None:
        """Set an option of the socket below, such as how it closes."""

    def close(self) -> None:
        """Close the stream, and its descriptor."""
