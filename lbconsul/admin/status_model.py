"""The status of a gateway, as values.

`Source` provides them: a gateway.  Times are seconds since the UNIX epoch, durations
are seconds.  ``/status`` is these values as JSON, under the same names.
"""

from collections.abc import Awaitable, Iterator, Mapping
from typing import Protocol

from attrs import Factory, frozen

#: The version of the format of ``/status``: it grows when a name is removed or changes
#: its meaning.
FORMAT = 2

#: Upper bounds of histograms, in seconds; one more bucket holds what is beyond.
CONNECT_BOUNDS = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
)
FIRST_BYTE_BOUNDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
)
CONNECTION_BOUNDS = (0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 3600, 14400)


@frozen
class WorkerStatus:
    """One worker process."""

    number: int
    pid: int | None
    #: Whether it accepts clients.
    serves: bool
    open: int = 0
    accepted: int = 0


@frozen
class FullStatus:
    """A limit that is reached: new clients wait."""

    #: ``max-connections`` (of a mapping), ``process`` (the connection limit of a
    #: process, by its descriptors), ``descriptors`` (the system had no descriptor, port
    #: or memory left).
    reason: str
    #: Empty if the limit concerns all mappings.
    mapping: str = ""
    #: The number of processes that have reached it.
    processes: int = 1


@frozen
class GatewayStatus:
    """The gateway as a whole."""

    #: The version of lbconsul.
    version: str
    started: float
    now: float
    #: ``starting``, ``serving``, ``draining`` (no new clients are accepted).
    state: str
    #: Whether every mapping listens and has had an answer, and the gateway is not
    #: draining.
    ready: bool
    #: The reasons why it is not ready, each a sentence.
    not_ready: tuple[str, ...] = ()
    pid: int = 0
    #: Whether orders (drain, undrain, eject) are possible: ``need a token`` or ``off``.
    changes: str = "off"
    #: Empty if one process does all.
    workers: tuple[WorkerStatus, ...] = ()
    #: The options in force by name, in their written form; tokens are hidden.
    options: Mapping[str, str] = Factory(dict)
    #: Consul's addresses.
    consul: tuple[str, ...] = ()
    #: The largest recent delay of the reactor's calls, in seconds.
    reactor_lag: float = 0.0
    open: int = 0
    accepted: int = 0
    max_connections: int = 0
    #: Log lines dropped since the start, because the log was not written fast enough.
    log_lines_dropped: int = 0
    #: The limits that have been reached for at least a second.
    full: tuple[FullStatus, ...] = ()


@frozen
class SkippedStatus:
    """An instance that is never connected to, and why."""

    #: ``id@node host:port``.
    instance: str
    reason: str


@frozen
class WatchStatus:
    """One watch: a query to Consul and how it goes."""

    #: The service and the query's other parameters, as in ``web,dc=west``.
    query: str
    service: str
    datacenter: str
    #: ``waiting`` (no answer yet), ``watching``, ``backing off`` (Consul fails),
    #: ``snapshot`` (using the saved answer of an earlier run), ``fixed`` (an address).
    state: str
    #: The address of the Consul agent in use.
    address: str = ""
    #: How long ago Consul last confirmed the answer in use; None if it never has.
    age: float | None = None
    index: int = 0
    #: The last error of the present streak of failures; empty if there is none.
    last_error: str = ""
    #: The time of the last error, also after a recovery.
    last_error_at: float | None = None
    #: The start of the present streak of failures; None if there is none.
    failing_since: float | None = None
    answers: int = 0
    changes: int = 0
    errors: int = 0
    instances: int = 0
    #: The number of instances that are skipped whatever their checks say, and the first
    #: fifty of them.
    skipped: int = 0
    skipped_instances: tuple[SkippedStatus, ...] = ()


@frozen
class DrainedStatus:
    """One instance that the operator has drained."""

    #: ``datacenter/node/service_id``, each part percent-encoded.
    id: str
    datacenter: str
    node: str
    service_id: str
    #: Whether Consul still has the registration; if not, it can still be undrained.
    registered: bool


@frozen
class UpstreamStatus:
    """One upstream: an instance as one pool balances over it."""

    #: ``datacenter/node/service_id``, each part percent-encoded.
    id: str
    datacenter: str
    node: str
    service_id: str
    #: ``10.0.0.5:8080``.
    address: str
    tags: tuple[str, ...]
    #: Consul's weight, and how much of it counts now (less during slow start).
    weight: int
    effective_weight: float
    #: ``serving``, ``warming``, ``draining``, ``ejected``, ``suspect``.
    standing: str
    #: The reason of the standing, as text.
    reason: str
    #: The time of the last change of standing.
    since: float
    #: Open connections over all mappings; connections of this pool's mapping since the
    #: start.
    open: int = 0
    total: int = 0
    #: Bytes from clients to the upstream, and from the upstream to clients.
    bytes_received: int = 0
    bytes_sent: int = 0
    connect_failures: int = 0
    #: The moving average of the connect time, in seconds; None before the first one.
    connect_time: float | None = None


