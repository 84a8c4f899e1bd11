"""Slow start: a new upstream comes to its whole weight little by little."""

import random
from collections import Counter, deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.policies import POLICIES
from lbconsul.balance.pool_spec import PoolSpec, ServiceQuery
from lbconsul.balance.slow_start import SlowStart
from lbconsul.balance.upstream import Lease, Outcome
from lbconsul.balance.upstream_view import WHOLE
from tests.support.instances import an_instance, an_upstream, name_of, reweigh
from tests.support.stage import Stage

REFUSED, SUCCESS = Outcome.REFUSED, Outcome.SUCCESS

ALL = pytest.mark.parametrize("policy", sorted(POLICIES))


def _slow(names: str, span: float = 60.0, policy: str = "leastconn") -> Stage:
    """A pool of these instances, where newcomers have to warm up."""
    stage = Stage(PoolSpec(ServiceQuery("web"), policy=policy, slow_start=span))
    stage.answer(*names)
    return stage


def _shares(stage: Stage) -> dict[str, int]:
    """How much each counts, in percent of a weight of 1."""
    return {name_of(each): each.effective_weight for each in stage.upstreams()}


class TestRamp:
    """How the weight rises."""

    @pytest.mark.parametrize(
        ("seconds", "share"), [(0, 10), (6, 19), (30, 55), (54, 91), (60, 100)]
    )
    def test_rises_evenly(self, seconds: float, share: int) -> None:
        """From a tenth of the weight to all of it, in a straight line."""
        stage = _slow("ab")
        stage.join("c")
        stage.later(seconds)
        assert _shares(stage) == {"a": 100, "b": 100, "c": share}
        assert stage.pool().warms == (seconds < 60)

    @given(
        weight=st.integers(1, 65535),
        span=st.floats(0.25, 3600),
        pauses=st.lists(st.floats(0, 100), max_size=30),
    )
    def test_never_falls(self, weight: int, span: float, pauses: list[float]) -> None:
        """Whenever one looks, it is no less than before, a tenth at least, and when
        the time is over all of it.
        """
        warming, upstream, now = SlowStart(span), an_upstream(weight=weight), 50.0
        warming.begin(upstream, now)
        shares = [upstream.effective_weight]
        for pause in [*pauses, 1.01 * span]:  # floats round
            now += pause
            warming.tick(upstream, now)
            shares.append(upstream.effective_weight)
        assert all(earlier <= later for earlier, later in pairwise(shares))
        assert shares[0] == weight * WHOLE // 10
        assert shares[-1] == weight * WHOLE
        assert upstream not in warming
        assert len(warming) == 0

    def test_a_new_weight_meanwhile(self) -> None:
        """A weight that changes while it warms up counts by the same part."""
        stage = _slow("ab")
        stage.join("c")
        stage.later(30)
        stage.answer("a", "b", an_instance("c", weight=4))
        assert _shares(stage)["c"] == 220
        stage.later(30)
        assert _shares(stage)["c"] == 400

    def test_a_clock_that_is_set_back(self) -> None:
        """
        A clock that runs backwards makes no upstream lighter than at the beginning.
        """
        warming, upstream = SlowStart(60), an_upstream()
        warming.begin(upstream, 100)
        warming.weigh(upstream, 0)
        assert upstream.effective_weight == 10

    def test_nobody_warms_up(self) -> None:
        """Without the option every upstream has its whole weight at once."""
        warming, upstream = SlowStart(0), an_upstream()
        warming.begin(upstream, 100)
        assert (upstream.effective_weight, upstream in warming) == (100, False)
        reweigh(upstream, 3)
        warming.weigh(upstream, 101)
        assert upstream.effective_weight == 300


