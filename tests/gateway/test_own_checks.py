"""Which instances a gateway checks, and what it makes of the results."""

import json
from typing import Any, cast

import pytest
from attrs import evolve
from twisted.internet.task import Clock

from lbconsul.balance.events import Change, PoolEvent, UpstreamEvent
from lbconsul.balance.instance import Instance
from lbconsul.balance.own_checks import ResultChanges
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.checks import checker as module
from lbconsul.checks.checker import Target
from lbconsul.config.build import configure
from lbconsul.gateway.own_checks import OwnChecks
from lbconsul.proxy.targets import failover_spec
from tests.checks.test_checker import FakeAttempt, FakePoller
from tests.support.events import EventRecorder
from tests.support.instances import an_instance, name_of

WEB = ServiceQuery("web")


class FakeAvailability:
    """Sees which services changed."""

    def __init__(self) -> None:
        self.seen: list[ServiceQuery] = []

    def look(self, query: ServiceQuery) -> None:
        """The pools of this one changed."""
        self.seen.append(query)


class Stage:
    """A gateway's own checks, whose results the test gives."""

    def __init__(self, *mappings: str, state: object = None) -> None:
        self.clock = Clock()
        self.observer = EventRecorder()
        self.availability = FakeAvailability()
        self.changes: list[ResultChanges] = []
        self.attempts = FakeAttempt.made = []
        self.registry = Registry(
            lambda: 0.0, on_change=self._on_change, seconds=self.clock.seconds
        )
        self.specs = [
            failover_spec(each) for each in configure(mappings=mappings).mappings
        ]
        for each in self.specs:
            self.registry.failover(each)
        self.checks = OwnChecks(
            self.clock,
            cast(Any, self),
            self.observer,
            cast(Any, self.availability),
            lambda: 0.5,
            400.0,
        )
        self.checks.inherit(json.loads(json.dumps(state)))

    def _on_change(self, query: ServiceQuery, change: Change) -> None:
        self.checks.on_change(query, change)

    @property
    def sweeper(self) -> "Stage":
        """Runs work at once."""
        return self

    def begin(self, steps: Any) -> None:
        """Run it."""
        for _ in steps:
            pass

    def set_check_results(self, changes: ResultChanges) -> set[ServiceQuery]:
        """As the data plane does."""
        self.changes.append(changes)
        return self.registry.set_check_results(changes)

    def start(self, *found: Instance) -> None:
        """The gateway runs, and Consul has answered."""
        self.registry.replace(WEB, found)
        self.checks.startService()

    def checked(self) -> list[str]:
        """The names of what is checked."""
        return sorted(
            each.key.identity.service_id for each in self.checks.checker or ()
        )

    def target(self, name: str) -> Target:
        """What is known of an instance."""
        assert self.checks.checker is not None
        found = (each for each in self.checks.checker if name_in(each) == name)
        return next(found)

    def result(self, name: str, passed: bool, times: int = 1) -> None:
        """The next checks of an instance have this result."""
        for _ in range(times):
            while self.target(name).attempt is None:
                self.clock.advance(0.05)
            text = "200" if passed else "503"
            cast(Any, self.target(name).attempt).on_done(passed, text)
        self.clock.advance(0.05)

    def standing(self, name: str) -> tuple[str, str]:
        """How an instance stands, and why."""
        pool = self.registry.pool(self.specs[0].selections[0])
        upstream = next(each for each in pool.upstreams() if name_of(each) == name)
        state = pool.state(upstream)
        return state.standing.value, state.reason

    def told(self) -> list[str]:
        """The events so far: kinds, with the names of the instances."""
        shown = []
        for each in self.observer.events:
            if isinstance(each, UpstreamEvent):
                shown.append(f"{each.kind.value} {name_of(cast(Any, each))}")
            elif isinstance(each, PoolEvent):
                shown.append(f"{each.kind.value} {len(each.instances)}")
        return shown


