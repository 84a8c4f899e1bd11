"""treq with limits: a server in Consul's place cannot exhaust memory or time."""

from http.cookiejar import DefaultCookiePolicy

from attrs import define, frozen
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from lbconsul.errors import UnusableAnswer

#: After FEW_PIECES pieces of a body, a piece must have LEAST_PIECE bytes on average:
#: 64 MiB in chunks of one byte would take minutes of processor time.
FEW_PIECES = 1_000
LEAST_PIECE = 64


def bounded_http(agent: IAgent) -> HTTPClient:
    """treq's client over `agent`, without decompression and without cookies."""
    no_cookies = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return HTTPClient(_Unpacked(agent), no_cookies)


#: The header under which `_Unpacked` passes Content-Encoding on.
PACKED = "X-Lbconsul-Content-Encoding"


@implementer(IAgent)
@define
class _Unpacked:
    """An agent whose answers treq does not decompress.

    treq asks for gzip, and decompresses an answer once for each encoding that its
    header names, to any size.  This agent asks for no encoding, and hides the header.
    """

    _agent: IAgent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803
    ) -> Deferred[IResponse]:
        """treq sends a request: ask for an answer without compression."""
        headers = Headers() if headers is None else headers.copy()
        headers.setRawHeaders("Accept-Encoding", ["identity"])
        asked = self._agent.request(method, uri, headers, bodyProducer)
        return asked.addCallback(_hide_packing)


def _hide_packing(response: IResponse) -> IResponse:
    encodings = response.headers.getRawHeaders("Content-Encoding")
    if encodings is not None:
        response.headers.removeHeader("Content-Encoding")
        response.headers.setRawHeaders(PACKED, [", ".join(encodings)])
    return response


@implementer(IBodyProducer)
@frozen
class Whole:
    """The body of a request, written at once.

    treq's own producers use Twisted's global reactor.
    """

    _data: bytes

    @property
    def length(self) -> int:
        """Its length in bytes: the Content-Length."""
        return len(self._data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:  # noqa: N802
        """Called by Twisted's client: write it."""
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """It is written already."""

    def resumeProducing(self) -> None:
        """It is written already."""

    def stopProducing(self) -> None:
        """It is written already."""


class Body(Protocol):
    """Collects the body of one response; cancelling `whole` closes the connection.

    Twisted's `readBody` leaves the socket open when it is cancelled.  With `excerpt`
    the received part counts as the body when the rest fails or exceeds `limit`.
    """

    def __init__(self, limit: int, *, excerpt: bool = False) -> None:
        self._limit = limit
        self._excerpt = excerpt
        self._pieces = 0
        self._data = bytearray()
        self.whole: Deferred[bytes] = Deferred(lambda _: self._hang_up())

    def dataReceived(self, data: bytes) -> None:
        if self.whole.called:
            return
        self._data += data
        self._pieces += 1
        size = len(self._data)
        if size > self._limit:
            self._give_up(f"the answer is longer than {self._limit} bytes")
        elif self._pieces > FEW_PIECES and size < self._pieces * LEAST_PIECE:
            self._give_up(f"the answer comes in {self._pieces} pieces of a few bytes")

    def _give_up(self, why: str) -> None:
        self._hang_up()
        if self._excerpt:
            self.whole.callback(bytes(self._data))
        else:
            self.whole.errback(UnusableAnswer(why))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        # A body without a length ends with the connection (PotentialDataLoss); the
        # parser finds out whether it is complete.
        if self._excerpt or reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(bytes(self._data))
        else:
            self.whole.errback(reason)

    def _hang_up(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()
