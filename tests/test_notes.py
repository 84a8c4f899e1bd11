"""What is noted of an answer."""

from typing import Any

from lbconsul.balance.registry import Change, Registry
from lbconsul.balance.selection import Question, Route, Selection
from lbconsul.notes import Asides, nobody, told_of
from tests.support.instances import an_identity, an_instance, instances

WEB, WEST = Selection(Question("web")), Selection(Question("web", "west"))
A, B = an_identity("a"), an_identity("b")


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


class Heard:
    """What is noted of what workers tell."""

    def __init__(self) -> None:
        self.registry = Registry(lambda: 0.0)
        self.registry.chain(Route((WEB, WEST)))
        self.registry.replace(WEB.question, instances("a", "b"))
        self.notes: list[Any] = []
        self.asides = Asides(self.registry, lambda *what: self.notes.append(what))

    def look(self, *aside: tuple[int, Any], route: Route | None = None) -> list[Any]:
        """Workers have set these aside; the kind and the instance of what is noted."""
        told = dict.fromkeys(aside, ("it failed", 5.0))
        self.asides.look([(route or Route((WEB, WEST)), told)])
        notes, self.notes = self.notes, []
        return [(kind, text, identity) for kind, text, _, identity in notes]


def test_set_aside_by_workers() -> None:
    """Whom workers set aside is noted once, and once when all trust it again."""
    heard = Heard()
    assert heard.look((0, A)) == [("ejected", "a@node-1 192.0.2.1:8080 it failed", A)]
    assert heard.look((0, A)) == []
    assert heard.look((0, B), (0, A))[0][2] == B
    assert heard.look((0, B)) == [("restored", "a@node-1 192.0.2.1:8080 restored", A)]


def test_set_aside_and_gone() -> None:
    """One that is gone, or drains, is not restored."""
    heard = Heard()
    heard.look((0, A), (0, B))
    heard.registry.replace(WEB.question, [an_instance("a", status="maintenance")])
    assert heard.look() == []
    assert heard.look((0, an_identity("never-seen"))) == []


def test_set_aside_before_a_reload() -> None:
    """What was told of datacenters and mappings that are no more is passed over."""
    heard = Heard()
    heard.look((0, A))
    west = Route((WEST,))
    assert heard.look((1, A), route=west) == []
    heard.registry.keep_only([west])
    assert heard.look(route=west) == []
    assert WEB not in heard.registry._pools
