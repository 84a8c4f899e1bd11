"""The admin listener's HTTP server, with limits of number, size and time."""

from collections.abc import Callable, Iterator
from typing import Any, cast

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IReactorTime,
    ITCPTransport,
    IWriteDescriptor,
)
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request
from zope.interface import implementer

from lbconsul.admin.connections import Connections, client_of
from lbconsul.admin.turns import PROMPT_SHARE, PROMPT_SLICE, Turns

#: The most connections at a time, in all and of one client that is not on loopback.
MOST_CONNECTIONS, MOST_OF_ONE = 256, 32

#: The longest request body, in bytes: bodies are accepted, but not used.
MOST_BODY = 1 << 14

#: The most digits of a Content-Length: Python's `int` raises for very long ones.
_MOST_DIGITS = 16

#: Timeouts, in seconds: for a request to arrive, from the accept or its first byte on;
#: for the client to read its answer; and of an idle connection between two requests.
ASKING, ANSWERING, IDLE = 10.0, 60.0, 60.0

_REFUSAL = b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_BODY_TOO_LARGE = _REFUSAL % b"413 Content Too Large"
_LINE_TOO_LONG = _REFUSAL % b"431 Request Header Fields Too Large"
_BAD = _REFUSAL % b"400 Bad Request"


class AdminRequest(Request):
    """A request, answered by its factory's `answer` when its turn comes.

    Its body is discarded unparsed, up to `MOST_BODY` bytes.
    """

    channel: "Channel"
    query = b""
    _size = 0

    def gotLength(self, length: int | None) -> None:
        """Called after the headers; `length` is None for a chunked body."""
        # Twisted would choose its buffer by the client's Content-Length.
        super().gotLength(0)
        if length is not None and length > MOST_BODY:
            self._grow(length)

    def parseCookies(self) -> None:
        """Skip Twisted's parsing: the admin listener uses no cookies."""

    def handleContentChunk(self, data: bytes) -> None:
        """Called with a chunk of the body."""
        self._grow(len(data))

    def _grow(self, size: int) -> None:
        """Count `size` more bytes of the body; answer 413 and close at the limit."""
        was_fine = self._size <= MOST_BODY
        self._size += size
        if was_fine and self._size > MOST_BODY:
            self.channel.refuse(_BODY_TOO_LARGE)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Called when the whole request has arrived."""
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, self.query = path.partition(b"?")
        if self._size <= MOST_BODY:
            self.channel.received(self)


@implementer(IHalfCloseableProtocol)
class Channel(HTTPChannel):
    """A connection to the admin listener, always with a deadline but while it streams.

    Requests of one connection are answered one at a time, in turn with those of
    others, and none before the client has read most of the last answer.
    """

    requestFactory = AdminRequest
    timeOut = None  # Twisted's timeout restarts with each byte
    factory: "AdminFactory"
    _deadline: IDelayedCall | None = None
    #: The request that waits for its turn; and whether one waits or is being answered.
    _request: AdminRequest | None = None
    _is_busy = False
    #: Whether a part of a request has arrived.
    _is_asking = False
    #: Whether the write buffer is full, and whether the client half-closed.
    _is_clogged = False
    _is_half_closed = False
    #: Whether the present answer is a stream without an end.
    _is_endless = False

    def connectionMade(self) -> None:
        super().connectionMade()
        self._is_asking = True
        self._end_within(ASKING)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._end_within(None)
        self._request = None
        super().connectionLost(reason)
        self.factory.lost(self)

    def dataReceived(self, data: bytes) -> None:
        if not (self._is_asking or self._is_busy):
            self._is_asking = True
            self._end_within(ASKING)
        try:
            super().dataReceived(data)
        except Exception:
            self.factory.failed("a request could not be read")
            self.refuse(_BAD)

    def headerReceived(self, line: bytes) -> bool:
        """Called with a header line; returns whether to go on parsing."""
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip()) > _MOST_DIGITS:
            self.refuse(_BODY_TOO_LARGE)
            return False
        return bool(super().headerReceived(line))

    def lineLengthExceeded(self, line: bytes) -> None:
        """Called if the request line or a header is too long: answer 431."""
        self.refuse(_LINE_TOO_LONG)

    def refuse(self, answer: bytes) -> None:
        """Answer a malformed request with these bytes, and close."""
        self.write(answer)
        self.loseConnection()

    def received(self, request: AdminRequest) -> None:
        """Called by a request that has arrived: it waits for its turn."""
        self._is_busy, self._is_asking = True, False
        self._request = request
        self.factory.connections.asked(self)
        self._end_within(ANSWERING)
        self._answer_in_turn()

    def endless(self) -> None:
        """Drop the deadline: the answer is a stream, which detects a dead client."""
        self._is_endless = True
        self._end_within(None)

    def requestDone(self, request: Request) -> None:
        """Called when the answer has been written."""
        self._is_busy = False
        self.factory.connections.answered(self)
        super().requestDone(request)

    def setLineMode(self, extra: bytes = b"") -> Any:
        """Called when the next request may arrive; `extra` is its first part."""
        self._is_asking = bool(extra)
        self._end_within(ASKING if extra else IDLE)
        result = super().setLineMode(extra)
        if self._is_half_closed and not self._is_busy:
            self.loseConnection()
        return result

    def pauseProducing(self) -> None:
        """Called by the transport: its write buffer is full."""
        self._is_clogged = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """Called by the transport: its write buffer has room again."""
        self._is_clogged = False
        super().resumeProducing()
        self._answer_in_turn()

    def readConnectionLost(self) -> None:
        """Called when the client half-closes; it may still wait for an answer."""
        self._is_half_closed = True
        if self._is_endless:
            self.cut()  # the client is most likely gone
        elif not self._is_busy:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """Not used: the server never half-closes."""

    def cut(self) -> None:
        """Abort the connection."""
        cast(ITCPTransport, self.transport).abortConnection()

    def send_and_cut(self) -> None:
        """Abort the connection, after as much of an answer as the socket takes.

        An order to drain may end the gateway at once, and yet has an answer.
        """
        cast(IWriteDescriptor, self.transport).doWrite()
        self.cut()

    def _answer_in_turn(self) -> None:
        if self._request is not None and not self._is_clogged:
            self.factory.turns.take_part(self._answer(), self._not_answered)

    def _answer(self) -> Iterator[None]:
        request, self._request = self._request, None
        if request is not None:
            self.factory.answer(request)
        yield

    def _not_answered(self, failure: Failure) -> None:
        self.factory.failed("a request could not be answered", failure)
        self.cut()

    def _end_within(self, seconds: float | None) -> None:
        """Set the deadline, replacing the last one; None for no deadline."""
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()
        if seconds is not None:
            self._deadline = self.factory.clock.callLater(seconds, self.cut)


def cut(request: Request) -> None:
    """Abort the connection of a request, unless it is closed already."""
    if request.channel is not None:
        cast(Channel, request.channel).cut()


@define(eq=False)
class AdminFactory(ServerFactory):
    """Accepts admin connections within the limits, and passes requests to `answer`."""

    noisy = False
    _log = Logger()
    clock: IReactorTime
    answer: Callable[[AdminRequest], None]
    #: Rate limit of the log: whether a line of this kind may be written.
    allow: Callable[[str], bool] = lambda kind: True
    connections: Connections[Channel] = Factory(
        lambda: Connections(MOST_CONNECTIONS, MOST_OF_ONE)
    )
    #: Schedules the answers.
    turns: Turns = Factory(
        lambda self: Turns(self.clock, PROMPT_SLICE, PROMPT_SHARE), takes_self=True
    )
    #: Makes a connection; one over TLS is another one.
    new_channel: Callable[[], Channel] = Channel
    _ended: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """Called for each connection; None closes it: too many, or shutting down."""
        client = client_of(getattr(addr, "host", None))
        has_room, gone = self.connections.room(client)
        if self._ended is not None or not has_room:
            return None
        if gone is not None:
            self._drop(gone)
        channel: Any = self.new_channel()
        channel.factory = self
        self.connections.add(channel, client)
        return cast(Protocol, channel)

    def make_room(self) -> None:
        """Abort the connection that has been idle for longest."""
        gone = self.connections.longest_waiting
        if gone is not None:
            self._drop(gone)

    def _drop(self, channel: Channel) -> None:
        self.connections.discard(channel)
        channel.cut()

    def log(self, request: Request) -> None:
        """Called by Twisted at the end of each request: there is no access log."""

    def failed(self, what: str, failure: Failure | None = None) -> None:
        """Log a bug in lbconsul because of which a request was not answered."""
        if self.allow(what):
            self._log.failure("a bug in lbconsul: {what}", failure, what=what)

    def handshake_failed(self, channel: Channel, why: str) -> None:
        """Log why there is no TLS with a client."""
        if self.allow("failed TLS handshakes"):
            host = getattr(channel.getPeer(), "host", "a client")
            self._log.warn(
                "admin: no TLS with {client}: {why}", client=str(host), why=why
            )

    def cut_all(self) -> Deferred[None]:
        """Close all connections and accept no more; fires when all are closed."""
        ended = self._ended = Deferred()
        for channel in self.connections:
            channel.send_and_cut()
        self._tell_if_empty()
        return ended

    def lost(self, channel: Channel) -> None:
        """Called by a connection that is closed."""
        self.connections.discard(channel)
        self._tell_if_empty()

    def _tell_if_empty(self) -> None:
        ended = self._ended
        if ended is not None and not self.connections and not ended.called:
            ended.callback(None)
