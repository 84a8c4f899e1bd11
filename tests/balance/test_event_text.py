"""The sentences and the fields that are made from events."""

import pytest
from attrs import evolve

from lbconsul.balance.event_text import change_fields, describe, event_fields, summary
from lbconsul.balance.events import (
    Change,
    Changed,
    Event,
    EventKind,
    GatewayEvent,
    MappingEvent,
    PoolEvent,
    QueryEvent,
    RegistryEvent,
    UpstreamEvent,
    events_of,
)
from lbconsul.balance.instance import Identity, Instance, Status
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.standing import Standing
from tests.support.instances import an_identity, an_instance, instances

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


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (event(Change((A,))), f"{A} joined"),
        (event(Change((), (A,))), f"{A} left"),
        (
            event(
                Change(changed=(Changed(an_instance("a", status="maintenance"), A),))
            ),
            f"{A} changed: maintenance -> passing",
        ),
        (
            event(Change(changed=(turned("critical", "on fire", "a"),))),
            f"{A} changed: passing -> critical, on fire",
        ),
        (event(Change(changed=(Changed(A, A),))), f"{A} changed"),
        (
            UpstreamEvent(
                kind=EventKind.EJECTED,
                query=WEB,
                instance=A,
                reason="3 consecutive connect failures",
                before=Standing.SERVING,
                after=Standing.EJECTED,
                seconds=9.6,
            ),
            f"{A} ejected: 3 consecutive connect failures; back in 10 s",
        ),
        (
            UpstreamEvent(
                kind=EventKind.DRAINED, instance=an_identity("a"), reason="by hand"
            ),
            "dc1/node-1/a drained: by hand",
        ),
        (
            PoolEvent(kind=EventKind.JOINED, query=WEB, instances=MANY),
            "60 instances joined",
        ),
        (
            PoolEvent(
                kind=EventKind.SUSPECT,
                query=WEB,
                instances=MANY[:2],
                total=3,
                seconds=12.5,
            ),
            "shrink guard: Consul took out 2 of 3 upstreams at once; they are suspect"
            " for 12.5 s, and used where too few others are left"
            f" ({MANY[0]}, {MANY[1]})",
        ),
        (
            QueryEvent(kind=EventKind.FAILING, query=WEB, reason="refused"),
            "no answer from Consul: refused",
        ),
        (QueryEvent(kind=EventKind.RECOVERED, query=WEB), "Consul answers again"),
        (
            MappingEvent(
                kind=EventKind.EMPTY, query=WEB, mapping="80:web", reason="yet: why"
            ),
            "80:web has no usable instance yet: why",
        ),
        (
            MappingEvent(kind=EventKind.AVAILABLE, query=WEB, mapping="80:web"),
            "80:web has a usable instance",
        ),
        (
            GatewayEvent(kind=EventKind.RELOADED, reason="1 added"),
            "reloaded: 1 added",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sentences(event: Event, sentence: str) -> None:
    """Each event has a sentence for people."""
    assert describe(event) == sentence


def test_suspects_that_are_named() -> None:
    """Of many suspect upstreams the sentence names five and counts the others."""
    held = PoolEvent(
        kind=EventKind.SUSPECT, query=WEB, instances=MANY, total=70, seconds=30.0
    )
    sentence = describe(held)
    assert "60 of 70 upstreams" in sentence
    assert sentence.endswith(f", {MANY[4]} and 55 more)")


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (
            UpstreamEvent(
                kind=EventKind.EJECTED,
                query=WEB,
                instance=A,
                reason="by hand",
                before=Standing.WARMING,
                after=Standing.EJECTED,
                seconds=10.12345,
            ),
            {
                "kind": "ejected",
                "query": "web",
                "instance": str(A),
                "reason": "by hand",
                "before": "warming",
                "after": "ejected",
                "seconds": 10.123,
            },
        ),
        (
            UpstreamEvent(kind=EventKind.UNDRAINED, instance=A),
            {"kind": "undrained", "instance": str(A)},
        ),
        (
            PoolEvent(
                kind=EventKind.SUSPECT, query=WEB, instances=MANY, total=70, seconds=5.0
            ),
            {
                "kind": "suspect",
                "query": "web",
                "instances": [str(each) for each in MANY[:50]],
                "count": 60,
                "seconds": 5.0,
            },
        ),
    ],
    ids=["upstream", "without", "pool"],
)
def test_fields(event: RegistryEvent, fields: dict[str, object]) -> None:
    """In the log an event has fields of its own, of which no list is endless."""
    assert event_fields(event) == fields


def test_summary() -> None:
    """Instances have their names while they are few; a reason stands with them."""
    [a, b] = instances("a", "b")
    assert summary(Change()) == "no change"
    ill = turned("critical", "it is full")
    assert summary(Change((a,), (b,), (ill,))) == (
        f"1 joined ({a}), 1 left ({b}),"
        f" 1 changed ({ill.after}, passing -> critical, it is full)"
    )
    assert summary(Change((), (), (Changed(a, a),))) == f"1 changed ({a})"
    assert summary(Change(MANY[:6])) == "6 joined"
    assert summary(Change((), MANY[:5])).startswith("5 left (")


def _registered(name: str) -> Instance:
    return evolve(A, identity=Identity("dc1", "n", name))


def test_long_names() -> None:
    """However long the names are that were registered, a change stays bounded."""
    long = tuple(_registered("x" * 2000 + each) for each in "abcde")
    assert len(summary(Change(long, long, tuple(map(Changed, long, long))))) < 9000
    assert {len(each) for each in change_fields(Change(long))["joined"]} == {500}


def test_change_fields() -> None:
    """A change as lists of names, of which the counts are whole."""
    fields = change_fields(Change(MANY, MANY[:1], (turned("critical"),)))
    assert fields["joined"] == [str(each) for each in MANY[:50]]
    assert fields["left"] == [str(MANY[0])]
    assert fields["changed"] == [str(an_instance("c"))]
    assert fields["counts"] == {"joined": 60, "left": 1, "changed": 1}
