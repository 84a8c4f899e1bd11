"""One connection of HTTP mode: a stream, and what is still to be sent to it."""

from abc import abstractmethod
from typing import cast

from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.http.chunks import Chunks
from lbconsul.http.head import CHUNKED
from lbconsul.net.poller import Poller
from lbconsul.net.sockets import BareSocket
from lbconsul.net.splice import CANNOT_SPLICE, PIPE_SIZE, Pipe, Pipes
from lbconsul.net.stream import Stream

#: Bodies of which more than this is left are spliced, where both streams are sockets.
_BULK = 1 << 18

#: From this size on to copy a part of a body costs more than to look at it in place.
LARGE = 8192

#: Most bytes of one read, and hence the most that is held of one direction: a response
#: of 64 KiB, a usual size of a file's part, is passed on whole with its head.
READ_SIZE = 69632

#: A part of a body.
Part = bytes | memoryview


def part_of(data: bytes, pos: int, end: int) -> Part:
    """These bytes of `data`; a view of them if they are many."""
    if end - pos == len(data):
        return data
    return data[pos:end] if end - pos < LARGE else memoryview(data)[pos:end]


@implementer(IReadWriteDescriptor)
class HTTPSide:
    """A stream that carries HTTP messages, one after the other.

    What has no room in the socket is kept; the source of it pauses until it is sent.
    """

    __slots__ = (
        "_chunks",
        "_pipe",
        "_pipes",
        "is_full",
        "left",
        "moved",
        "poller",
        "splices",
        "stream",
        "unsent",
        "watched",
    )

    #: Finds the end of a chunked body; only while one is read.
    _chunks: Chunks

    def __init__(self, stream: Stream, poller: Poller, pipes: Pipes) -> None:
        self.stream = stream
        self.poller = poller
        self._pipes = pipes
        #: Whether splice(2) may move bytes from and to it: TLS has to see them.
        self.splices = isinstance(stream, BareSocket)
        #: Events watched; only the poller changes it.
        self.watched = 0
        #: What is still to be sent to this stream, as bytes or in a pipe; and whether
        #: there is any, so that nothing is to be read for it.
        self.unsent = b""
        self._pipe: Pipe | None = None
        self.is_full = False
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

    def send(self, data: Part) -> None:
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
            self.unsent = bytes(data[sent:])
            self._wait_to_send()

    def send_message(self, head: bytes, part: Part) -> None:
        """Send a head with the beginning of a body, which is not copied if it is large.

        :raises OSError: the peer has gone.
        """
        if self.unsent:
            self.unsent += head + part
            return
        try:
            if len(part) < LARGE or not self.splices:
                sent = self.stream.send(head + part)
            else:
                sent = cast(BareSocket, self.stream).sendmsg((head, part))
        except BlockingIOError:
            sent = 0
        left = len(head) + len(part) - sent
        if left:
            self.unsent = (
                bytes(part[-left:]) if left <= len(part) else head[sent:] + part
            )
            self._wait_to_send()

    def send_pipe(self, pipe: Pipe) -> None:
        """Send what a pipe holds, now or once there is room.

        :raises OSError: the peer has gone.
        """
        self._pipe = pipe
        if not self._drain():
            self._wait_to_send()

    def _drain(self) -> bool:
        """Send what is in the pipe; returns whether all of it was sent."""
        pipe = self._pipe
        assert pipe is not None
        try:
            pipe.drain(self.stream.fileno())
        except BlockingIOError:
            return False
        if pipe.held:
            return False
        self._pipe = None
        self._pipes.give_back(pipe)
        return True

    def _wait_to_send(self) -> None:
        self.is_full = True
        self.poller.addWriter(self)

    def doWrite(self) -> None:
        """Send what had no room.  Called by the poller."""
        if not self.is_full:
            # TLS had to write before it could read on.
            self.poller.removeWriter(self)
            self.doRead()
            return
        try:
            is_empty = self._drain() if self._pipe is not None else self._send_rest()
        except OSError as error:
            self.on_send_failed(error)
            return
        if is_empty:
            self.is_full = False
            self.poller.removeWriter(self)
            self._on_sent()

    def _send_rest(self) -> bool:
        """Send bytes that had no room; returns whether all of them were sent."""
        try:
            sent = self.stream.send(self.unsent)
        except BlockingIOError:
            return False
        self.unsent = self.unsent[sent:]
        return not self.unsent

    def _wait_to_read(self) -> None:
        """Nothing was read: TLS may have to write before it can."""
        if getattr(self.stream, "wants_write", False):
            self.poller.addWriter(self)

    def begin_body(self, length: int, *, only_data: bool = False) -> None:
        """A body of this length follows, or CHUNKED, or UNTIL_CLOSE."""
        self.left = length
        if length == CHUNKED:
            self._chunks = Chunks(only_data)

    def take_body(self, data: bytes, pos: int) -> tuple[Part, int]:
        """What is passed on of the body in `data` from `pos`, and where the body ends.

        The end is -1 if it is not over.  A large part is a view of `data`.

        :raises Refused: the body is malformed.
        """
        left = self.left
        if left >= 0:
            end, size = pos + left, len(data)
            if end <= size:
                self.left = 0
                return part_of(data, pos, end), end
            self.left = end - size
            return part_of(data, pos, size), -1
        if left != CHUNKED:
            return part_of(data, pos, len(data)), -1
        end = self._chunks.feed(data, pos)
        passed = self._chunks.replaced
        if passed is None:
            passed = data[pos:] if end < 0 else data[pos:end]
        if end >= 0:
            self.left = 0
        return passed, end

    def take_pipe(self, target: "HTTPSide") -> Pipe | None:
        """A pipe filled with more of the body, if that is to be spliced to `target`.

        None: it is to be read instead.

        :raises BlockingIOError: nothing has come.
        :raises OSError: the peer has gone.
        :raises EOFError: it has ended.
        """
        if self.left <= _BULK or not (self.splices and target.splices):
            return None
        pipe = self._pipes.lend()
        if pipe is None:
            return None
        try:
            # The last part is read, so that the end of a body is found in one place.
            most = min(self.left - READ_SIZE, PIPE_SIZE)
            count = pipe.fill(self.stream.fileno(), most)
        except BlockingIOError:
            self._pipes.give_back(pipe)
            raise
        except OSError as error:
            self._pipes.give_back(pipe)
            if error.errno not in CANNOT_SPLICE:
                raise
            self.splices = False
            return None
        if not count:
            self._pipes.give_back(pipe)
            raise EOFError
        self.left -= count
        self.moved += count
        return pipe

    def on_send_failed(self, error: OSError) -> None:
        """The peer takes no more, or is gone."""
        self._on_lost()

    def _discard_unsent(self) -> None:
        self.unsent, self.is_full = b"", False
        if self._pipe is not None:
            self._pipes.give_back(self._pipe)
            self._pipe = None

    def drop(self) -> None:
        """Stop watching and close the stream; what is unsent is lost."""
        if self.is_full or self._pipe is not None:
            self._discard_unsent()
        self.poller.forget(self)
        self.stream.close()

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
