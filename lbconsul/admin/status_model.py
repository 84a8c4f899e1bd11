"""What there is to be shown, as values.

A `StatusSource`, the gateway, provides it.  Times are seconds since the epoch, spans
are seconds.  ``/status`` is these values as JSON, under the same names.
"""

from collections.abc import Awaitable, Iterable, Iterator, Mapping
from typing import Protocol

from attrs import Factory, frozen

from lbconsul.admin.check_status import ChecksStatus, CheckStatus
from lbconsul.admin.history import HistorySource
from lbconsul.admin.http_status import (
    HTTPStatus,
    HTTPUpstreamStatus,
    UnhappyConnectionStatus,
    UnhappyStatus,
)
from lbconsul.admin.tag_routes import TagRoutesSource
from lbconsul.admin.why import Question, Why

#: The version of the format of ``/status``: it grows if a name is removed, or means
#: something else.
FORMAT = 2


@frozen
class WorkerStatus:
    """One process that serves."""

    number: int
    pid: int | None
    #: Whether it accepts clients.
    serves: bool
    open: int = 0
    accepted: int = 0


@frozen
class FullStatus:
    """Something that takes no more for now, so that new clients wait."""

    #: ``max-connections`` (of a mapping), ``process`` (as many connections as the
    #: descriptors of a process allow), ``descriptors`` (descriptors, ports or memory
    #: ran out), ``shed-lag`` (a process is late: a part of new clients is turned away).
    reason: str
    #: Empty if all mappings are concerned.
    mapping: str = ""
    #: In how many processes.
    processes: int = 1


@frozen
class FaultStatus:
    """How often a policy or a hook was at fault, and how: ``failed`` or ``slow``."""

    extension: str
    kind: str
    count: int


@frozen
class DrainStatus:
    """How far the drain of a gateway has come."""

    since: float
    #: When what is still open is closed.
    until: float
    #: How many connections were open when the listeners were closed; before that, when
    #: the drain began.
    began_with: int


@frozen(kw_only=True)
class RegistrationStatus:
    """A listening address that is registered in Consul, or is going to be."""

    #: Of the registration, with the agent.
    id: str
    service: str
    mapping: str
    #: Empty: that of the agent.
    address: str
    port: int
    #: ``waiting`` (not registered yet), ``passing``, ``critical`` (the gateway is not
    #: ready), ``unconfirmed`` (the agent does not take reports), ``taken`` (the id
    #: belongs to another gateway or program), ``left`` (deregistered, or handed over).
    state: str
    #: Why it is not passing; empty if it is.
    reason: str = ""
    #: Since when it is so; None if nothing is known yet.
    since: float | None = None


@frozen(kw_only=True)
class GatewayStatus:
    """The gateway as a whole."""

    #: Of lbconsul.
    version: str
    started: float
    now: float
    #: ``starting``, ``serving``, ``draining`` (no new clients are accepted).
    state: str
    #: Whether every mapping listens and has had an answer, and it is not draining.
    ready: bool
    #: Why not, each a sentence.
    not_ready: tuple[str, ...] = ()
    pid: int = 0
    #: Whether upstreams can be drained, ejected and so on: ``need a token`` or ``off``.
    changes: str = "off"
    #: None if one process does all.
    workers: tuple[WorkerStatus, ...] = ()
    #: The options in force by name, as they could be written; tokens hidden.
    options: Mapping[str, str] = Factory(dict)
    #: Consul's addresses.
    consul: tuple[str, ...] = ()
    #: How late the reactor's calls come, lately, at most.
    reactor_lag: float = 0.0
    open: int = 0
    accepted: int = 0
    max_connections: int = 0
    #: Since the start, because the log could not be written as fast.
    log_lines_dropped: int = 0
    #: What has been full for a second, and is.
    full: tuple[FullStatus, ...] = ()
    #: The gateway in Consul: empty without ``register``.
    registrations: tuple[RegistrationStatus, ...] = ()
    #: What policies and hooks of the operator's own did wrong, over all processes.
    faults: tuple[FaultStatus, ...] = ()
    #: None: it does not drain.
    drain: DrainStatus | None = None
    #: The URL of Consul's own page, below which are those of datacenters; empty: it is
    #: not known.
    consul_ui: str = ""
    #: The gateway's own checks; None: nothing is checked.
    checks: ChecksStatus | None = None


@frozen
class SkippedStatus:
    """An instance that is not connected to, and why."""

    #: ``id@node host:port``.
    instance: str
    reason: str


