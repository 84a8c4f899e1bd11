"""Slow upstreams are ejected, and judged anew once they are back."""

from typing import Any

from attrs import evolve

from lbconsul.balance.failover import Failover
from lbconsul.balance.instance import Instance
from lbconsul.balance.registry import Registry
from lbconsul.config.latency import SlowRule
from lbconsul.proxy.latency_watch import LOOK_EVERY, WINDOW, LatencyWatch
from lbconsul.proxy.targets import failover_spec
from lbconsul.stats.mapping import MappingStats
from lbconsul.steps import finish
from tests.support.mappings import altered
from tests.support.running_proxy import MAPPING
from tests.support.upstreams import instance

RULE = SlowRule(90, 1.0, 3.0, 20)


class Stage:
    """Some instances, how long their answers take, and a clock."""

    def __init__(self, names: str, *, is_http: bool = True, **options: Any) -> None:
        self.now = 1000.0
        self.stats = MappingStats()
        self.stats.use_http()
        self.is_http = is_http
        mapping = altered(MAPPING, eject_latency=RULE, **options)
        spec = failover_spec(mapping)
        self.events: list[Any] = []
        self.registry = Registry(
            lambda: 0.0,
            seconds=lambda: self.now,
            on_event=self.events.append,
        )
        self.instances: dict[str, Instance] = {
            name: instance(name, 8000 + number) for number, name in enumerate(names)
        }
        self.failover: Failover = self.registry.failover(spec)
        [selection] = spec.all()
        self.registry.replace(selection.query, list(self.instances.values()))
        self.watch = LatencyWatch(RULE, self.failover, self.stats, is_http)
        self.look()

    def answers(self, name: str, seconds: float, count: int = 30) -> None:
        """So many answers of an instance take so long."""
        identity = self.instances[name].identity
        for _ in range(count):
            if self.is_http:
                http = self.stats.use_http()
                http.exchanged(identity, 200, seconds, seconds, 0, 0)
            else:
                self.stats.connected(identity, seconds)

    def look(self, after: float = LOOK_EVERY) -> list[str]:
        """The names of those that are ejected after a look this much later."""
        self.now += after
        assert self.watch.is_due(self.now)
        finish(self.watch.looking(self.now))
        assert not self.watch.is_due(self.now + LOOK_EVERY / 2)
        [pool] = self.failover.all
        return sorted(each.instance.identity.service_id for each in pool.ejected)

    def give_back(self) -> None:
        """The ejection ends, and the probe shows that the instance answers."""
        [pool] = self.failover.all
        for upstream in tuple(pool.ejected):
            pool._trust(upstream, "a connection succeeded")

    def seconds(self) -> list[float]:
        """How long ejections are."""
        return [each.seconds for each in self.events if each.seconds]


def test_ejection() -> None:
    """What is much slower than its peers is ejected as if it had failed, with the
    reason; each time in a row for twice as long, and only for what is new."""
    stage = Stage("abc")
    for name in "ab":
        stage.answers(name, 0.02, 400)
    stage.answers("c", 2.0)
    assert stage.look() == []  # they have just come: what was before is not known
    for name in "abc":
        stage.answers(name, 2.0 if name == "c" else 0.02)
    assert stage.look() == ["c"]
    [event] = stage.events
    assert event.reason == "p90 of first bytes 2.35 s, peers 0.0235 s"
    stage.give_back()
    assert stage.look() == []  # what it did before counts no more
    for name in "abc":
        stage.answers(name, 2.0 if name == "c" else 0.02)
    assert stage.look() == ["c"]
    assert stage.seconds() == [10.0, 20.0]


def test_bounds() -> None:
    """No more than half are ejected, the slowest first."""
    stage = Stage("abcd", is_http=False)
    for name in "abcd":
        stage.answers(name, 0.001, 1)
    stage.look()
    for name, seconds in zip("abcd", (0.001, 0.001, 3.0, 1.5), strict=True):
        stage.answers(name, seconds, 100)
    assert stage.look() == ["c", "d"]
    stage.answers("b", 4.0, 3000)
    stage.answers("a", 0.001, 100)
    assert stage.look() == ["c", "d"]


def test_windows() -> None:
    """What was long ago counts no more, however many answers there were."""
    stage = Stage("ab")
    for name in "ab":
        stage.answers(name, 0.02, 1)
    stage.look()
    stage.answers("b", 2.0, 15)  # too few
    assert stage.look() == []
    for _ in range(3):
        assert stage.look(WINDOW) == []
    for name in "ab":
        stage.answers(name, 0.02, 1100)
    stage.answers("b", 2.0, 15)  # few among so many
    assert stage.look() == []


def test_pools() -> None:
    """A mapping with the rule does not share its pool with one without."""
    plain = failover_spec(MAPPING)
    own = failover_spec(altered(MAPPING, eject_latency=RULE))
    assert plain != own
    assert own == failover_spec(altered(MAPPING, eject_latency=evolve(RULE)))
