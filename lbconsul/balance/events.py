"""Events: what happened, as values, and the one place where they become sentences.

Log lines, rows of the event stream and tests use the value; no code parses a
sentence to learn what happened.
"""

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, NamedTuple

from attrs import frozen

from lbconsul.balance.instance import Identity, Instance, Status
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.standing import Standing
from lbconsul.text import clipped

#: Up to this many instances that change in one way make one event each.  More make one
#: event together: a large answer must not displace other events.
_SINGLE = 20

#: The most instances that a sentence names, and that a list of names holds.
_NAMED, _LISTED = 5, 50

#: The most characters shown of one instance.
_INSTANCE = 500


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
    #: An operator drained an instance; the drain is over.
    DRAINED = "drained"
    UNDRAINED = "undrained"
    #: A query to Consul fails; Consul answers it again.
    FAILING = "failing"
    RECOVERED = "recovered"
    #: A mapping has had no usable instance so far; now it has one.
    EMPTY = "empty"
    AVAILABLE = "available"
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
    """A mapping has no usable instance, or has one."""

    kind: EventKind
    query: ServiceQuery
    mapping: str
    reason: str = ""


@frozen(kw_only=True)
class GatewayEvent:
    """Something that happened to the gateway as a whole."""

    kind: EventKind
    reason: str


#: What the registry and its pools report.
RegistryEvent = UpstreamEvent | PoolEvent

Event = UpstreamEvent | PoolEvent | QueryEvent | MappingEvent | GatewayEvent


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
            reason=_reason(instance),
            before=_status(before),
            after=_status(after),
        )


def _reason(instance: Instance) -> str:
    return instance.skipped or instance.health.worst(instance.node_health).reason


def _status(instance: Instance | None) -> Status | None:
    if instance is None:
        return None
    return instance.health.worst(instance.node_health).status


def name_of(instance: Instance | Identity) -> str:
    """An instance as logs and events show it."""
    return "/".join(instance) if isinstance(instance, Identity) else str(instance)


def names_of(instances: Iterable[Instance]) -> list[str]:
    """The names of the first 50 instances, each of at most 500 characters."""
    return [
        clipped(str(each), _INSTANCE)
        for each, _ in zip(instances, range(_LISTED), strict=False)
    ]


# Sentences.


def describe(event: Event) -> str:
    """An event as a sentence for the operator."""
    what = event.kind.value
    match event:
        case UpstreamEvent():
            return f"{name_of(event.instance)} {what}{_details(event)}"
        case PoolEvent(kind=EventKind.SUSPECT):
            return _held(event)
        case PoolEvent():
            return f"{len(event.instances)} instances {what}"
        case QueryEvent(kind=EventKind.FAILING):
            return f"no answer from Consul: {event.reason}"
        case QueryEvent():
            return "Consul answers again"
        case MappingEvent(kind=EventKind.EMPTY):
            return f"{event.mapping} has no usable instance {event.reason}"
        case MappingEvent():
            return f"{event.mapping} has a usable instance"
        case _:
            return f"{what}: {event.reason}"


def _details(event: UpstreamEvent) -> str:
    """The cause and the consequence of an event, where it has them."""
    shift = event.kind is EventKind.CHANGED and event.before != event.after
    shown = [f"{event.before} -> {event.after}"] if shift else []
    shown += [event.reason] if event.reason else []
    details = f": {', '.join(shown)}" if shown else ""
    if event.seconds is None:
        return details
    return f"{details}; back in {event.seconds:.0f} s"


def _held(event: PoolEvent) -> str:
    count = len(event.instances)
    names = ", ".join(map(str, event.instances[:_NAMED]))
    more = f" and {count - _NAMED} more" if count > _NAMED else ""
    return (
        f"shrink guard: Consul took out {count} of {event.total} upstreams at once;"
        f" they are suspect for {event.seconds:g} s, and used where too few others are"
        f" left ({names}{more})"
    )


def summary(change: Change) -> str:
    """A change as one line: counts, with names where at most 5 instances changed."""
    changed = [_changed(each) for each in change.changed[: _NAMED + 1]]
    parts = [
        _part("joined", len(change.joined), _with_reasons(change.joined)),
        _part("left", len(change.left), _with_reasons(change.left)),
        _part("changed", len(change.changed), changed),
    ]
    return ", ".join(filter(None, parts)) or "nothing new"


def _part(what: str, count: int, shown: list[str]) -> str:
    if not count:
        return ""
    return f"{count} {what}" + (f" ({', '.join(shown)})" if count <= _NAMED else "")


def _with_reasons(instances: tuple[Instance, ...]) -> list[str]:
    return [_words(str(each), _reason(each)) for each in instances[: _NAMED + 1]]


def _changed(change: Changed) -> str:
    before, after = map(_status, change)
    shift = f"{before} -> {after}" if before != after else ""
    return _words(str(change.after), shift, _reason(change.after))


def _words(*words: str) -> str:
    return clipped(", ".join(filter(None, words)), _INSTANCE)


def change_fields(change: Change) -> dict[str, Any]:
    """A change as the fields of a log line: names, at most 50 of each, and counts."""
    return {
        "joined": names_of(change.joined),
        "left": names_of(change.left),
        "changed": names_of(each.after for each in change.changed),
        "counts": {
            "joined": len(change.joined),
            "left": len(change.left),
            "changed": len(change.changed),
        },
    }


def event_fields(event: RegistryEvent) -> dict[str, Any]:
    """An event as the fields of a log line; empty fields are left out."""
    fields: dict[str, Any] = {"kind": event.kind.value, "query": str(event.query or "")}
    if isinstance(event, PoolEvent):
        fields |= {
            "instances": names_of(event.instances),
            "count": len(event.instances),
        }
    else:
        fields |= {"instance": name_of(event.instance), "reason": event.reason}
        fields |= {"before": word_of(event.before), "after": word_of(event.after)}
    if event.seconds is not None:
        fields["seconds"] = round(event.seconds, 3)
    return {name: value for name, value in fields.items() if value != ""}


def word_of(state: Standing | Status | None) -> str:
    """A standing or a health status as one word; empty for None."""
    return state.value if isinstance(state, Standing) else state or ""