@frozen(kw_only=True)
class WatchStatus:
    """A query, and the state of its watch."""

    #: The service and what else tells it from others, as in ``web,dc=west``.
    query: str
    service: str
    datacenter: str
    #: ``waiting`` (no answer yet), ``watching``, ``backing off`` (Consul fails),
    #: ``snapshot`` (serving what an earlier gateway knew), ``fixed`` (an address).
    state: str
    #: Where Consul is asked.
    address: str = ""
    #: How long ago Consul last confirmed the answer in use; None if it never has.
    age: float | None = None
    index: int = 0
    #: Of the present streak; empty if there is none.
    last_error: str = ""
    #: When the last error was, whenever that is.
    last_error_at: float | None = None
    #: Since when Consul fails without a break.
    failing_since: float | None = None
    answers: int = 0
    changes: int = 0
    errors: int = 0
    instances: int = 0
    #: How many instances are not connected to, whatever their checks say, and the
    #: first fifty of them.
    skipped: int = 0
    skipped_instances: tuple[SkippedStatus, ...] = ()


@frozen
class DrainedStatus:
    """One instance that an operator has drained."""

    #: ``datacenter/node/service_id``, each part percent-encoded.
    id: str
    datacenter: str
    node: str
    service_id: str
    #: Whether Consul has the registration that was drained; it can be undrained anyway.
    registered: bool


@frozen(kw_only=True)
class UpstreamStatus:
    """One instance, as one pool balances over it."""

    #: ``datacenter/node/service_id``, each part percent-encoded.
    id: str
    datacenter: str
    node: str
    service_id: str
    #: ``10.0.0.5:8080``.
    address: str
    tags: tuple[str, ...]
    #: What Consul says, and how much of it counts now (less while it warms up).
    weight: int
    effective_weight: float
    #: ``serving``, ``warming``, ``draining``, ``ejected``, ``suspect``.
    standing: str
    #: Why, for people to read.
    reason: str
    #: Since when that is its standing.
    since: float
    #: Connections, over all mappings, and those that this pool's mapping has had.
    open: int = 0
    total: int = 0
    #: While it drains: how many connections were open when that began; else None.
    drain_began_with: int | None = None
    #: From clients to it, and from it to clients.
    bytes_received: int = 0
    bytes_sent: int = 0
    connect_failures: int = 0
    #: How long connecting takes, a moving average; None before the first one.
    connect_time: float | None = None
    #: Within how long half of its latest connects were over, and 99 of 100; None
    #: before the first one.
    connect_p50: float | None = None
    connect_p99: float | None = None
    #: The same of the first byte, after the client was accepted; in HTTP mode after the
    #: request came.
    first_byte_p50: float | None = None
    first_byte_p99: float | None = None
    #: Connects that failed, connections that it reset, and in HTTP mode requests that
    #: it answered with 5xx or not at all, in the last minute.
    failures_per_minute: float = 0.0
    #: The last of these failures, whenever that was; empty if there was none.
    last_error: str = ""
    last_error_at: float | None = None
    #: None if the mapping is not in HTTP mode.
    http: HTTPUpstreamStatus | None = None
    #: The gateway's own check; None without ``check``, or if Consul does not let it
    #: serve.
    check: CheckStatus | None = None


@frozen
class PoolStatus:
    """The upstreams of one query, under the rules of one mapping."""

    query: str
    #: Whether new connections go to the pool; of several datacenters one is used.
    used: bool
    #: Whether the pool serves only while all others are empty.
    fallback: bool = False
    upstreams: int = 0
    #: Whose they are, if not the mapping's: a fallback's.
    service: str = ""


@frozen
class Histogram:
    """How many were within each bound, not counting those within a lower one."""

    #: Upper bounds in seconds; one more bucket holds what is beyond.
    bounds: tuple[float, ...]
    #: One more than there are bounds.
    counts: tuple[int, ...]
    sum: float


@frozen(kw_only=True)
class CertificateStatus:
    """A certificate that clients of a mapping may be served TLS with."""

    #: The path of its file, or ``consul:KEY``.
    source: str
    #: The host names it is for, the first fifty.
    names: tuple[str, ...]
    #: ``valid``, ``expiring`` (in less than 14 days), ``expired``, ``early`` (not valid
    #: yet).
    state: str
    not_before: float
    not_after: float
    #: Whole days until its end; negative after it.
    days_left: int
    #: SHA-256, in hexadecimal digits.
    fingerprint: str


@frozen
class SplitStatus:
    """What a part of a split is to get, and what it gets."""

    #: The name of the mapping or route that is split.
    of: str
    #: As in the option, ``tag=canary``; empty: the rest.
    part: str
    #: Its share, from 0 to 1.
    wanted: float
    #: The share of the connections, or requests, that it got since this split was first
    #: seen; None if there were none.
    got: float | None = None