def name_in(target: Target) -> str:
    """The name of the instance that is checked."""
    return target.key.identity.service_id


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks are made up."""
    monkeypatch.setattr(module, "CheckAttempt", FakeAttempt)
    monkeypatch.setattr(FakeAttempt, "time_out", lambda attempt, text: None)
    monkeypatch.setattr(module, "open_poller", lambda reactor: FakePoller())


def some(names: str) -> list[Instance]:
    """Instances with these letters as names."""
    return [an_instance(name) for name in names]


def test_without_checks_there_is_no_checker() -> None:
    """A gateway whose mappings have none does nothing."""
    stage = Stage("80:web")
    stage.start(*some("ab"))
    assert stage.checks.checker is None
    pool = stage.registry.pool(stage.specs[0].selections[0])
    assert stage.checks.target(pool, an_instance("a")) is None
    assert not stage.clock.getDelayedCalls()
    stage.checks.use_rate(1.0)
    stage.checks.stopService()


def test_what_consul_lets_serve_is_checked() -> None:
    """And nothing else: neither what it calls critical nor what may not be connected
    to.
    """
    stage = Stage("80:web,check=/health,upstream-allow=192.0.2.0/24")
    stage.start(
        an_instance("a"),
        an_instance("b", status="critical"),
        an_instance("c", host="198.51.100.1"),
        evolve(an_instance("d"), skipped="it is this gateway"),
    )
    assert stage.checked() == ["a"]
    stage.registry.replace(WEB, [an_instance("a", status="critical"), *some("be")])
    assert stage.checked() == ["b", "e"]
    stage.registry.replace(WEB, [])
    assert stage.checked() == []


def test_turn() -> None:
    """A failing check takes an instance out, which is told once, as is its return."""
    stage = Stage("80:web,check=/health")
    stage.start(*some("ab"))
    stage.result("a", True)
    stage.result("b", True)
    assert stage.told() == []
    stage.result("a", False, 3)
    assert stage.standing("a") == ("draining", "own check: GET /health: 503")
    assert stage.told() == ["down a"]
    event = stage.observer.events[0]
    assert isinstance(event, UpstreamEvent)
    assert (str(event.before), str(event.after)) == (
        "Standing.SERVING", "Standing.DRAINING",
    )  # fmt: skip
    assert stage.availability.seen == [WEB]
    stage.result("a", True, 2)
    assert stage.standing("a")[0] == "serving"
    assert stage.told() == ["down a", "up a"]


def test_mappings_share_a_check() -> None:
    """Two mappings with an equal check ask an instance once; both follow."""
    stage = Stage("80:web,check=/,policy=p2c", "81:web,check=/", "82:web,check=tcp")
    stage.start(*some("ab"))
    assert stage.checked() == ["a", "a", "b", "b"]
    stage.registry.keep_only(stage.specs[:1])
    stage.checks.learn()
    assert stage.checked() == ["a", "b"]
    stage.registry.keep_only([])
    stage.clock.pump([0.06] * 110)  # it notices by itself
    assert stage.checked() == []


def test_what_moves_begins_anew() -> None:
    """An instance at another port has not failed; the result for its old one is
    forgotten everywhere.
    """
    stage = Stage("80:web,check=/health")
    stage.start(*some("ab"))
    stage.result("a", False)
    (old,) = stage.registry.check_results
    stage.registry.replace(WEB, [an_instance("a", port=81), an_instance("b")])
    assert stage.standing("a")[0] == "serving"
    assert stage.changes[-1] == {old: None}
    assert not stage.registry.check_results


def test_init_down() -> None:
    """With check-init=down all processes are told what passes, too."""
    stage = Stage("80:web,check=/health,check-init=down", "81:web,check=/health")
    stage.start(*some("ab"))
    assert stage.standing("a") == ("draining", "own check: no result yet")
    stage.result("a", True)
    assert stage.standing("a")[0] == "serving"
    assert stage.told() == []
    assert [*stage.registry.check_results.values()] == [""]


def test_takeover() -> None:
    """A successor begins with what is known: what fails gets nothing from the first
    moment on, and that is no news.
    """
    first = Stage("80:web,check=/health")
    first.start(*some("abc"))
    first.result("a", False)
    first.result("b", True)
    second = Stage("80:web,check=/health", state=first.checks.state())
    second.start(*some("abc"))
    assert second.standing("a") == ("draining", "own check: GET /health: 503")
    assert second.told() == []
    second.result("b", False)
    assert second.standing("b")[0] == "serving", "it takes three failures"
    second.result("c", False)
    assert second.standing("c")[0] == "draining", "it is new: one is enough"


def test_many_at_once_are_one_event() -> None:
    """When a network fails, other events are not displaced."""
    stage = Stage("80:web,check=/health,check-fail-open=off")
    stage.start(*(an_instance(f"web-{number}") for number in range(30)))
    while not stage.checks.checker or stage.checks.checker.under_way < 30:
        stage.clock.advance(0.05)
    for each in tuple(stage.checks.checker):
        cast(Any, each.attempt).on_done(False, "Connection refused")
    stage.clock.advance(0.05)
    assert stage.told() == ["down 30"]
    assert len(stage.changes[-1]) == 30
    stage.checks.use_rate(1000.0)
    assert stage.checks.checker.rate == 1000.0
    stage.checks.stopService()
    assert not stage.clock.getDelayedCalls()
