"""Requests to Consul over treq, with one deadline for headers and body together."""

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
from lbconsul.config.consul import ConsulAddress, ConsulConfig
from lbconsul.consul.endpoints import ConsulEndpoints
from lbconsul.consul.http import PACKED, Body, Whole, bounded_http
from lbconsul.consul.resolver import HostResolver
from lbconsul.consul.tls import authority_files, https_policy
from lbconsul.consul.token import Token
from lbconsul.errors import Forbidden, NotFound, UnusableAnswer
from lbconsul.process.files import read_file
from lbconsul.text import decimal, one_line

#: How long the request and its answer may take on the network, in seconds.
ON_THE_WAY = 5.0

#: The most idle connections to each Consul address.  Each watch uses one, and
#: Twisted's default is two; an agent allows 200 for each client
#: (``http_max_conns_per_client``).
MAX_CONNECTIONS = 200

#: The longest body of an answer, in bytes: some 50,000 instances.
BODY_LIMIT = 64 * 1024 * 1024

#: The longest answer with keys and their values, in bytes: base64 takes a third more
#: than the certificates themselves.
KEYS_LIMIT = 48 * 1024 * 1024

#: Parameters without a value.
_FLAGS = ("stale", "consistent", "recurse")

#: The longest page of the catalog, in bytes, which only serves a hint: some thousands
#: of services with many tags, parsed within some 20 ms.
PAGE_LIMIT = 4 * 1024 * 1024

#: How long such a page may take, in seconds.
PAGE_WITHIN = 5.0

#: The longest answer of an agent about one service, in bytes: its metadata alone may
#: have 64 pairs of 640 characters.
SERVICE_LIMIT = 1024 * 1024

#: How long the agent may take for a request about one service, in seconds.
AGENT_WITHIN = 5.0


def deadline(wait: float) -> float:
    """The timeout of a blocking query with this wait, both in seconds.

    Consul adds jitter of up to a sixteenth of the wait:
    https://developer.hashicorp.com/consul/api-docs/features/blocking
    """
    return wait + wait / 16 + ON_THE_WAY


@frozen
class Reply:
    """A complete answer of Consul with status 200: its body and its headers' values."""

    body: bytes
    #: The text of ``X-Consul-Index``.
    index: str | None = None
    #: Seconds since the answering server last heard from the leader.
    last_contact: float = 0.0
    #: Whether ACLs hid a part of the result (sent by Consul 1.11 and newer).
    filtered: bool = False


