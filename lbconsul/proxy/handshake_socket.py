"""A client's socket whose first bytes are peeked at before they are read."""

import socket
from abc import ABC, abstractmethod

from lbconsul.net.poller import Poller
from lbconsul.net.sockets import BareSocket, await_bytes, has_ended, unread


class HandshakeSocket(ABC):
    """Peeks at what a client sends and leaves it in the kernel; the poller watches it.

    Bytes that are too few stay there as well: the socket then counts as readable only
    once there are more, or the poller would report it in each turn.
    """

    __slots__ = ("_is_polled", "_peeked", "_poller", "stream", "watched")

    def __init__(self, client: BareSocket, poller: Poller) -> None:
        self._poller = poller
        #: What the poller watches.
        self.stream = client
        #: Events watched; only the poller changes it.
        self.watched = 0
        #: Whether the poller has been asked to watch it.
        self._is_polled = False
        #: How many bytes there were when they were last too few.
        self._peeked = 0

    @abstractmethod
    def doRead(self) -> None:
        """Look again.  Called by the poller."""

    @abstractmethod
    def _on_left(self) -> None:
        """The client has ended its direction, or is gone, before it sent enough."""

    def fileno(self) -> int:
        """The socket's descriptor, for a reactor."""
        return self.stream.fileno()

    def logPrefix(self) -> str:
        """The prefix of log lines, for the reactor."""
        return "handshake"

    def _peek(self, most: int) -> bytes:
        """Up to `most` bytes, which stay unread.

        If there are none it waits for them, or calls `_on_left` if none can come.
        """
        data = b""
        try:
            data = self.stream.recv(most, socket.MSG_PEEK)
        except BlockingIOError:
            self._poll_reading()
            return data
        except OSError:
            pass
        if not data:
            self._on_left()
        return data

    def _await_more(self, count: int) -> None:
        """Wait for more than the `count` bytes that are there."""
        is_stuck, self._peeked = count == self._peeked, count
        if has_ended(self.stream) and unread(self.stream) == count:
            self._on_left()
        elif self._is_tcp and not is_stuck:
            await_bytes(self.stream, count + 1)
            self._poll_reading()
        else:
            self._stop_polling()  # until `_look_again`

    def _look_again(self) -> None:
        """Look for more where the poller cannot say that it is there."""
        if self._peeked and not self._is_polled:
            self.doRead()

    def _read(self, count: int) -> None:
        """Take bytes off that are there, and wait for any number again."""
        self._await_any()
        self.stream.recv(count)

    def _await_any(self) -> None:
        if self._peeked and self._is_tcp:
            await_bytes(self.stream, 1)
        self._peeked = 0

    @property
    def _is_tcp(self) -> bool:
        return self.stream.family != socket.AF_UNIX

    def _poll_reading(self) -> None:
        self._is_polled = True
        self._poller.addReader(self)

    def _poll_writing(self) -> None:
        self._is_polled = True
        self._poller.addWriter(self)

    def _stop_polling(self) -> None:
        if self._is_polled:
            self._is_polled = False
            self._poller.unwatch(self)