@frozen(kw_only=True)
class MappingStatus:
    """A listening address and what is behind it; or a route, or a part of either."""

    #: As it could be written: ``80:web``, ``443:api.example.com=api``.
    name: str
    #: ``0.0.0.0:80``, ``unix:/run/web.sock``.
    listen: str
    #: Which clients a route takes; empty if it is none.
    route: str = ""
    #: Empty if only the mapping's routes have one.
    service: str
    policy: str
    #: Whether clients are accepted, waiting ones being in the kernel's queue.
    listening: bool
    options: Mapping[str, str] = Factory(dict)
    accepted: int = 0
    open: int = 0
    #: Clients that wait for an upstream with room.
    queued: int = 0
    #: None: it is no part of a split.
    split: SplitStatus | None = None
    #: Connections by how they ended: `docs/reference.md` has the codes.
    terminations: Mapping[str, int] = Factory(dict)
    #: How often each rate limit was exceeded, by its text.
    rate_limited: Mapping[str, int] = Factory(dict)
    bytes_received: int = 0
    bytes_sent: int = 0
    pools: tuple[PoolStatus, ...] = ()
    connect_time: Histogram
    first_byte_time: Histogram
    connection_time: Histogram
    #: Why no instance is usable; empty if one is, or if nothing is known yet.  Without
    #: a `service`: why a route whose tags are invalid answers 503.
    empty: str = ""
    #: How many certificates clients are served TLS with, and the first fifty to end.
    certificates_in_use: int = 0
    certificates: tuple[CertificateStatus, ...] = ()
    #: Why newer certificates are not in use; empty if they are.
    certificates_error: str = ""
    #: Why the file of `basic-auth` is not in use as it is now; empty if it is.
    passwords_error: str = ""
    #: None if the mapping is not in HTTP mode; so are the histograms, of the time until
    #: the first byte of an upstream's answer, and until a request is over.
    http: HTTPStatus | None = None
    request_first_byte_time: Histogram | None = None
    request_time: Histogram | None = None
    #: Connections and requests that went wrong, since the start; the last fifty of
    #: each, the newest first.
    failed: int = 0
    unhappy: tuple[UnhappyStatus, ...] = ()
    unhappy_connections: tuple[UnhappyConnectionStatus, ...] = ()


@frozen(kw_only=True)
class Event:
    """Something that happened."""

    #: Grows by one from event to event, from 1 at the start.
    id: int
    time: float
    #: ``joined``, ``left``, ``changed``, ``ejected``, ``restored``, ``suspect``,
    #: ``confirmed``, ``down``, ``up``, ``fail-open``, ``fail-closed``, ``drained``,
    #: ``undrained``, ``failing``, ``recovered``, ``empty``, ``available``,
    #: ``overloaded``, ``relieved``, ``reloaded``, ``draining``.
    kind: str
    query: str = ""
    mapping: str = ""
    #: The id of the upstream, if the event is about one.
    upstream: str = ""
    #: The names of the first of them, and how many there are, if it is about several.
    instances: tuple[str, ...] = ()
    count: int = 0
    reason: str = ""
    #: Standings; health statuses if the instance changed in Consul's catalog.
    before: str = ""
    after: str = ""
    #: For how long it holds at first; None if there is no such limit.
    seconds: float | None = None
    #: A sentence for people to read.
    text: str = ""


class StatusSource(Protocol):
    """Provides the status, and carries out orders."""

    def gateway(self) -> GatewayStatus:
        """The gateway as a whole."""

    def watches(self) -> Iterable[WatchStatus]:
        """What Consul is asked."""

    def drained(self) -> list[DrainedStatus]:
        """What an operator has drained, though it may be gone."""

    @property
    def drains_last(self) -> str:
        """How long a drain lasts, for people to read."""

    def mappings(self) -> Iterable[MappingStatus]:
        """What is listened on, one by one."""

    def upstreams(self, mapping: str, pool: int) -> Iterator[UpstreamStatus]:
        """The upstreams of a mapping's pool with this number, one by one.

        There may be 10,000 of them, and all may have changed before the next is
        asked for.
        """

    @property
    def history(self) -> HistorySource:
        """The last hour of each mapping."""

    def why(self, question: Question) -> Why:
        """Which route a request takes, and why.

        :raises CannotExplain: it is no request, or no mapping has its port.
        """

    @property
    def tag_routes(self) -> TagRoutesSource:
        """The routes that are tags in Consul."""

    def drain(self, upstream: str) -> bool:
        """Give that upstream no new connections, in any pool; whether it exists.

        :raises CannotOrder: not now.
        """

    def undrain(self, upstream: str) -> bool:
        """The opposite, as far as Consul lets it serve, though it may be gone.

        :raises CannotOrder: not now.
        """

    def eject(self, upstream: str) -> Awaitable[bool]:
        """Eject it as if it had failed; whether there is such a one.

        Fails with `CannotOrder` if it cannot be ejected.
        """

    def drain_gateway(self) -> None:
        """Drain the gateway and end it when nothing is open, as SIGTERM does."""