class TestWho:
    """Which upstreams warm up, and which do not."""

    def test_at_the_start(self) -> None:
        """At the first answer all are new, and none has to wait for the others."""
        stage = _slow("abc")
        assert set(_shares(stage).values()) == {100}

    def test_mapping_that_is_added(self) -> None:
        """A mapping that is added later starts with every upstream warm."""
        stage = _slow("ab")
        other = PoolSpec(ServiceQuery("web"), policy="p2c", slow_start=60)
        assert {
            each.effective_weight for each in stage.registry.pool(other).upstreams()
        } == {100}

    def test_all_are_new(self) -> None:
        """
        When a deployment replaces all at once, no warm upstream could take the rest.
        """
        stage = _slow("abc")
        stage.answer(*"defg")
        assert set(_shares(stage).values()) == {100}

    def test_nobody_was_there(self) -> None:
        """The first ones after a time with none serve wholly."""
        stage = _slow("ab")
        stage.answer()
        stage.answer("a")
        assert _shares(stage) == {"a": 100}

    def test_the_others_leave(self) -> None:
        """When only those are left that warm up, they do the whole work."""
        stage = _slow("ab")
        stage.join("c", "d")
        stage.later(5)
        stage.leave("a")
        assert _shares(stage)["c"] < 20
        stage.leave("b")
        assert _shares(stage) == {"c": 100, "d": 100}
        assert not stage.pool().warms

    def test_the_others_turn_critical(self) -> None:
        """The same holds when the others fail their checks."""
        stage = _slow("ab")
        stage.join("c")
        stage.turn("ab", "critical")
        assert _shares(stage)["c"] == 100

    def test_after_critical(self) -> None:
        """An upstream that was critical starts over, as it may have been restarted."""
        stage = _slow("abc")
        stage.turn("c", "critical")
        stage.later(5)
        stage.turn("c", "passing")
        assert _shares(stage) == {"a": 100, "b": 100, "c": 10}

    def test_critical_while_it_warms_up(self) -> None:
        """
        An upstream that turns critical before it is warm starts over when it is back.
        """
        stage = _slow("ab")
        stage.join("c")
        stage.later(50)
        stage.turn("c", "critical")
        assert not stage.pool().warms
        stage.turn("c", "passing")
        assert _shares(stage)["c"] == 10

    def test_left_while_it_warms_up(self) -> None:
        """An upstream that leaves before it is warm is forgotten."""
        stage = _slow("ab")
        stage.join("c")
        stage.leave("c")
        assert not stage.pool().warms
        assert stage.chosen() == {"a", "b"}

    def test_after_it_was_set_aside(self) -> None:
        """A restored upstream is not flooded at once."""
        stage = _slow("abc")
        stage.show("c", *[REFUSED] * 3)
        stage.later(12)
        stage.lease().showed(SUCCESS)
        assert _shares(stage) == {"a": 100, "b": 100, "c": 10}
        stage.later(60)
        assert _shares(stage)["c"] == 100

    def test_trusted_since_it_is_needed(self) -> None:
        """An upstream restored because no other is left takes all connections."""
        stage = _slow("ab")
        stage.show("b", *[REFUSED] * 3)
        stage.leave("a")
        assert _shares(stage) == {"b": 100}

    def test_a_new_tag(self) -> None:
        """A change without effect on serving starts no slow start."""
        stage = _slow("ab")
        stage.answer("a", an_instance("b", tags=["v2"], weight=3))
        assert _shares(stage) == {"a": 100, "b": 300}
        stage.turn("b", "warning")
        assert _shares(stage) == {"a": 100, "b": 100}


class TestShares:
    """What warming upstreams get."""

    @ALL
    @pytest.mark.parametrize(("seconds", "share"), [(0, 10), (30, 55), (60, 100)])
    def test_short_connections(self, policy: str, seconds: int, share: int) -> None:
        """Of connections that are over at once a newcomer gets its part, by any
        policy.
        """
        stage = _slow("abc", policy=policy)
        stage.join("d")
        stage.later(seconds)
        expected = 4000 * share / (300 + share)
        assert abs(stage.counts(4000)["d"] - expected) < 0.15 * expected + 10

    @ALL
    @pytest.mark.parametrize("seconds", [0, 30])
    def test_overlapping_connections(self, policy: str, seconds: int) -> None:
        """Of connections that last, many at a time, it has about its part too."""
        stage = _slow("abc", policy=policy)
        stage.join("d")
        stage.later(seconds)
        share = 10 + 1.5 * seconds
        dice, living, held = random.Random(2), deque[Lease](), Counter[str]()
        for _ in range(6000):
            living.append(stage.lease())
            if len(living) > 300:
                living.rotate(dice.randrange(300))
                living.popleft().end()
                held["d"] += stage.upstream("d").load.open
                held["all"] += len(living)
        part = held["d"] / held["all"]
        assert abs(part - share / (300 + share)) < 0.03

    @ALL
    def test_a_newcomer_is_not_flooded(self, policy: str) -> None:
        """A thousand clients that come at once do not all go to the idle newcomer."""
        stage = _slow("abc", policy=policy)
        stage.hold(300)
        stage.join("d")
        counts: Counter[str] = Counter()
        for _ in range(1000):
            counts[name_of(stage.lease().upstream)] += 1
        assert counts["d"] < 80


def test_one_that_leaves_between_two_steps() -> None:
    """
    Changes between two steps of a tick count: an upstream that left gets no weight.
    """
    stage = _slow("abc")
    stage.join("d", "e")
    stage.now += 30.0
    steps = stage.pool().tick()
    next(steps)
    stage.leave("d", "e")
    list(steps)
    assert stage.chosen() == {"a", "b", "c"}
    assert not stage.pool().warms
