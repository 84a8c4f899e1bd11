"""One question to Consul over treq, with one deadline round headers and body."""

from urllib.parse import quote

from attrs import Factory, define, frozen
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    HostnameEndpoint,
    UNIXClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from lbconsul.balance.selection import Question
from lbconsul.config.model import ConsulAddress, ConsulConfig
from lbconsul.consul.tls import https_policy
from lbconsul.consul.token import Token
from lbconsul.errors import Forbidden, UnusableAnswer

#: How long one blocking query may wait, in seconds.  Consul's own default is
#: five minutes and its cap ten; a minute notices a dead agent soon enough.
WAIT = 60.0

#: Past it the connection is dropped: Consul adds up to a sixteenth of the wait
#: to it, and the answer needs some time to travel.  In seconds.
DEADLINE = WAIT + WAIT / 16 + 15.0

#: How long to wait for a connection to Consul, in seconds.
CONNECT_TIMEOUT = 5.0

#: How many connections to Consul are kept.  One watch holds one, and Twisted
#: would keep two; an agent allows 200 a client (``http_max_conns_per_client``).
MAX_CONNECTIONS = 200

#: The most that one answer may hold, in bytes: some 50,000 instances.
BODY_LIMIT = 64 * 1024 * 1024


@frozen
class Reply:
    """A whole 200 from Consul: its body, and what its headers say."""

    body: bytes
    #: ``X-Consul-Index``, as it stands.
    index: str | None = None
    #: Seconds since the server that answered last heard from the leader.
    last_contact: float = 0.0
    #: Whether ACLs hid something (Consul 1.11 and newer say so).
    filtered: bool = False


@define(eq=False)
class ConsulClient:
    """Asks Consul, at one of several addresses."""

    _clock: IReactorTime
    _sites: tuple[tuple[str, HTTPClient], ...]
    _token: Token = Factory(Token)
    _namespace: str = ""

    @property
    def addresses(self) -> int:
        """How many addresses there are to ask at."""
        return len(self._sites)

    def where(self, address: int) -> str:
        """The URL of the address with this number."""
        return self._sites[address][0]

    def ask(
        self, question: Question, index: int, address: int, *, stale: bool = True
    ) -> Deferred[Reply]:
        """Ask for the instances of a service, and block past `index` unless it is 0.

        Fails with `UnusableAnswer` for anything but a whole 200, with what
        treq and Twisted raise when there is no answer, and with `TimeoutError`
        after `DEADLINE` seconds.  Cancelling it hangs up.
        """
        asked = Deferred.fromCoroutine(self._ask(question, index, address, stale))
        return asked.addTimeout(DEADLINE, self._clock)

    async def _ask(
        self, question: Question, index: int, address: int, stale: bool
    ) -> Reply:
        base, http = self._sites[address]
        params = {"dc": question.datacenter, "ns": self._namespace}
        params |= {"filter": question.filter, "near": question.near}
        params = {key: value for key, value in params.items() if value}
        if stale:
            params["stale"] = ""
        if index:
            params |= {"index": str(index), "wait": f"{WAIT:.0f}s"}
        token = self._token.value()
        headers = Headers({"X-Consul-Token": [token]} if token else {})
        response = await http.get(
            f"{base}/v1/health/service/{quote(question.service, safe='')}",
            params=params,
            headers=headers,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._clock,  # type: ignore[arg-type]  # sets no timeout
        )
        # What explains an error is short; a long one need not be whole.
        body = _Body(BODY_LIMIT if response.code == 200 else 4096)
        response.deliverBody(body)
        return self._reply(response, await body.whole)

    def _reply(self, response: IResponse, body: bytes) -> Reply:
        if response.code == 403:
            self._token.distrust()
            raise Forbidden(f"403: {_excerpt(body)}")
        if response.code != 200:
            raise UnusableAnswer(f"{response.code}: {_excerpt(body)}")
        contact = _header(response, "X-Consul-LastContact") or ""
        return Reply(
            body,
            _header(response, "X-Consul-Index"),
            int(contact) / 1000 if contact.isdecimal() else 0.0,
            _header(response, "X-Consul-Results-Filtered-By-ACLs") == "true",
        )


def consul_client(reactor: object, config: ConsulConfig) -> ConsulClient:
    """The client of a gateway's watches, each of which holds one connection.

    :raises ConfigError: the token file or a certificate cannot be read.
    """
    policy = https_policy(config)
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = MAX_CONNECTIONS
    return ConsulClient(
        IReactorTime(reactor),
        tuple(
            (_base_url(address), _http(reactor, address, policy, pool))
            for address in config.addresses
        ),
        Token(config.token, config.token_file),
        config.namespace,
    )


def _base_url(address: ConsulAddress) -> str:
    # The name is never looked up: the endpoint knows the socket's path.
    return "http://localhost" if address.scheme == "unix" else str(address)


def _http(
    reactor: object,
    address: ConsulAddress,
    policy: IPolicyForHTTPS,
    pool: HTTPConnectionPool,
) -> HTTPClient:
    endpoints = _Endpoints(reactor, address, policy)
    return HTTPClient(Agent.usingEndpointFactory(reactor, endpoints, pool))


@implementer(IAgentEndpointFactory)
@frozen
class _Endpoints:
    """The endpoint of one Consul address, with TCP keep-alive where it is TCP."""

    _reactor: object
    _address: ConsulAddress
    _policy: IPolicyForHTTPS

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Called by Twisted's `Agent` for each new connection."""
        if self._address.scheme == "unix":
            return UNIXClientEndpoint(
                self._reactor, self._address.path, timeout=CONNECT_TIMEOUT
            )
        endpoint = _KeptAlive(
            HostnameEndpoint(self._reactor, uri.host, uri.port, CONNECT_TIMEOUT)
        )
        if uri.scheme == b"https":
            creator = self._policy.creatorForNetloc(uri.host, uri.port)
            return wrapClientTLS(creator, endpoint)
        return endpoint


@implementer(IStreamClientEndpoint)
@frozen
class _KeptAlive:
    """An endpoint whose connections notice a peer that vanished."""

    _endpoint: HostnameEndpoint

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """Called by Twisted's `Agent` for each new connection."""

        def keep_alive(protocol: IProtocol) -> IProtocol:
            protocol.transport.setTcpKeepAlive(True)  # type: ignore[attr-defined]
            return protocol

        factory.noisy = False  # type: ignore[attr-defined]  # no line for each
        connected: Deferred[IProtocol] = self._endpoint.connect(factory)
        return connected.addCallback(keep_alive)


class _Body(Protocol):
    """Collects one response's body; whoever stops waiting for it hangs up.

    Twisted's own `readBody` leaves the socket open when it is cancelled.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._chunks: list[bytes] = []
        self.whole: Deferred[bytes] = Deferred(lambda _: self._hang_up())

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            self._hang_up()
            if not self.whole.called:
                self.whole.errback(
                    UnusableAnswer(f"the answer is longer than {self._limit} bytes")
                )
            return
        self._chunks.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        # A body without a length ends with the connection (PotentialDataLoss);
        # whether such a one is whole shows when it is parsed.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(b"".join(self._chunks))
        else:
            self.whole.errback(reason)

    def _hang_up(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


def _header(response: IResponse, name: str) -> str | None:
    values = response.headers.getRawHeaders(name)
    return values[-1] if values else None


def _excerpt(body: bytes) -> str:
    text = " ".join(body[:200].decode("utf-8", "replace").split())
    return "".join(char for char in text if char.isprintable()) or "no reason given"
