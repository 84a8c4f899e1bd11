"""The events that are made of workers' ejection reports."""

from typing import Any

from twisted.internet.task import Clock

from lbconsul.balance.events import Event, EventKind, UpstreamEvent
from lbconsul.balance.outlier import Ejection
from lbconsul.balance.pool_spec import FailoverSpec, PoolSpec, ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.balance.standing import Standing
from lbconsul.workers.ejection_reports import EjectionReports
from tests.support.events import short
from tests.support.instances import an_identity, an_instance, instances

WEB, WEST = PoolSpec(ServiceQuery("web")), PoolSpec(ServiceQuery("web", "west"))
A, B = an_identity("a"), an_identity("b")
FAILED = Ejection("it failed", 5.0, 15.0), 5.0


class Heard:
    """What is noted of what workers report."""

    def __init__(self) -> None:
        self.registry = Registry(lambda: 0.0)
        self.registry.failover(FailoverSpec((WEB, WEST)))
        self.registry.replace(WEB.query, instances("a", "b"))
        self.events: list[Event] = []
        self.clock = Clock()
        self.reported: list[Any] = []
        self.reports = EjectionReports(
            self.clock,
            self.registry,
            lambda: self.reported,
            lambda event: self.events.append(event),
        )

    def report(self, route: FailoverSpec, ejected: Any) -> None:
        """Workers have ejected these upstreams of a failover."""
        self.reported = [(route, ejected)]
        for _ in range(2):  # as if for two mappings
            self.reports.changed()
        self.clock.advance(0)

    def look(
        self, *ejected: tuple[int, Any], route: FailoverSpec | None = None
    ) -> list[Any]:
        """Workers have ejected these; kind and instance of each event."""
        reported = dict.fromkeys(ejected, FAILED)
        self.report(route or FailoverSpec((WEB, WEST)), reported)
        events, self.events = self.events, []
        return [short(each)[:2] for each in events if isinstance(each, UpstreamEvent)]


def test_ejected_by_workers() -> None:
    """An ejection by workers is one event, and so is the last worker's restore."""
    heard = Heard()
    assert heard.look((0, A)) == [("ejected", "a")]
    assert heard.look((0, A)) == []
    assert heard.look((0, B), (0, A)) == [("ejected", "b")]
    assert heard.look((0, B)) == [("restored", "a")]


def test_what_an_event_says() -> None:
    """An ejection has its reason and its length, and each event both standings."""
    heard, route = Heard(), FailoverSpec((WEB, WEST))
    heard.report(route, {(0, A): FAILED})
    heard.report(route, {})
    [a, _] = instances("a", "b")
    assert heard.events == [
        UpstreamEvent(
            kind=EventKind.EJECTED,
            query=WEB.query,
            instance=a,
            reason="it failed",
            before=Standing.SERVING,
            after=Standing.EJECTED,
            seconds=10.0,
        ),
        UpstreamEvent(
            kind=EventKind.RESTORED,
            query=WEB.query,
            instance=a,
            reason="every worker uses it again",
            before=Standing.EJECTED,
            after=Standing.SERVING,
        ),
    ]


def test_ejected_and_gone() -> None:
    """An instance that is gone, or drains, is not restored."""
    heard = Heard()
    heard.look((0, A), (0, B))
    heard.registry.replace(WEB.query, [an_instance("a", status="maintenance")])
    assert heard.look() == []
    assert heard.look((0, an_identity("never-seen"))) == []


def test_ejected_before_a_reload() -> None:
    """Reports on datacenters and mappings that are no more are passed over."""
    heard = Heard()
    heard.look((0, A))
    west = FailoverSpec((WEST,))
    assert heard.look((1, A), route=west) == []
    heard.registry.keep_only([west])
    assert heard.look(route=west) == []
    assert WEB not in heard.registry._pools


def test_at_the_end() -> None:
    """A report just before the end is an event, too."""
    heard = Heard()
    heard.reported = [(FailoverSpec((WEB, WEST)), {(0, A): FAILED})]
    heard.reports.changed()
    heard.reports.stop()
    heard.reports.stop()
    assert [each.kind for each in heard.events] == [EventKind.EJECTED]
    assert heard.clock.getDelayedCalls() == []