@frozen
class PoolStatus:
    """The upstreams of one query, under the rules of one mapping."""

    query: str
    #: Whether new connections go to this pool; of several datacenters one is used.
    used: bool
    #: Whether the pool is used only when all others have no usable upstream.
    fallback: bool = False
    upstreams: int = 0
    #: The service of a fallback pool; empty if it is the mapping's.
    service: str = ""


@frozen
class Histogram:
    """A histogram; counts are per bucket, not cumulative."""

    bounds: tuple[float, ...]
    #: One more than there are bounds: the last bucket has no upper bound.
    counts: tuple[int, ...]
    sum: float


@frozen
class MappingStatus:
    """A listening address, the service behind it, and its connections."""

    #: The mapping in its written form: ``80:web``.
    name: str
    #: ``0.0.0.0:80``, ``unix:/run/web.sock``.
    listen: str
    service: str
    policy: str
    #: Whether clients are accepted; above a limit they wait in the kernel's queue.
    listening: bool
    options: Mapping[str, str] = Factory(dict)
    accepted: int = 0
    open: int = 0
    #: Clients in the wait queue: no upstream has room for them.
    queued: int = 0
    #: Ended connections by termination: `docs/reference.md` has the codes.
    terminations: Mapping[str, int] = Factory(dict)
    bytes_received: int = 0
    bytes_sent: int = 0
    pools: tuple[PoolStatus, ...] = ()
    connect_time: Histogram = Histogram(CONNECT_BOUNDS, (), 0.0)
    first_byte_time: Histogram = Histogram(FIRST_BYTE_BOUNDS, (), 0.0)
    connection_time: Histogram = Histogram(CONNECTION_BOUNDS, (), 0.0)
    #: Why no instance is usable; empty if an instance is, or if that is not known yet.
    empty: str = ""


@frozen(kw_only=True)
class Event:
    """An event of the gateway, as shown by ``/events``."""

    #: The number of the event: 1 for the first after the start.
    id: int
    time: float
    #: ``joined``, ``left``, ``changed``, ``ejected``, ``restored``, ``suspect``,
    #: ``confirmed``, ``drained``, ``undrained``, ``failing``, ``recovered``,
    #: ``empty``, ``available``, ``reloaded``, ``draining``.
    kind: str
    query: str = ""
    mapping: str = ""
    #: The id of the upstream, if the event is about one.
    upstream: str = ""
    #: If the event is about several instances: the names of the first, and the number
    #: of all.
    instances: tuple[str, ...] = ()
    count: int = 0
    reason: str = ""
    #: Standings; or health statuses, if the instance changed in Consul's catalog.
    before: str = ""
    after: str = ""
    #: How long the effect lasts at first, such as an ejection; None if it has no limit.
    seconds: float | None = None
    #: The event as a sentence.
    text: str = ""


class Source(Protocol):
    """What the admin listener needs of a gateway: its status, and its orders."""

    def gateway(self) -> GatewayStatus:
        """The gateway as a whole."""

    def watches(self) -> list[WatchStatus]:
        """The watches, and how each goes."""

    def drained(self) -> list[DrainedStatus]:
        """The instances that the operator has drained, deregistered ones included."""

    @property
    def drains_last(self) -> str:
        """How long a drain lasts, as text."""

    def mappings(self) -> list[MappingStatus]:
        """The mappings, without their upstreams."""

    def upstreams(self, mapping: str, pool: int) -> Iterator[UpstreamStatus]:
        """Iterate over the upstreams of pool number `pool` of a mapping.

        There may be 10,000 of them, and the pool may change during the iteration.
        """

    def drain(self, upstream: str) -> bool:
        """Drain an upstream in all pools; returns whether it exists.

        :raises CannotOrder: the order is not possible now.
        """

    def undrain(self, upstream: str) -> bool:
        """End a drain, also of a deregistered instance; returns whether it exists.

        The upstream serves again if its health in Consul allows.

        :raises CannotOrder: the order is not possible now.
        """

    def eject(self, upstream: str) -> Awaitable[bool]:
        """Eject an upstream as outlier detection does; returns whether it exists.

        Fails with `CannotOrder` if the upstream cannot be ejected.
        """

    def drain_gateway(self) -> None:
        """Close the listeners, and exit when no connection is open, as on SIGTERM."""