@define(eq=False)
class ConsulClient:
    """Sends requests to Consul, each to one of several addresses."""

    _clock: IReactorTime
    _sites: tuple[tuple[ConsulAddress, HTTPClient], ...]
    _token: Token = Factory(Token)
    #: Parameters of every request: namespace and partition.
    _params: AbstractMapping[str, str] = Factory(dict)
    #: The Authorization header of every request; empty for none.
    _authorization: str = field(default="", repr=False)
    #: How long Consul may hold a blocking query, in seconds.
    _wait: float = ConsulConfig().consul_wait
    _pools: tuple[HTTPConnectionPool, ...] = ()
    #: The configuration, the token and the contents of the files it was made from; a
    #: reload compares it.
    fingerprint: object = field(default=None, repr=False)

    @property
    def addresses(self) -> int:
        """The number of Consul addresses."""
        return len(self._sites)

    def where(self, address: int) -> str:
        """The address with this number, as the status and the log show it."""
        return str(self._sites[address][0])

    def ask(
        self, query: ServiceQuery, index: int, address: int, *, stale: bool = True
    ) -> Deferred[Reply]:
        """Query the instances of a service; block past `index` unless it is 0.

        Without `stale` the answer is consistent: no server gives one that is older, nor
        one that has just started and knows a part only.

        The Deferred fails with `UnusableAnswer` for anything but a complete 200, with
        the errors of treq and Twisted without an answer, and with `TimeoutError`
        after `deadline` seconds.  Cancelling it closes the connection.
        """
        asked = Deferred.fromCoroutine(self._ask(query, index, address, stale))
        return asked.addTimeout(deadline(self._wait), self._clock, _too_late)

    def ask_keys(
        self, prefix: str, index: int, address: int, *, stale: bool = True
    ) -> Deferred[Reply]:
        """Query the keys with a prefix; block past `index` unless it is 0.

        If there are none the body is an empty list.  `stale` is that of `ask`, and it
        fails as `ask` does, also for a body longer than `KEYS_LIMIT`.
        """
        asked = Deferred.fromCoroutine(self._ask_keys(prefix, index, address, stale))
        return asked.addTimeout(deadline(self._wait), self._clock, _too_late)

    def ask_list(
        self,
        path: str,
        datacenter: str,
        index: int,
        address: int,
        *,
        stale: bool = True,
    ) -> Deferred[Reply]:
        """Query a whole list, such as ``/v1/catalog/services``; block past `index`
        unless it is 0.

        It fails as `ask` does.
        """
        asked = Deferred.fromCoroutine(
            self._ask_list(path, datacenter, index, address, stale)
        )
        return asked.addTimeout(deadline(self._wait), self._clock, _too_late)

    def close(self) -> Deferred[list[tuple[bool, None]]]:
        """Close the idle connections to Consul."""
        return DeferredList([pool.closeCachedConnections() for pool in self._pools])

    def page(self, path: str, datacenter: str, address: int) -> Deferred[bytes]:
        """Request one page of the API once, such as ``/v1/catalog/services``.

        It fails as `ask` does, also for a page longer than `PAGE_LIMIT`; with
        `TimeoutError` after `PAGE_WITHIN` seconds.
        """
        asked = Deferred.fromCoroutine(self._page(path, datacenter, address))
        return asked.addTimeout(PAGE_WITHIN, self._clock, _too_late)

    def agent(self, method: str, path: str, body: bytes = b"") -> Deferred[bytes]:
        """Send the agent at the first address one request about its own services.

        `path` is below ``/v1/agent/``.  It fails as `ask` does, with `NotFound` where
        there is no such service; with `TimeoutError` after `AGENT_WITHIN` seconds.
        """
        asked = Deferred.fromCoroutine(self._agent(method, path, body))
        return asked.addTimeout(AGENT_WITHIN, self._clock, _too_late)

    async def _agent(self, method: str, path: str, body: bytes) -> bytes:
        path = f"/v1/agent/{path}"
        response = await self._send(method, 0, path, {}, body)
        return self._reply(response, await _body_of(response, SERVICE_LIMIT)).body

    async def _page(self, path: str, datacenter: str, address: int) -> bytes:
        params = {"dc": datacenter, "stale": ""}
        reply = await self._get(address, path, params, PAGE_LIMIT)
        return reply.body

    async def _ask(
        self, query: ServiceQuery, index: int, address: int, stale: bool
    ) -> Reply:
        params = {"dc": query.datacenter}
        params |= {"filter": query.filter, "near": query.near}
        params[_mode(stale)] = ""
        params |= self._blocking(index)
        path = f"/v1/health/service/{quote(query.service, safe='')}"
        return await self._get(address, path, params, BODY_LIMIT)

    async def _ask_keys(
        self, prefix: str, index: int, address: int, stale: bool
    ) -> Reply:
        params = {"recurse": "", _mode(stale): "", **self._blocking(index)}
        path = f"/v1/kv/{quote(prefix)}"
        return await self._get(address, path, params, KEYS_LIMIT, or_none=True)

    async def _ask_list(
        self, path: str, datacenter: str, index: int, address: int, stale: bool
    ) -> Reply:
        params = {"dc": datacenter, **self._blocking(index)}
        if stale:
            params["stale"] = ""
        return await self._get(address, path, params, BODY_LIMIT)

    def _blocking(self, index: int) -> dict[str, str]:
        """The parameters of a query that blocks past `index`, unless it is 0."""
        if not index:
            return {}
        return {"index": str(index), "wait": f"{decimal(self._wait)}s"}

    async def _get(
        self,
        address: int,
        path: str,
        params: dict[str, str],
        limit: int,
        *,
        or_none: bool = False,
    ) -> Reply:
        """Send one GET.

        With `or_none` a 404 is an empty list: there is no such key.
        """
        response = await self._send("GET", address, path, params)
        found = await _body_of(response, limit)
        if or_none and response.code == 404:
            return self._accept(response, b"[]")
        return self._reply(response, found)

    async def _send(
        self,
        method: str,
        address: int,
        path: str,
        params: dict[str, str],
        body: bytes = b"",
    ) -> IResponse:
        """Send one request; empty parameters are left out, except those of `_FLAGS`."""
        site, http = self._sites[address]
        params = {**self._params, **params}
        params = {k: v for k, v in params.items() if v or k in _FLAGS}
        url = f"{_base_url(site)}{path}"
        if params:
            url += f"?{urlencode(params, quote_via=quote)}"
        headers = Headers({"Host": [site.netloc]})
        token = self._token.value()
        if token:
            headers.setRawHeaders("X-Consul-Token", [token])
        if self._authorization:
            headers.setRawHeaders("Authorization", [self._authorization])
        return await http.request(
            method,
            url,
            headers=headers,
            data=Whole(body) if body else None,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._clock,  # type: ignore[arg-type]  # sets no timeout
        )

    def _reply(self, response: IResponse, body: bytes) -> Reply:
        if response.code == 403:
            self._token.distrust()
            raise Forbidden(f"403: {_excerpt(body)}")
        if response.code == 404:
            raise NotFound(f"404: {_excerpt(body)}")
        if response.code != 200:
            raise UnusableAnswer(f"{response.code}: {_excerpt(body)}")
        return self._accept(response, body)

    def _accept(self, response: IResponse, body: bytes) -> Reply:
        packed = _header(response, PACKED) or "identity"
        if packed.strip().lower() != "identity":
            raise UnusableAnswer(
                f"unexpected Content-Encoding: {_excerpt(packed.encode())}"
            )
        contact = _header(response, "X-Consul-LastContact") or ""
        known = contact.isdecimal() and len(contact) <= 20  # a 64-bit number's digits
        return Reply(
            body,
            _header(response, "X-Consul-Index"),
            int(contact) / 1000 if known else 0.0,
            _header(response, "X-Consul-Results-Filtered-By-ACLs") == "true",
        )


