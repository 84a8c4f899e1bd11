"""The gateway's own checks, as pools follow them."""

from typing import Any

import pytest
from attrs import evolve

from lbconsul.balance.event_text import describe
from lbconsul.balance.events import EventKind, PoolEvent, RegistryEvent
from lbconsul.balance.instance import Instance
from lbconsul.balance.own_checks import CheckKey
from lbconsul.balance.pool import Pool
from lbconsul.balance.pool_spec import (
    CheckRules,
    FailoverSpec,
    InstanceFilter,
    OutlierConfig,
    PoolSpec,
    ServiceQuery,
    ShrinkGuardConfig,
)
from lbconsul.balance.registry import Registry
from lbconsul.balance.upstream import Outcome
from lbconsul.errors import NoUpstream
from tests.support.instances import an_instance, name_of, names_of

WEB = ServiceQuery("web")
RULES = CheckRules("GET /")
REASON = "own check: GET /: 503"


def spec(rules: CheckRules = RULES, **of: Any) -> PoolSpec:
    """A pool whose upstreams are checked."""
    return PoolSpec(of.pop("query", WEB), InstanceFilter(check=rules), **of)


def some(names: str) -> list[Instance]:
    """Instances with these letters as names."""
    return [an_instance(name) for name in names]


class Stage:
    """Pools that share the results of a check."""

    def __init__(self, *specs: PoolSpec) -> None:
        self.now = 0.0
        self.events: list[RegistryEvent] = []
        self.registry = Registry(
            lambda: 0.0, seconds=lambda: self.now, on_event=self.events.append
        )
        self.pools = [self.registry.pool(each) for each in specs]
        self.known: dict[str, Instance] = {}

    @property
    def pool(self) -> Pool:
        """The first of them."""
        return self.pools[0]

    def answer(self, *found: Instance, query: ServiceQuery = WEB) -> None:
        """Consul knows these instances."""
        self.known |= {each.identity.service_id: each for each in found}
        self.registry.replace(query, found)

    def results(
        self, _check: str = "GET /", **results: str | None
    ) -> set[ServiceQuery]:
        """Other results, by the names of the instances."""
        return self.registry.set_check_results(
            {CheckKey.of(_check, self.known[name]): results[name] for name in results}
        )

    def fail(self, *names: str) -> None:
        """The checks of these fail."""
        self.results(**dict.fromkeys(names, REASON))

    def tick(self) -> None:
        """What happens a few times a second."""
        for _ in self.registry.tick():
            pass

    def standing(self, name: str, pool: Pool | None = None) -> tuple[str, str]:
        """How an instance stands in a pool, and why."""
        pool = pool or self.pool
        upstream = pool.member(self.known[name].identity)
        assert upstream is not None
        state = pool.state(upstream)
        return state.standing.value, state.reason

    def chosen(self, pool: Pool | None = None, count: int = 20) -> set[str]:
        """Which upstreams connections get."""
        leases = [(pool or self.pool).lease() for _ in range(count)]
        found = {name_of(each.upstream) for each in leases if each is not None}
        for each in leases:
            if each is not None:
                each.end()
        return found


def test_failing_check_is_a_verdict_as_critical_is() -> None:
    """What fails gets nothing new, says why, and drains as if Consul called it
    critical; until the check passes.
    """
    stage = Stage(spec())
    stage.answer(*some("abc"))
    lease = stage.pool.lease()
    assert lease is not None
    name = name_of(lease.upstream)
    stage.fail(name)
    assert stage.standing(name) == ("draining", REASON)
    assert name not in stage.chosen()
    drain = lease.leave()
    assert drain is not None
    assert drain.critical
    assert stage.registry.pool(spec()).refused_by_checks == {lease.instance.identity}
    stage.results("GET /", **{name: None})
    assert stage.standing(name)[0] == "serving"
    assert lease.leave() is None
    assert stage.chosen() == {"a", "b", "c"}


def test_either_can_take_an_instance_out() -> None:
    """A check that passes does not undo what Consul or an operator says."""
    stage = Stage(spec())
    stage.answer(
        an_instance("a", status="critical", reason="on fire"), an_instance("b")
    )
    stage.results(a="", b="")
    assert stage.standing("a") == ("draining", "on fire")
    stage.fail("a")
    assert stage.standing("a") == ("draining", "on fire")
    stage.registry.set_drained({stage.known["b"].identity: 0})
    stage.fail("b")
    assert stage.standing("b") == ("draining", "drained by hand")


def test_pools_share_results_where_their_check_is_the_same() -> None:
    """A result is of a check: a pool with another one does not follow it."""
    other = CheckRules("connect")
    stage = Stage(spec(), spec(policy="roundrobin"), spec(other))
    stage.answer(*some("ab"))
    assert stage.results(a=REASON) == {WEB}
    one, two, three = stage.pools
    assert stage.chosen(one) == stage.chosen(two) == {"b"}
    assert stage.chosen(three) == {"a", "b"}
    assert [*stage.registry.checked] == [one, two, three]
    assert stage.registry.checked_pools(WEB) == [one, two, three]
    stage.registry.keep_only([FailoverSpec((spec(other),))])
    assert [*stage.registry.checked] == [three]


