"""Events as values."""

from attrs import evolve

from lbconsul.balance.events import (
    Change,
    Changed,
    EventKind,
    PoolEvent,
    UpstreamEvent,
    events_of,
)
from lbconsul.balance.instance import Status
from lbconsul.balance.pool_spec import ServiceQuery
from tests.support.instances import an_instance, instances

WEB = ServiceQuery("web")
A = an_instance("a")
RESTING = an_instance("a", status="maintenance")
MANY = tuple(instances(*(str(number) for number in range(60))))


def turned(status: Status, reason: str = "", name: str = "c") -> Changed:
    """An instance that was passing and is so now."""
    return Changed(an_instance(name), an_instance(name, status=status, reason=reason))


def event(change: Change) -> UpstreamEvent:
    """The one event of a change."""
    [found] = events_of(WEB, change)
    assert isinstance(found, UpstreamEvent)
    return found


def test_change() -> None:
    """A change that has anything in it is true; what is new in it is put."""
    changed = turned("critical")
    assert not Change()
    change = Change((A,), (), (changed,))
    assert change
    assert change.put == (A, changed.after)


def test_each() -> None:
    """Each instance that joined, left or changed makes an event, in this order."""
    a, b = instances("a", "b")
    change = Change((a,), (b,), (turned("maintenance"),))
    assert list(events_of(WEB, change)) == [
        UpstreamEvent(kind=EventKind.JOINED, query=WEB, instance=a, after="passing"),
        UpstreamEvent(kind=EventKind.LEFT, query=WEB, instance=b, before="passing"),
        UpstreamEvent(
            kind=EventKind.CHANGED,
            query=WEB,
            instance=an_instance("c", status="maintenance"),
            before="passing",
            after="maintenance",
        ),
    ]
    assert list(events_of(WEB, Change())) == []


def test_reason() -> None:
    """A check's words are the reason, also those of a check of the node."""
    ill = event(Change((), (), (turned("critical", "on fire"),)))
    assert (ill.after, ill.reason) == ("critical", "on fire")
    node = an_instance("b", node_status="warning", node_reason="disk full")
    joined = event(Change((node,)))
    assert (joined.after, joined.reason) == ("warning", "disk full")
    assert event(Change((evolve(A, skipped="it is ours"),))).reason == "it is ours"


def test_many_are_one_event() -> None:
    """More than twenty are one event, so that the others are not pushed out."""
    first, *others = events_of(WEB, Change(joined=MANY[:21], left=MANY[:20]))
    assert first == PoolEvent(kind=EventKind.JOINED, query=WEB, instances=MANY[:21])
    assert len(others) == 20
    assert {each.kind for each in others} == {EventKind.LEFT}
