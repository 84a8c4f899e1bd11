"""One question to Consul over treq, with one deadline round headers and body."""

from base64 import b64encode
from collections.abc import Mapping as AbstractMapping
from typing import NoReturn
from urllib.parse import quote, urlencode

from attrs import Factory, define, field, frozen
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IHostnameResolver, IReactorTime
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IPolicyForHTTPS, IResponse

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.model import ConsulAddress, ConsulConfig, decimal
from lbconsul.consul.endpoints import ConsulEndpoints
from lbconsul.consul.http import PACKED, Body, bounded_http
from lbconsul.consul.resolver import HostResolver
from lbconsul.consul.tls import authority_files, https_policy
from lbconsul.consul.token import Token
from lbconsul.errors import Forbidden, UnusableAnswer
from lbconsul.process.files import read_file
from lbconsul.text import one_line

#: How long an answer may take to travel, in seconds.
ON_THE_WAY = 5.0

#: How many connections to Consul are kept.  One watch holds one, and Twisted
#: would keep two; an agent allows 200 a client (``http_max_conns_per_client``).
MAX_CONNECTIONS = 200

#: The most that one answer may hold, in bytes: some 50,000 instances.
BODY_LIMIT = 64 * 1024 * 1024

#: A page of the catalog that only serves a hint may hold no more, in bytes: some
#: thousands of services with many tags, which is read within some 20 ms.
PAGE_LIMIT = 4 * 1024 * 1024

#: And it may take no longer, in seconds.
PAGE_WITHIN = 5.0


def deadline(wait: float) -> float:
    """After how long a blocking query that hangs is given up, all in seconds.

    Consul adds up to a sixteenth of the wait to it:
    https://developer.hashicorp.com/consul/api-docs/features/blocking
    """
    return wait + wait / 16 + ON_THE_WAY


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
    _sites: tuple[tuple[ConsulAddress, HTTPClient], ...]
    _token: Token = Factory(Token)
    #: What each question says beside its own: namespace and partition.
    _params: AbstractMapping[str, str] = Factory(dict)
    #: The value of each question's Authorization header; empty for none.
    _authorization: str = field(default="", repr=False)
    #: How long a blocking query may wait, in seconds.
    _wait: float = ConsulConfig().consul_wait
    _pools: tuple[HTTPConnectionPool, ...] = ()
    #: What it was made of: where Consul is, who we are, what the files held.
    fingerprint: object = field(default=None, repr=False)

    @property
    def addresses(self) -> int:
        """How many addresses there are to ask at."""
        return len(self._sites)

    def where(self, address: int) -> str:
        """The address with this number, for people to read."""
        return str(self._sites[address][0])

    def ask(
        self, question: ServiceQuery, index: int, address: int, *, stale: bool = True
    ) -> Deferred[Reply]:
        """Ask for the instances of a service, and block past `index` unless it is 0.

        Fails with `UnusableAnswer` for anything but a whole 200, with what
        treq and Twisted raise when there is no answer, and with `TimeoutError` after
        `deadline` seconds.  Cancelling it hangs up.
        """
        asked = Deferred.fromCoroutine(self._ask(question, index, address, stale))
        return asked.addTimeout(deadline(self._wait), self._clock, _too_late)

    def close(self) -> Deferred[list[tuple[bool, None]]]:
        """Close the connections that are kept for the next question."""
        return DeferredList([pool.closeCachedConnections() for pool in self._pools])

    def page(self, path: str, datacenter: str, address: int) -> Deferred[bytes]:
        """Ask once for one page of the API, such as ``/v1/catalog/services``.

        Fails as `ask` does, also if the page is longer than `PAGE_LIMIT`; with
        `TimeoutError` after `PAGE_WITHIN` seconds.
        """
        asked = Deferred.fromCoroutine(self._page(path, datacenter, address))
        return asked.addTimeout(PAGE_WITHIN, self._clock, _too_late)

    async def _page(self, path: str, datacenter: str, address: int) -> bytes:
        params = {"dc": datacenter, "stale": ""}
        reply = await self._get(address, path, params, PAGE_LIMIT)
        return reply.body

    async def _ask(
        self, question: ServiceQuery, index: int, address: int, stale: bool
    ) -> Reply:
        params = {"dc": question.datacenter}
        params |= {"filter": question.filter, "near": question.near}
        if stale:
            params["stale"] = ""
        if index:
            params |= {"index": str(index), "wait": f"{decimal(self._wait)}s"}
        path = f"/v1/health/service/{quote(question.service, safe='')}"
        return await self._get(address, path, params, BODY_LIMIT)

    async def _get(
        self, address: int, path: str, params: dict[str, str], limit: int
    ) -> Reply:
        """One GET; parameters without a value are left out, but for ``stale``."""
        site, http = self._sites[address]
        params = {**self._params, **params}
        params = {k: v for k, v in params.items() if v or k == "stale"}
        url = f"{_base_url(site)}{path}"
        if params:
            url += f"?{urlencode(params, quote_via=quote)}"
        headers = Headers({"Host": [site.netloc]})
        token = self._token.value()
        if token:
            headers.setRawHeaders("X-Consul-Token", [token])
        if self._authorization:
            headers.setRawHeaders("Authorization", [self._authorization])
        response = await http.get(
            url,
            headers=headers,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._clock,  # type: ignore[arg-type]  # sets no timeout
        )
        body = Body(limit) if response.code == 200 else Body(4096, excerpt=True)
        response.deliverBody(body)
        return self._reply(response, await body.whole)

    def _reply(self, response: IResponse, body: bytes) -> Reply:
        if response.code == 403:
            self._token.distrust()
            raise Forbidden(f"403: {_excerpt(body)}")
        if response.code != 200:
            raise UnusableAnswer(f"{response.code}: {_excerpt(body)}")
        packed = _header(response, PACKED) or "identity"
        if packed.strip().lower() != "identity":
            raise UnusableAnswer(f"packed, unasked: {_excerpt(packed.encode())}")
        contact = _header(response, "X-Consul-LastContact") or ""
        known = contact.isdecimal() and len(contact) <= 20  # as many as 64 bits have
        return Reply(
            body,
            _header(response, "X-Consul-Index"),
            int(contact) / 1000 if known else 0.0,
            _header(response, "X-Consul-Results-Filtered-By-ACLs") == "true",
        )