def test_instance_at_another_place_has_not_failed() -> None:
    """A result is of an address: an instance that moves serves."""
    stage = Stage(spec())
    stage.answer(*some("ab"))
    stage.fail("a")
    stage.answer(an_instance("a", port=81), an_instance("b"))
    assert stage.chosen() == {"a", "b"}


def test_slow_start_after_recovery() -> None:
    """What passes again comes to its full weight gradually."""
    stage = Stage(spec(slow_start=10.0))
    stage.answer(*some("abc"))
    stage.fail("a")
    stage.results(a=None)
    assert stage.standing("a")[0] == "warming"


def test_all_fail() -> None:
    """Where all fail, all serve as if none had; once one passes, the others do not."""
    stage = Stage(spec())
    stage.answer(*some("abc"))
    stage.fail("a", "b")
    assert stage.chosen() == {"c"}
    stage.fail("c")
    assert stage.chosen() == {"a", "b", "c"}
    standing, reason = stage.standing("a")
    assert standing == "serving"
    assert reason.startswith(REASON)
    assert stage.pool.refused_by_checks == frozenset()
    stage.results(b=None)
    assert stage.chosen() == {"b"}
    told = [each for each in stage.events if isinstance(each, PoolEvent)]
    assert [each.kind for each in told] == [EventKind.FAIL_OPEN, EventKind.FAIL_CLOSED]
    assert "the own checks of all 3 instances fail" in describe(told[0])
    assert "failing instances get nothing" in describe(told[1])


def test_outliers_where_all_fail() -> None:
    """A pool that fails open still ejects what refuses connections."""
    stage = Stage(spec(patience=OutlierConfig(failures=1)))
    stage.answer(*some("abcd"))
    stage.fail("a", "b", "c", "d")
    lease = stage.pool.lease()
    assert lease is not None
    lease.showed(Outcome.REFUSED)
    assert stage.standing(name_of(lease.upstream))[0] == "ejected"


def test_all_fail_and_none_is_used() -> None:
    """With fail-open off nothing serves."""
    stage = Stage(spec(CheckRules("GET /", fail_open=False)))
    stage.answer(*some("ab"))
    stage.fail("a", "b")
    assert stage.pool.lease() is None
    assert not stage.pool.is_usable


def test_mass_failure_is_no_answer_of_consul() -> None:
    """The shrink guard keeps nothing that fails the gateway's own check."""
    stage = Stage(spec(caution=ShrinkGuardConfig(0.5)))
    stage.answer(*some("abcd"))
    stage.fail("a", "b", "c")
    assert stage.chosen() == {"d"}
    assert not stage.pool.has_suspects


def test_all_fail_in_one_datacenter() -> None:
    """Another datacenter serves first; where both fail, one of them fails open."""
    west = ServiceQuery("web", "west")
    with_others = OutlierConfig(whole=True)
    specs = spec(patience=with_others), spec(query=west, patience=with_others)
    stage = Stage(*specs)
    failover = stage.registry.failover(FailoverSpec(specs))
    stage.answer(*some("ab"))
    stage.answer(*some("cd"), query=west)
    stage.fail("a", "b")
    assert name_of(failover.lease().upstream) in "cd"
    stage.fail("c", "d")
    stage.tick()
    assert name_of(failover.lease().upstream) in "abcd"
    stage.results(a=None)
    stage.tick()
    assert stage.standing("c", stage.pools[1])[0] == "draining"
    assert name_of(failover.lease().upstream) == "a"


class TestInitDown:
    """An instance that serves only once its check has passed."""

    AWAITED = CheckRules("GET /", awaits=True)

    def test_first_result(self) -> None:
        """Until then it gets nothing, and drains nothing."""
        stage = Stage(spec(self.AWAITED))
        stage.answer(*some("ab"))
        assert stage.pool.awaits_checks
        assert stage.standing("a") == ("draining", "own check: no result yet")
        assert names_of(stage.pool.checks.awaiting) == ["a", "b"]  # type: ignore[union-attr]
        stage.results(a="")
        assert stage.chosen() == {"a"}
        assert not stage.pool.awaits_checks

    def test_nothing_fails_open_before_it(self) -> None:
        """A pool with one that may still pass is not used as if all had failed."""
        stage = Stage(spec(self.AWAITED))
        stage.answer(*some("ab"))
        failover = stage.registry.failover(FailoverSpec((spec(self.AWAITED),)))
        stage.fail("a")
        with pytest.raises(NoUpstream):
            failover.lease()
        stage.fail("b")
        assert stage.chosen() == {"a", "b"}


def test_instance_that_leaves_is_counted_no_more() -> None:
    """The last passing one leaves: those left are all that there are, and fail."""
    stage = Stage(spec())
    stage.answer(*some("abc"))
    stage.fail("a", "b")
    stage.answer(stage.known["a"], stage.known["b"])
    assert stage.chosen() == {"a", "b"}
    stage.answer()
    assert not stage.pool.checks.is_open  # type: ignore[union-attr]
    stage.results(a=None)  # it is gone: nothing to judge


def test_key_is_of_the_place_in_consul() -> None:
    """An address that a resolver finds anew is no other place."""
    instance = an_instance("a")
    resolved = evolve(instance, address="192.0.2.99")
    assert CheckKey.of("x", instance) == CheckKey.of("x", resolved)
