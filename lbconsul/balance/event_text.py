"""Events and changes as sentences, and as the fields of log lines.

This is the only place where an event becomes a sentence.
"""

from collections.abc import Iterable
from typing import Any

from lbconsul.balance.events import (
    Change,
    Changed,
    Event,
    EventKind,
    MappingEvent,
    PoolEvent,
    QueryEvent,
    RegistryEvent,
    UpstreamEvent,
    reason_of,
    status_of,
)
from lbconsul.balance.instance import Identity, Instance, Status
from lbconsul.balance.standing import Standing
from lbconsul.text import clipped

#: The most instances that a sentence names, and that a list of names holds.
_NAMED, _LISTED = 5, 50

#: The most characters shown of one instance.
_INSTANCE = 500


def name_of(instance: Instance | Identity) -> str:
    """An instance as logs and events show it."""
    return "/".join(instance) if isinstance(instance, Identity) else str(instance)


def names_of(instances: Iterable[Instance]) -> list[str]:
    """The names of the first 50 instances, each of at most 500 characters."""
    return [
        clipped(str(each), _INSTANCE)
        for each, _ in zip(instances, range(_LISTED), strict=False)
    ]


def describe(event: Event) -> str:
    """An event as a sentence for the operator."""
    what = event.kind.value
    match event:
        case UpstreamEvent():
            return f"{name_of(event.instance)} {what}{_details(event)}"
        case PoolEvent(kind=EventKind.SUSPECT):
            return _held(event)
        case PoolEvent(kind=EventKind.FAIL_OPEN):
            return (
                f"fail-open: the own checks of all {_count(event)} fail: they are used"
                f" as if none had failed{_named(event)}"
            )
        case PoolEvent(kind=EventKind.FAIL_CLOSED):
            return (
                "fail-closed: an own check passes, or another pool serves: failing"
                " instances get nothing new again"
            )
        case PoolEvent():
            return f"{len(event.instances)} instances {what}"
        case QueryEvent(kind=EventKind.FAILING):
            return f"no answer from Consul: {event.reason}"
        case QueryEvent():
            return "Consul answers again"
        case MappingEvent(kind=EventKind.EMPTY):
            return f"{event.mapping} has no usable instance {event.reason}"
        case MappingEvent(kind=EventKind.OVERLOADED):
            return f"{event.mapping} turns away a part of its load: shed-lag"
        case MappingEvent(kind=EventKind.RELIEVED):
            return f"{event.mapping} turns nothing away by shed-lag any more"
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


def _count(event: PoolEvent) -> str:
    count = len(event.instances)
    return f"{count} instance{'s' if count > 1 else ''}"


def _named(event: PoolEvent) -> str:
    count = len(event.instances)
    names = ", ".join(map(str, event.instances[:_NAMED]))
    more = f" and {count - _NAMED} more" if count > _NAMED else ""
    return f" ({names}{more})"


def _held(event: PoolEvent) -> str:
    count = len(event.instances)
    return (
        f"shrink guard: Consul took out {count} of {event.total} upstreams at once;"
        f" they are suspect for {event.seconds:g} s, and used where too few others are"
        f" left{_named(event)}"
    )


def summary(change: Change) -> str:
    """A change as one line: counts, with names where at most 5 instances changed."""
    changed = [_changed(each) for each in change.changed[: _NAMED + 1]]
    parts = [
        _part("joined", len(change.joined), _with_reasons(change.joined)),
        _part("left", len(change.left), _with_reasons(change.left)),
        _part("changed", len(change.changed), changed),
    ]
    return ", ".join(filter(None, parts)) or "no change"


def _part(what: str, count: int, shown: list[str]) -> str:
    if not count:
        return ""
    return f"{count} {what}" + (f" ({', '.join(shown)})" if count <= _NAMED else "")


def _with_reasons(instances: tuple[Instance, ...]) -> list[str]:
    return [_words(str(each), reason_of(each)) for each in instances[: _NAMED + 1]]


def _changed(change: Changed) -> str:
    before, after = map(status_of, change)
    shift = f"{before} -> {after}" if before != after else ""
    return _words(str(change.after), shift, reason_of(change.after))


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
