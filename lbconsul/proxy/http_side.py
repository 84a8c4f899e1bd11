"""One connection of HTTP mode: a stream, and what is still to be sent to it."""

from abc import abstractmethod

from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.http.chunks import Chunks
from lbconsul.http.head import CHUNKED
from lbconsul.net.poller import Poller
from lbconsul.net.stream import Stream

#: Most bytes of one read, and hence the most that is held of one direction.
READ_SIZE = 61440


@implementer(IReadWriteDescriptor)
class HTTPSide:
    """A stream that carries HTTP messages, one after the other.

    What has no room in the socket is kept; the source of it pauses until it is sent.
    """

    __slots__ = ("_chunks", "left", "moved", "poller", "stream", "unsent", "watched")

    #: Finds the end of a chunked body; only while one is read.
    _chunks: Chunks

    def __init__(self, stream: Stream, poller: Poller) -> None:
        self.stream = stream
        self.poller = poller
        #: Events watched; only the poller changes it.
        self.watched = 0
        #: What is still to be sent to this stream.
        self.unsent = b""
        #: Bytes read from this stream.
        self.moved = 0
        #: Bytes left of the body that is being read, or CHUNKED, or UNTIL_CLOSE.
        self.left = 0

    def fileno(self) -> int:
        """The stream's descriptor, for a reactor."""
        return self.stream.fileno()

    def logPrefix(self) -> str:
        """The prefix of log lines, for the reactor."""
        return "http"

    def send(self, data: bytes) -> None:
        """Send, now or once there is room.

        :raises OSError: the peer has gone.
        """
        if self.unsent:
            self.unsent += data
            return
        try:
            sent = self.stream.send(data)
        except BlockingIOError:
            sent = 0
        if sent != len(data):
            self.unsent = data[sent:]
            self.poller.addWriter(self)

    def doWrite(self) -> None:
        """Send what had no room.  Called by the poller."""
        if not self.unsent:
            # TLS had to write before it could read on.
            self.poller.removeWriter(self)
            self.doRead()
            return
        try:
            sent = self.stream.send(self.unsent)
        except BlockingIOError:
            return
        except OSError:
            self._on_lost()
            return
        self.unsent = self.unsent[sent:]
        if not self.unsent:
            self.poller.removeWriter(self)
            self._on_sent()

    def _wait_to_read(self) -> None:
        """Nothing was read: TLS may have to write before it can."""
        if getattr(self.stream, "wants_write", False):
            self.poller.addWriter(self)

    def begin_body(self, length: int, *, only_data: bool = False) -> None:
        """A body of this length follows, or CHUNKED, or UNTIL_CLOSE."""
        self.left = length
        if length == CHUNKED:
            self._chunks = Chunks(only_data)

    def take_body(self, data: bytes, pos: int) -> tuple[bytes, int]:
        """What is passed on of the body in `data` from `pos`, and where the body ends.

        The end is -1 if it is not over.

        :raises Refused: the body is malformed.
        """
        left = self.left
        if left >= 0:
            end, size = pos + left, len(data)
            if end <= size:
                self.left = 0
                return data[pos:end], end
            self.left = end - size
            return data[pos:] if pos else data, -1
        if left != CHUNKED:
            return data[pos:] if pos else data, -1
        end = self._chunks.feed(data, pos)
        passed = self._chunks.replaced
        if passed is None:
            passed = data[pos:] if end < 0 else data[pos:end]
        if end >= 0:
            self.left = 0
        return passed, end

    def pause(self) -> None:
        """Read no more until `resume`."""
        self.poller.removeReader(self)

    def resume(self) -> None:
        """Read on."""
        self.poller.addReader(self)

    @abstractmethod
    def doRead(self) -> None:
        """Read what has arrived.  Called by the poller."""

    @abstractmethod
    def _on_sent(self) -> None:
        """All that had no room is sent."""

    @abstractmethod
    def _on_lost(self) -> None:
        """The peer sent a reset, or is gone."""

    @abstractmethod
    def connectionLost(self, reason: Failure) -> None:
        """The stream failed, a callback raised, or the reactor stopped."""
