"""Connections and requests of HTTP, within bounds."""

from collections.abc import Callable
from typing import Any, cast

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request

#: So many connections at a time; what comes beyond is closed at once.
MOST_CONNECTIONS = 256

#: No request has more to say than some headers, in bytes.
MOST_BODY = 1 << 14

#: How long a connection may be silent while it is its turn to ask, in seconds.
IDLE = 60

_REFUSAL = b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_BODY_TOO_LARGE = _REFUSAL % b"413 Content Too Large"
_LINE_TOO_LONG = _REFUSAL % b"431 Request Header Fields Too Large"


class AdminRequest(Request):
    """A request, answered by its factory's `answer` once all of it has come."""

    _size = 0

    def gotLength(self, length: int | None) -> None:
        """Called when the headers have come; without a length it comes in chunks."""
        # What we are told is not what we reserve memory by.
        super().gotLength(0)
        if length is not None and length > MOST_BODY:
            self._grow(length)

    def handleContentChunk(self, data: bytes) -> None:
        """Called with a part of the body."""
        if self._grow(len(data)):
            super().handleContentChunk(data)

    def _grow(self, size: int) -> bool:
        """Whether so much more may come; else the client is told, and cut off."""
        was_fine = self._size <= MOST_BODY
        self._size += size
        if was_fine and self._size > MOST_BODY:
            self.channel.write(_BODY_TOO_LARGE)
            self.channel.loseConnection()
        return self._size <= MOST_BODY

    def process(self) -> None:
        """Called when all of it has come."""
        if self._size <= MOST_BODY:
            self.channel.factory.answer(self)


class Channel(HTTPChannel):
    """A connection to the admin listener."""

    requestFactory = AdminRequest
    timeOut = IDLE
    factory: "AdminFactory"

    def connectionMade(self) -> None:
        super().connectionMade()
        self.factory.channels.add(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        super().connectionLost(reason)
        self.factory.lost(self)

    def lineLengthExceeded(self, line: bytes) -> None:
        """No path and no header is that long."""
        self.write(_LINE_TOO_LONG)
        self.loseConnection()

    def timeoutConnection(self) -> None:
        """It was silent for too long, which nobody needs to be told."""
        self.cut()

    def cut(self) -> None:
        """End it, whatever was to come yet."""
        cast(ITCPTransport, self.transport).abortConnection()


def cut(request: Request) -> None:
    """End the connection of a request, unless it is over."""
    if request.channel is not None:
        cast(Channel, request.channel).cut()


@define(eq=False)
class AdminFactory(ServerFactory[Any]):
    """Has requests answered."""

    noisy = False
    _reactor: IReactorTime
    answer: Callable[[AdminRequest], None]
    channels: set[Channel] = Factory(set)
    _ended: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """Called for each connection."""
        if len(self.channels) >= MOST_CONNECTIONS or self._ended is not None:
            return None
        channel: Any = Channel()
        channel.factory = self
        channel.callLater = self._reactor.callLater
        return cast(Protocol, channel)

    def log(self, request: Request) -> None:
        """Called at the end of each request: there is no access log."""

    def cut_all(self) -> Deferred[None]:
        """End all connections; fires when they are gone."""
        ended = self._ended = Deferred()
        for channel in list(self.channels):
            channel.cut()
        self._tell_if_empty()
        return ended

    def lost(self, channel: Channel) -> None:
        """A connection is over."""
        self.channels.discard(channel)
        self._tell_if_empty()

    def _tell_if_empty(self) -> None:
        ended = self._ended
        if ended is not None and not self.channels and not ended.called:
            ended.callback(None)
