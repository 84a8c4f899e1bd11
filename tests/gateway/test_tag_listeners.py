"""Ports that tags open and close."""

from collections.abc import Iterable
from typing import Any, cast

from attrs import define, field
from twisted.internet.task import Clock

from lbconsul.balance.events import RouteEvent
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping
from lbconsul.errors import CannotListen
from lbconsul.gateway.interfaces import DataPlane
from lbconsul.gateway.tag_listeners import RETRY, TagListeners
from lbconsul.steps import Steps


@define(eq=False)
class FakeSocket:
    """A socket of a mapping."""

    mapping: Mapping


@define(eq=False)
class FakeSockets:
    """Sockets, of which some cannot be bound."""

    all: list[FakeSocket] = field(factory=list)
    broken: set[Any] = field(factory=set)

    def __iter__(self) -> Any:
        return iter(self.all)

    def binding(self, mappings: list[Mapping]) -> Steps[list[FakeSocket]]:
        for each in mappings:
            if each.listen in self.broken:
                raise CannotListen(f"cannot listen on {each.listen}")
            yield False
        return [FakeSocket(each) for each in mappings]


@define(eq=False)
class FakeDataPlane:
    """Serves what it is told."""

    sockets: FakeSockets = field(factory=FakeSockets)

    def replacing(
        self, mappings: Iterable[Mapping], added: list[FakeSocket], log: bool
    ) -> Steps[None]:
        known = {each.mapping.listen: each for each in (*self.sockets.all, *added)}
        self.sockets.all = []
        for mapping in mappings:
            known[mapping.listen].mapping = mapping
            self.sockets.all.append(known[mapping.listen])
            yield False


def db(port: int, service: str = "db") -> Mapping:
    """A mapping of a port."""
    return Mapping(service, TCPListen("0.0.0.0", port))


def test_ports_come_and_go() -> None:
    """What cannot be bound is told of once and tried again; the others are served."""
    clock, plane, events = Clock(), FakeDataPlane(), list[RouteEvent]()
    web = db(80, "web")
    plane.sockets.all = [FakeSocket(web)]
    learned, logs = list[int](), [True]

    class Observer:
        def on_event(self, event: Any) -> None:
            events.append(event)

    listeners = TagListeners(
        clock,
        cast(DataPlane, plane),
        Observer(),
        lambda: learned.append(1),
        lambda: logs[0] or None,
    )
    plane.sockets.broken.add(db(3307).listen)
    listeners.use([db(3306), db(3307), db(80)])
    assert [str(each.mapping) for each in plane.sockets] == ["80:web", "3306:db"]
    assert listeners.mappings == [db(3306)]
    assert [each.mapping for each in events] == ["3307:db", "80:db"]
    assert "80:web" in events[1].reason
    clock.advance(RETRY)
    assert len(events) == 2 and len(learned) == 1
    plane.sockets.broken.clear()
    clock.advance(RETRY)
    assert listeners.mappings == [db(3306), db(3307)]
    listeners.use([db(3306, "newer")])
    assert listeners.mappings == [db(3306, "newer")]
    logs[0] = False  # the gateway drains
    listeners.use([])
    assert listeners.mappings == [db(3306, "newer")]
    assert not clock.getDelayedCalls()
