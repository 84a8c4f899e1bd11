"""The configuration of one gateway, as frozen values."""

from collections.abc import Iterable, Iterator
from typing import Any

from attrs import evolve, field, frozen

from lbconsul.config.affinity import Affinity
from lbconsul.config.check import Check
from lbconsul.config.compression import Compression
from lbconsul.config.consul import ConsulConfig
from lbconsul.config.cookies import CookieAttributes
from lbconsul.config.http import HTTP
from lbconsul.config.latency import SlowRule
from lbconsul.config.listen import Listen, TCPListen, UnixListen
from lbconsul.config.rate_limit import RateLimit
from lbconsul.config.register import Register
from lbconsul.config.rewriting import Rewriting
from lbconsul.config.split import Part, Selection, Share, Sticky
from lbconsul.config.tag_routing import TAGS, TagRouting
from lbconsul.errors import ConfigError
from lbconsul.text import decimal, quoted

#: The most workers.  Each worker reads the counters of all others, which limits how
#: many are of use; this is far beyond that.
MOST_WORKERS = 256

#: Where the admin listener is by default.
_ADMIN = TCPListen("127.0.0.1", 9200)


#: Where a mapping listens, or its service if an endpoint outside listens for it; and
#: which part of the clients it takes, if it is a route.
Place = tuple[Listen | str, str]


@frozen
class WhenEmpty:
    """What happens to a client when no instance is left.

    It is held for `wait` seconds, in case an instance appears; or `fallback` serves it,
    a service in Consul or, if `is_address`, ``host:port``.  With neither it is closed
    at once.
    """

    wait: float = 0.0
    fallback: str = ""
    is_address: bool = False

    def __str__(self) -> str:
        if self.fallback:
            shown = self.fallback if self.is_address else quoted(self.fallback)
            return f"fallback={shown}"
        return f"wait={decimal(self.wait)}s" if self.wait else "close"


@frozen
class Timeouts:
    """How long a client's connection may take, in seconds."""

    #: For one upstream to accept.
    connect: float = 2.0
    #: In the queue while every upstream is full; 0: as long as `connect`.
    queue: float = 0.0
    #: Without a byte.
    idle: float = 3600.0
    #: Without a byte, after one side has ended.
    half_close: float = 30.0
    #: From accept to end, give or take a tenth; 0: no limit.
    max_age: float = 0.0
    #: For the client's first byte, after any PROXY header and TLS handshake; 0: no
    #: limit.
    first_byte: float = 0.0


@frozen
class Limits:
    """How many connections and requests there may be; 0: no limit."""

    connections: int = 0
    connections_per_client: int = 0
    connections_per_upstream: int = 0
    #: Clients that may queue while every upstream is full.
    queue_length: int = 1000
    #: How many requests, or connections, a client may make in a time.
    rates: tuple[RateLimit, ...] = ()
    #: Requests at a time.
    requests: int = 0
    #: Seconds of the reactor's lag beyond which new requests are turned away.
    shed_lag: float = 0.0


@frozen
class Ejection:
    """When and for how long outlier detection ejects an upstream."""

    #: Consecutive connect failures; 0: never.
    after: int = 3
    #: Seconds of the first ejection; it doubles each time.
    base_time: float = 10.0
    #: Whether an early close by the upstream counts as half a failure.
    on_early_close: bool = True
    #: When one is ejected that is much slower than its peers; None: never.
    slow: SlowRule | None = None


@frozen
class ShrinkGuard:
    """When an answer of Consul that removes upstreams is held back."""

    #: The share of a pool that an answer may remove; 0: off.
    percent: int = 50
    #: Seconds for which suspect upstreams stay in use.
    hold: float = 30.0


@frozen
class Drain:
    """What becomes of the connections of an upstream that is to get none."""

    #: Seconds until they are closed.
    timeout: float = 300.0
    #: Whether those of an upstream that turns critical are closed at once.
    close_on_critical: bool = False
    #: Percent of connections closed each minute after an upstream joined; 0: none.
    rebalance: int = 0