def _mode(stale: bool) -> str:
    """https://developer.hashicorp.com/consul/api-docs/features/consistency"""
    return "stale" if stale else "consistent"


def consul_client(
    reactor: object,
    config: ConsulConfig,
    resolver: IHostnameResolver | None = None,
    *,
    repeats: bool = False,
) -> ConsulClient:
    """The client of a gateway's watches, each of which uses one connection.

    `resolver` looks up the hosts of Consul's addresses.  The default is a resolver of
    its own: Consul's look-ups do not wait behind those of the instances' names.
    With `repeats` a request is sent once more if the kept connection that it was sent
    on has ended; a query loop does so itself, within its rate.

    :raises ConfigError: the token file or a certificate cannot be read.
    """
    policy = https_policy(config)
    token = Token.of(config.token, config.token_file, config.where("token-file"))
    files = (*authority_files(config), config.client_cert, config.client_key)
    resolver = resolver or HostResolver(reactor)
    # A pool for each address: a pool keys connections by the URL's host, which is
    # always localhost here.
    pools = tuple(HTTPConnectionPool(reactor) for _ in config.addresses)
    for pool in pools:
        pool.maxPersistentPerHost = MAX_CONNECTIONS
        pool.retryAutomatically = repeats
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

    Without a password an empty one is sent (RFC 7617).
    """
    if not auth:
        return ""
    pair = auth if ":" in auth else f"{auth}:"
    return f"Basic {b64encode(pair.encode()).decode('ascii')}"


def _content(path: str) -> bytes:
    try:
        return read_file(path) if path else b""
    except OSError:  # reading the token and the certificates has raised its error
        return b""


#: Characters of a path that need no quoting (RFC 3986, section 3.3), and the percent
#: sign of what is quoted already.
_IN_PATHS = "/%:@!$&'()*+,;="


def _base_url(address: ConsulAddress) -> str:
    # The host is a placeholder: the endpoint knows where to connect, the client sets
    # the Host header itself, and a URL cannot hold a socket's path.
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
    raise TimeoutError(f"no complete answer within {seconds:.0f} s")


def _header(response: IResponse, name: str) -> str | None:
    values = response.headers.getRawHeaders(name)
    return values[-1] if values else None


async def _body_of(response: IResponse, limit: int) -> bytes:
    body = Body(limit) if response.code == 200 else Body(4096, excerpt=True)
    response.deliverBody(body)
    return await body.whole


def _excerpt(body: bytes) -> str:
    return one_line(body[:800].decode("utf-8", "replace"), 200) or "no reason given"
