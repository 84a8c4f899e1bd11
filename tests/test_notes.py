"""What is noted of an answer."""

from lbconsul.balance.registry import Change
from lbconsul.notes import nobody, told_of
from tests.support.instances import an_identity, an_instance, instances


def test_each() -> None:
    """Who joined, left or was altered is noted by name, in this order."""
    a, b, c = instances("a", "b", "c")
    assert list(told_of(Change((a,), (b,), (c,)))) == [
        ("joined", "a@node-1 192.0.2.1:8080 joined", an_identity("a")),
        ("left", "b@node-1 192.0.2.1:8080 left", an_identity("b")),
        ("altered", "c@node-1 192.0.2.1:8080 altered", an_identity("c")),
    ]


def test_reason() -> None:
    """What a check says of it is noted with it, be it one of its node."""
    ill = an_instance("a", status="critical", reason="on fire")
    node = an_instance("b", node_status="warning", node_reason="disk full")
    texts = [text for _, text, _ in told_of(Change(altered=(ill, node)))]
    assert texts == [
        "a@node-1 192.0.2.1:8080 altered: on fire",
        "b@node-1 192.0.2.1:8080 altered: disk full",
    ]


def test_many() -> None:
    """More than twenty are one event, so that the others are not pushed out."""
    names = [str(number) for number in range(21)]
    change = Change(joined=tuple(instances(*names)), left=tuple(instances(*names[:20])))
    first, *others = told_of(change)
    assert first == ("joined", "21 instances joined", None)
    assert len(others) == 20
    assert {kind for kind, _, _ in others} == {"left"}


def test_nothing() -> None:
    """An answer that changes nothing is none; and nobody need take notes."""
    assert list(told_of(Change())) == []
    nobody("joined", "text", None, None)