@frozen
class TLS:
    """How clients are served with TLS."""

    #: A PEM file, a folder of such files, or ``consul:PREFIX``; empty: without TLS.
    certificates: str = ""
    #: The oldest version that is accepted, ``1.2`` or ``1.3``.
    least_version: str = "1.2"
    #: PEM file of the authorities of client certificates; empty: none is asked for.
    client_ca: str = ""
    #: ``required``, or ``optional``: a client may have no certificate.
    client_verify: str = "required"
    #: PEM file of revoked client certificates.
    client_crl: str = ""


@frozen
class UpstreamTLS:
    """How upstreams are connected to with TLS."""

    is_on: bool = False
    #: PEM file of the trusted authorities; empty: those of the system.
    ca: str = ""
    #: The name for SNI and verification; empty: the instance's address.
    server_name: str = ""
    verify: bool = True
    #: PEM files of the certificate to show, and of its key if that is a file of its
    #: own.
    cert: str = ""
    key: str = ""


@frozen
class ProxyProtocol:
    """The PROXY protocol, in front of the mapping and behind it."""

    #: The networks whose clients must send a header; empty: none does.
    accept: tuple[str, ...] = ()
    #: The version that is sent to upstreams, ``v1`` or ``v2``, or ``off``.
    send: str = "off"


@frozen(cache_hash=True)  # it is a key in hot paths
class Mapping:
    """A listening address, the service behind it, and its options; or one route of it.

    Durations are seconds; 0 is off, or no limit.  `lbconsul.config.mapping_options`
    describes the options.  Without an address the mapping is for a program that listens
    by other means.
    """

    #: Empty: only the routes have a service.
    service: str
    listen: Listen | None = None
    tag: str = ""
    #: Of the instances with the tag; None: all of them.  Rows of one service with
    #: other selections are other pools of one watch.
    selection: Selection | None = None
    #: What other instances get of its clients or requests; the service gets the rest.
    split: tuple[Share, ...] = ()
    split_sticky: Sticky = Sticky()
    filter: str = ""
    #: The datacenters by priority: the first that has an instance is used.  Empty: the
    #: agent's own.
    dc: tuple[str, ...] = ()
    failback_after: float = 30.0
    near: str = ""
    #: Which of an instance's several ports and addresses to use; empty: the default.
    port_name: str = ""
    tagged_address: str = ""
    policy: str = "leastconn"
    affinity: Affinity = Affinity()
    #: Attributes of cookies that the gateway sets.
    cookies: CookieAttributes = CookieAttributes()
    #: What is asked about clients, as ``MODULE:NAME`` or by entry points.
    hooks: tuple[str, ...] = ()
    health: frozenset[str] = frozenset({"passing", "warning"})
    node_checks: bool = True
    #: How many upstreams of each pool one connection may try.
    attempts: int = 3
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    ejection: Ejection = Ejection()
    shrink_guard: ShrinkGuard = ShrinkGuard()
    drain: Drain = Drain()
    when_empty: WhenEmpty = WhenEmpty()
    slow_start: float = 0.0
    #: Networks, as ``10.0.0.0/8``.
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    #: Networks of instances; empty: all.
    upstream_allow: tuple[str, ...] = ()
    unix_mode: int = 0o660
    #: Whether the gateway is ready even if the mapping never had a usable instance.
    allow_empty: bool = False
    #: ``tcp``; ``http``: each request is balanced; or ``sni``: routed by the server
    #: name of TLS, which is not decrypted.
    mode: str = "tcp"
    tls: TLS = TLS()
    upstream_tls: UpstreamTLS = UpstreamTLS()
    proxy_protocol: ProxyProtocol = ProxyProtocol()
    http: HTTP = HTTP()
    rewriting: Rewriting = Rewriting()
    compression: Compression = Compression()
    register: Register = Register()
    check: Check = Check()
    tags: TagRouting = TagRouting()
    #: Whether no upstream is connected to before the client has sent a byte.
    waits_for_client: bool = False
    #: If this is a route: which clients of the address it takes, by server name;
    #: or which requests, as a `lbconsul.config.route_pattern.RoutePattern` is written.
    route: str = ""
    #: Where a part of the clients goes; the service gets the others.  Each route has
    #: the same address, and options of its own.
    routes: tuple["Mapping", ...] = ()
    #: Which part of a split this is; None: it is none.
    part: Part | None = None
    #: Its parts but the rest, if it has a `split`: rows of their own.
    parts: tuple["Mapping", ...] = ()

    def __str__(self) -> str:
        named = self.service
        if self.part is not None and self.part.name:
            named = self.part.service
        service = quoted(named) if named else self._no_service
        pattern, _, conditions = self.route.partition(" ")
        shown = f"{pattern}={service}" if pattern else service
        if conditions.startswith("if-"):
            shown += f",{conditions}"
        elif conditions:  # of a tag: the service, and what the tag says
            shown = f"{pattern}={conditions}"
        if self.part is not None and self.part.name:
            shown += f",{self.part.name}"
        if self.listen is None:
            return shown
        if isinstance(self.listen, TCPListen) and self.listen.host == "0.0.0.0":
            return f"{self.listen.port}:{shown}"
        return f"{self.listen}:{shown}"

    @property
    def _no_service(self) -> str:
        return TAGS if self.tags.is_on else "-"

    @property
    def place(self) -> Place:
        """What it keeps while its options change."""
        of = self.service if self.part is None else self.part.service or self.service
        return self.listen or of, self.key

    @property
    def key(self) -> str:
        """What tells it from the other rows of its address; empty: it is the first."""
        if self.part is None or not self.part.name:
            return self.route
        return f"{self.route}\n{self.part.name}"

    @property
    def rows(self) -> tuple["Mapping", ...]:
        """What is balanced, counted and shown by itself: the mapping, then each route.

        Each is without its parts, which follow it; the first is without its routes.
        """
        if not (self.routes or self.parts):
            return (self,)
        own = evolve(self, routes=(), parts=())
        return (own, *self.parts, *(row for each in self.routes for row in each.rows))


