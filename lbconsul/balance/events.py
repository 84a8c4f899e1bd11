"""Events: what happened, as values.

Log lines, rows of the event stream and tests use the value; no code parses a
sentence to learn what happened.
"""

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from attrs import frozen

from lbconsul.balance.instance import Identity, Instance, Status
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.standing import Standing

#: Up to this many instances that change in one way make one event each.  More make one
#: event together: a large answer must not displace other events.
_SINGLE = 20


class EventKind(Enum):
    """What happened."""

    #: An instance appears in Consul's answer, disappears from it, or changes.
    JOINED = "joined"
    LEFT = "left"
    CHANGED = "changed"
    #: An upstream failed, or an operator ejected it; it gets connections again.
    EJECTED = "ejected"
    RESTORED = "restored"
    #: The shrink guard keeps upstreams that Consul dropped; one of them is gone indeed.
    SUSPECT = "suspect"
    CONFIRMED = "confirmed"
    #: The gateway's own check of an instance fails; it passes again.
    DOWN = "down"
    UP = "up"
    #: A pool is used though the own checks of all fail; failing ones get nothing again.
    FAIL_OPEN = "fail-open"
    FAIL_CLOSED = "fail-closed"
    #: An operator drained an instance; the drain is over.
    DRAINED = "drained"
    UNDRAINED = "undrained"
    #: A query to Consul fails; Consul answers it again.
    FAILING = "failing"
    RECOVERED = "recovered"
    #: A mapping has had no usable instance so far; now it has one.
    EMPTY = "empty"
    AVAILABLE = "available"
    #: A process lags behind and turns away a part of a mapping's clients; no longer.
    OVERLOADED = "overloaded"
    RELIEVED = "relieved"
    #: A tag of a service is no route, though it should be one; it is mended, or gone.
    BAD_TAG = "bad tag"
    GOOD_TAG = "good tag"
    #: The gateway has a new configuration; it accepts no more connections.
    RELOADED = "reloaded"
    DRAINING = "draining"


class Changed(NamedTuple):
    """One instance that two successive answers describe differently."""

    before: Instance
    after: Instance


@frozen
class Change:
    """The difference between two successive answers; false if there is none."""

    joined: tuple[Instance, ...] = ()
    left: tuple[Instance, ...] = ()
    changed: tuple[Changed, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.joined or self.left or self.changed)

    @property
    def put(self) -> tuple[Instance, ...]:
        """The instances that joined or changed, as they are now."""
        return (*self.joined, *(each.after for each in self.changed))


@frozen(kw_only=True)
class UpstreamEvent:
    """Something that happened to one instance.

    `before` and `after` are Consul's health statuses if the catalog changed, else
    standings in a pool.  `query` is None if the event concerns every pool, `instance`
    is an identity if no more is known, and `seconds` is the initial duration.
    """

    kind: EventKind
    query: ServiceQuery | None = None
    instance: Instance | Identity
    reason: str = ""
    before: Standing | Status | None = None
    after: Standing | Status | None = None
    seconds: float | None = None


@frozen(kw_only=True)
class PoolEvent:
    """Something that happened to several instances of one query at once.

    `total` is the number of upstreams that served before; 0 if irrelevant.
    """

    kind: EventKind
    query: ServiceQuery
    instances: tuple[Instance, ...]
    total: int = 0
    seconds: float | None = None


@frozen(kw_only=True)
class QueryEvent:
    """Consul fails to answer a query, or answers it again."""

    kind: EventKind
    query: ServiceQuery
    reason: str = ""


@frozen(kw_only=True)
class MappingEvent:
    """A mapping has no usable instance, or has one; or it is overloaded.

    `query` is None if it is not about instances.
    """

    kind: EventKind
    query: ServiceQuery | None
    mapping: str
    reason: str = ""


@frozen(kw_only=True)
class RouteEvent:
    """Something about the routes of a mapping that are tags in Consul."""

    kind: EventKind
    mapping: str
    reason: str


@frozen(kw_only=True)
class GatewayEvent:
    """Something that happened to the gateway as a whole."""

    kind: EventKind
    reason: str


#: What the registry and its pools report.
RegistryEvent = UpstreamEvent | PoolEvent

Event = (
    UpstreamEvent | PoolEvent | QueryEvent | MappingEvent | RouteEvent | GatewayEvent
)


def events_of(query: ServiceQuery, change: Change) -> Iterator[Event]:
    """The events for the change that one answer makes."""
    yield from _events(
        EventKind.JOINED, query, [(None, each) for each in change.joined]
    )
    yield from _events(EventKind.LEFT, query, [(each, None) for each in change.left])
    yield from _events(EventKind.CHANGED, query, change.changed)


def _events(
    kind: EventKind,
    query: ServiceQuery,
    pairs: Iterable[tuple[Instance | None, Instance | None]],
) -> Iterator[Event]:
    """`pairs`: each instance before and after the answer; None if absent."""
    found = [(before, after, after or before) for before, after in pairs]
    if len(found) > _SINGLE:
        instances = tuple(each for _, _, each in found if each is not None)
        yield PoolEvent(kind=kind, query=query, instances=instances)
        return
    for before, after, instance in found:
        assert instance is not None
        yield UpstreamEvent(
            kind=kind,
            query=query,
            instance=instance,
            reason=reason_of(instance),
            before=status_of(before),
            after=status_of(after),
        )


def reason_of(instance: Instance) -> str:
    """Why Consul gives an instance its status, or why it gets no connections."""
    return instance.skipped or instance.health.worst(instance.node_health).reason


def status_of(instance: Instance | None) -> Status | None:
    """The worst status of an instance's own checks and its node's."""
    if instance is None:
        return None
    return instance.health.worst(instance.node_health).status
