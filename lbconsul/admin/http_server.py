"""Connections and requests of HTTP, within bounds of number, size and time."""

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
)
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request
from zope.interface import implementer

from lbconsul.admin.connections import Connections, client_of
from lbconsul.admin.turns import PROMPT_SHARE, PROMPT_SLICE, Turns

#: So many connections at a time, and so many of one address that is not ours.
MOST_CONNECTIONS, MOST_OF_ONE = 256, 32

#: No request has more to say than some headers, in bytes.
MOST_BODY = 1 << 14

#: A length of more digits is absurd, and to some of Python's functions an error.
_MOST_DIGITS = 16

#: How long a request may take to come, from the connection or its first byte on; how
#: long its answer may take to be read; and how long a connection may be silent
#: between two of them.  In seconds.
ASKING, ANSWERING, IDLE = 10.0, 60.0, 60.0

_REFUSAL = b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_BODY_TOO_LARGE = _REFUSAL % b"413 Content Too Large"
_LINE_TOO_LONG = _REFUSAL % b"431 Request Header Fields Too Large"
_BAD = _REFUSAL % b"400 Bad Request"


class AdminRequest(Request):
    """A request, answered by its factory's `answer` some time after it has come.

    Its body is of no interest, and neither parsed nor kept.
    """

    channel: "Channel"
    query = b""
    _size = 0

    def gotLength(self, length: int | None) -> None:
        """Called when the headers have come; without a length it comes in chunks."""
        # What we are told is not what we reserve memory by.
        super().gotLength(0)
        if length is not None and length > MOST_BODY:
            self._grow(length)

    def parseCookies(self) -> None:
        """There are none of ours."""

    def handleContentChunk(self, data: bytes) -> None:
        """Called with a part of the body."""
        self._grow(len(data))

    def _grow(self, size: int) -> None:
        """The body is larger by so much; if it is too large the client is cut off."""
        was_fine = self._size <= MOST_BODY
        self._size += size
        if was_fine and self._size > MOST_BODY:
            self.channel.refuse(_BODY_TOO_LARGE)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Called when all of it has come."""
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, self.query = path.partition(b"?")
        if self._size <= MOST_BODY:
            self.channel.received(self)


@implementer(IHalfCloseableProtocol)
class Channel(HTTPChannel):
    """A connection to the admin listener, which has a deadline at any time.

    Requests are answered when it is their turn, one of a connection at a time, and
    none before the client has read most of the last answer.
    """

    requestFactory = AdminRequest
    timeOut = None  # twisted's begins anew with each byte
    factory: "AdminFactory"
    _deadline: IDelayedCall | None = None
    #: The request that is to be answered; whether one is, or is just being.
    _request: AdminRequest | None = None
    _is_busy = False
    #: Whether a part of a request has come.
    _is_asking = False
    #: Whether the client takes no more for now, and whether it has said all.
    _is_clogged = False
    _is_half_closed = False
    #: Whether its answer goes on without an end.
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
        """Called with a header; whether to go on."""
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip()) > _MOST_DIGITS:
            self.refuse(_BODY_TOO_LARGE)
            return False
        return bool(super().headerReceived(line))

    def lineLengthExceeded(self, line: bytes) -> None:
        """No path and no header is that long."""
        self.refuse(_LINE_TOO_LONG)

    def refuse(self, answer: bytes) -> None:
        """Say this to what is no request, and nothing else."""
        self.write(answer)
        self.loseConnection()

    def received(self, request: AdminRequest) -> None:
        """A request has come as a whole."""
        self._is_busy, self._is_asking = True, False
        self._request = request
        self.factory.connections.asked(self)
        self._end_within(ANSWERING)
        self._answer_in_turn()

    def endless(self) -> None:
        """The answer has no end, and sees itself to it that its reader is there."""
        self._is_endless = True
        self._end_within(None)

    def requestDone(self, request: Request) -> None:
        """Called when the answer is written."""
        self._is_busy = False
        self.factory.connections.answered(self)
        super().requestDone(request)

    def setLineMode(self, extra: bytes = b"") -> Any:
        """Called when the next request may come, or this part of it has."""
        self._is_asking = bool(extra)
        self._end_within(ASKING if extra else IDLE)
        result = super().setLineMode(extra)
        if self._is_half_closed and not self._is_busy:
            self.loseConnection()
        return result

    def pauseProducing(self) -> None:
        """The client takes no more for now."""
        self._is_clogged = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """It does, again."""
        self._is_clogged = False
        super().resumeProducing()
        self._answer_in_turn()

    def readConnectionLost(self) -> None:
        """The client has said all; but it may wait for an answer."""
        self._is_half_closed = True
        if self._is_endless:
            self.cut()  # it is most likely gone
        elif not self._is_busy:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """We never end our direction alone."""

    def cut(self) -> None:
        """End it, whatever was to come yet."""
        cast(ITCPTransport, self.transport).abortConnection()

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
        """Cut it after so long, unless this is called again before."""
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()
        if seconds is not None:
            self._deadline = self.factory.clock.callLater(seconds, self.cut)


def cut(request: Request) -> None:
    """End the connection of a request, unless it is over."""
    if request.channel is not None:
        cast(Channel, request.channel).cut()


@define(eq=False)
class AdminFactory(ServerFactory[Any]):
    """Has requests answered."""

    noisy = False
    _log = Logger()
    clock: IReactorTime
    answer: Callable[[AdminRequest], None]
    #: Whether one more line of a kind may be written to the log.
    lets: Callable[[str], bool] = lambda kind: True
    connections: Connections[Channel] = Factory(
        lambda: Connections(MOST_CONNECTIONS, MOST_OF_ONE)
    )
    #: In which requests are answered.
    turns: Turns = Factory(
        lambda self: Turns(self.clock, PROMPT_SLICE, PROMPT_SHARE), takes_self=True
    )
    _ended: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """Called for each connection."""
        client = client_of(getattr(addr, "host", None))
        has_room, gone = self.connections.room(client)
        if self._ended is not None or not has_room:
            return None
        if gone is not None:
            self._drop(gone)
        channel: Any = Channel()
        channel.factory = self
        self.connections.add(channel, client)
        return cast(Protocol, channel)

    def make_room(self) -> None:
        """End the connection that has been without a request for longest."""
        gone = self.connections.longest_waiting
        if gone is not None:
            self._drop(gone)

    def _drop(self, channel: Channel) -> None:
        self.connections.discard(channel)
        channel.cut()

    def log(self, request: Request) -> None:
        """Called at the end of each request: there is no access log."""

    def failed(self, what: str, failure: Failure | None = None) -> None:
        """A bug of ours cost a client its answer."""
        if self.lets(what):
            self._log.failure("a bug in lbconsul: {what}", failure, what=what)

    def cut_all(self) -> Deferred[None]:
        """End all connections; fires when they are gone."""
        ended = self._ended = Deferred()
        for channel in self.connections:
            channel.cut()
        self._tell_if_empty()
        return ended

    def lost(self, channel: Channel) -> None:
        """A connection is over."""
        self.connections.discard(channel)
        self._tell_if_empty()

    def _tell_if_empty(self) -> None:
        ended = self._ended
        if ended is not None and not self.connections and not ended.called:
            ended.callback(None)