def rows(mappings: Iterable[Mapping]) -> Iterator[Mapping]:
    """The rows of all these mappings: each mapping, its parts, and its routes."""
    for each in mappings:
        yield from each.rows


@frozen
class Admin:
    """The address of the admin listener; None for none."""

    listen: TCPListen | UnixListen | None = _ADMIN
    #: Whether the operator set it: then a failure to listen is an error.
    is_needed: bool = field(default=False, eq=False)

    def __str__(self) -> str:
        return "off" if self.listen is None else str(self.listen)


def _count_of_workers(config: object, attribute: object, count: Any) -> None:
    if type(count) is not int or not 0 <= count <= MOST_WORKERS:
        raise ConfigError(
            f"workers: {count!r} must be a number of processes up to {MOST_WORKERS}; 0"
            " is one for each core, 1 is this process alone"
        )


@frozen
class Config:
    """The whole configuration of one gateway."""

    consul: ConsulConfig
    mappings: tuple[Mapping, ...]
    connection_log: bool = True
    log_format: str = "text"
    log_file: str = ""
    #: Bytes; 0: no rotation.
    log_file_size: int = 10 << 20
    log_file_keep: int = 5
    admin: Admin = Admin()
    admin_token_file: str = ""
    admin_token: str = field(default="", repr=False)
    admin_read_token_file: str = ""
    admin_read_token: str = field(default="", repr=False)
    admin_open_read: bool = False
    admin_tls: str = ""
    admin_client_ca: str = ""
    #: The URL of Consul's own page, or ``off``; empty: the one of Consul's address.
    consul_ui: str = ""
    #: Holds the keys of the gateway's own cookies.
    cookie_key_file: str = ""
    state_dir: str = ""
    shutdown_grace: float = 0.0
    takeover: str = ""
    dev: bool = False
    #: Most own checks of instances that are begun in a second.
    check_rate: int = 400
    #: Processes that serve; 0: one for each usable core.
    workers: int = field(default=1, validator=_count_of_workers)

    @property
    def tls_of_admin(self) -> TLS:
        """How clients of the admin listener are served with TLS."""
        return TLS(certificates=self.admin_tls, client_ca=self.admin_client_ca)