def consul_client(
    reactor: object, config: ConsulConfig, resolver: IHostnameResolver | None = None
) -> ConsulClient:
    """The client of a gateway's watches, each of which holds one connection.

    The hosts of Consul's addresses are looked up by `resolver`, or by one of its own,
    so that however many names instances have, Consul's need not wait for theirs.

    :raises ConfigError: the token file or a certificate cannot be read.
    """
    policy = https_policy(config)
    token = Token(config.token, config.token_file, config.where("token-file"))
    files = (*authority_files(config), config.client_cert, config.client_key)
    resolver = resolver or HostResolver(reactor)
    # Not one pool for all addresses: it tells them by the host of the URL.
    pools = tuple(HTTPConnectionPool(reactor) for _ in config.addresses)
    for pool in pools:
        pool.maxPersistentPerHost = MAX_CONNECTIONS
    return ConsulClient(
        IReactorTime(reactor),
        tuple(
            (address, _http(reactor, resolver, address, policy, pool))
            for address, pool in zip(config.addresses, pools, strict=True)
        ),
        token,
        {"ns": config.namespace, "partition": config.partition},
        basic(config.http_auth),
        config.consul_wait,
        pools,
        (config, token.value(), *map(_content, files)),
    )


def basic(auth: str) -> str:
    """The Authorization header for ``user`` or ``user:password``; empty for none.

    RFC 7617: without a password there is an empty one.
    """
    if not auth:
        return ""
    pair = auth if ":" in auth else f"{auth}:"
    return f"Basic {b64encode(pair.encode()).decode('ascii')}"


def _content(path: str) -> bytes:
    try:
        return read_file(path) if path else b""
    except OSError:  # whoever needs it has said so by now
        return b""


#: What stands in a path as it is (RFC 3986, section 3.3), and what is quoted already.
_IN_PATHS = "/%:@!$&'()*+,;="


def _base_url(address: ConsulAddress) -> str:
    # The endpoint knows where to connect to, and the Host header is our own: a
    # URL has no place for a socket's path.
    scheme = "https" if address.scheme == "https" or address.tls else "http"
    path = "" if address.scheme == "unix" else quote(address.path, safe=_IN_PATHS)
    return f"{scheme}://localhost{path}"


def _http(
    reactor: object,
    resolver: IHostnameResolver,
    address: ConsulAddress,
    policy: IPolicyForHTTPS,
    pool: HTTPConnectionPool,
) -> HTTPClient:
    endpoints = ConsulEndpoints(reactor, resolver, address, policy)
    return bounded_http(Agent.usingEndpointFactory(reactor, endpoints, pool))


def _too_late(result: object, seconds: float) -> NoReturn:
    raise TimeoutError(f"no whole answer within {seconds:.0f} s")


def _header(response: IResponse, name: str) -> str | None:
    values = response.headers.getRawHeaders(name)
    return values[-1] if values else None


def _excerpt(body: bytes) -> str:
    return one_line(body[:800].decode("utf-8", "replace"), 200) or "no reason given"
