"""Rebalancing: which connections are closed so that new upstreams get their share."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.policy import LeastConnections
from lbconsul.balance.pool_spec import PoolSpec, ServiceQuery
from lbconsul.balance.rebalance import Rebalance, surplus
from lbconsul.balance.upstream import Lease, Outcome, Upstream
from tests.support.instances import an_instance, an_upstream, name_of
from tests.support.stage import TICK, Stage

NOW = 5000.0


def _busy(*loads: int, weights: Sequence[int] = ()) -> list[Upstream]:
    """Upstreams with so many connections, and of these weights, that may have more."""
    tier = LeastConnections(random.Random(1).random)
    made = [
        an_upstream(str(number), weight, load)
        for number, (load, weight) in enumerate(
            zip(loads, weights or [1] * len(loads), strict=True)
        )
    ]
    for each in made:
        each.tier = tier
    return made


def _over(many: list[Upstream]) -> dict[str, int]:
    return {name_of(each): count for each, count in surplus(many).items()}


class TestSurplus:
    """The upstreams with more than the fair share."""

    @pytest.mark.parametrize(
        ("loads", "over"),
        [
            ((), {}),
            ((0, 0), {}),
            ((5, 5, 5), {}),
            ((6, 5, 5), {}),
            ((50, 50, 0), {"0": 16, "1": 16}),
            ((9, 1, 0, 0), {"0": 6}),
            ((100,), {}),
        ],
    )
    def test_equals(self, loads: Sequence[int], over: dict[str, int]) -> None:
        """
        More than the share means rounded up: of what cannot be divided, one upstream
        has one more.
        """
        assert _over(_busy(*loads)) == over

    def test_weights(self) -> None:
        """A heavy one's share is greater."""
        assert _over(_busy(30, 10, weights=(3, 1))) == {}
        assert _over(_busy(20, 20, weights=(3, 1))) == {"1": 10}

    def test_one_that_warms_up(self) -> None:
        """The share of a warming upstream grows."""
        many = _busy(50, 50, 0)
        many[2].ramp(0.1)
        assert _over(many) == {}
        many[2].ramp(0.2)
        assert _over(many) == {"0": 4, "1": 4}
        many[2].ramp(1.0)
        assert _over(many) == {"0": 16, "1": 16}

    def test_one_that_may_have_none(self) -> None:
        """No connection is closed in favour of an ejected upstream."""
        many = _busy(50, 50, 0)
        many[2].tier = None
        assert _over(many) == {}

    @given(
        loads=st.lists(st.tuples(st.integers(0, 500), st.integers(1, 100)), max_size=9)
    )
    def test_enough_and_not_too_much(self, loads: list[tuple[int, int]]) -> None:
        """
        An upstream keeps its share when it gives connections away, and another can take
        them.
        """
        many = _busy(
            *(load for load, _ in loads), weights=[weight for _, weight in loads]
        )
        over = surplus(many)
        total, shares = (
            sum(e.load.open for e in many),
            sum(e.effective_weight for e in many),
        )
        for each in many:
            fair = total * each.effective_weight / shares
            left = each.load.open - over.get(each, 0)
            assert left >= fair - 1e-6 or each not in over
            assert left < max(fair + 1, fair * 1.05 + 1e-6)
        lacking = sum(
            max(0, total * each.effective_weight / shares - each.load.open)
            for each in many
        )
        assert sum(over.values()) <= lacking + 1e-6


class TestRate:
    """How many are closed, and from when to when."""

    def test_begins_when_somebody_joins(self) -> None:
        """
        It begins when an upstream joins, not before, and not again for the same one.
        """
        rebalance, active = Rebalance(6, 3), []
        for joins in (3, 4, 4):
            rebalance.begin(joins, NOW)
            active.append(rebalance.active)
            if rebalance.active:
                rebalance.end()
        assert active == [False, True, False]

    def test_evenly(self) -> None:
        """Of a thousand 6 % a minute are one each second."""
        rebalance = Rebalance(6)
        rebalance.begin(1, NOW)
        closed = [
            rebalance.allowance(1000, NOW + tick * TICK) for tick in range(1, 241)
        ]
        assert sum(closed) == 60
        assert max(closed) == 1

    def test_few(self) -> None:
        """Of ten 6 % a minute are one each hundred seconds."""
        rebalance = Rebalance(6)
        rebalance.begin(1, NOW)
        times = [
            tick * TICK
            for tick in range(1, 1300)
            if rebalance.allowance(10, NOW + tick * TICK)
        ]
        assert times == pytest.approx([100, 200, 300], abs=4 * TICK)

    def test_another_joins_meanwhile(self) -> None:
        """One more that joins makes it neither faster nor slower."""
        rebalance = Rebalance(6)
        closed = 0
        for tick in range(240):
            rebalance.begin(tick + 1, NOW + tick * TICK)
            closed += rebalance.allowance(1000, NOW + tick * TICK)
        assert 58 <= closed <= 60

    def test_nothing_is_saved_up(self) -> None:
        """When nothing could be closed for a long time it is not made up for."""
        rebalance = Rebalance(6)
        rebalance.begin(1, NOW)
        assert rebalance.allowance(0, NOW + 1000) == 0
        assert rebalance.allowance(1000, NOW + 2000) == 1
        rebalance = Rebalance(99)
        rebalance.begin(1, NOW)
        assert rebalance.allowance(6000, NOW + 2000) == 99  # a second's worth

    def test_begins_anew(self) -> None:
        """Connections left from an earlier rebalance are not carried over."""
        rebalance = Rebalance(6)
        rebalance.begin(1, NOW)
        assert rebalance.allowance(1000, NOW + 0.75) == 0
        rebalance.end()
        rebalance.begin(2, NOW + 1)
        assert rebalance.allowance(1000, NOW + 1.75) == 0
        assert rebalance.allowance(1000, NOW + 2) == 1

    @given(
        percent=st.integers(1, 99),
        count=st.integers(0, 20000),
        pauses=st.lists(st.floats(0, 30), max_size=50),
    )
    def test_never_more(self, percent: int, count: int, pauses: list[float]) -> None:
        """However often it is asked, it is no more than so many percent a minute."""
        rebalance, now, closed = Rebalance(percent), NOW, 0
        rebalance.begin(1, now)
        for pause in pauses:
            now += pause
            closed += rebalance.allowance(count, now)
        assert closed <= count * percent / 100 * (now - NOW) / 60 + 1e-3


class Clients:
    """Clients with long-lived connections, which reconnect when these are closed."""

    def __init__(self, count: int, slow_start: float = 0.0) -> None:
        self.stage = Stage(PoolSpec(ServiceQuery("web"), slow_start=slow_start))
        self.stage.answer("a", "b")
        self.leases = self.stage.hold(count)
        self.rebalance = Rebalance(20, self.stage.pool().joins)
        self.closed = 0

    def pass_time(self, seconds: float) -> None:
        """As `lbconsul.proxy.drain_manager` does it."""
        pool = self.stage.pool()
        end = self.stage.now + seconds
        while self.stage.now < end:
            self.stage.later(TICK)
            self.rebalance.begin(pool.joins, self.stage.now)
            over = surplus(pool.candidates)
            if not over and not pool.warms:
                self.rebalance.end()
            theirs = [each for each in self.leases if each.upstream in over]
            if self.rebalance.active:
                count = self.rebalance.allowance(len(theirs), self.stage.now)
                for lease in theirs[:count]:
                    self._close(lease)

    def _close(self, lease: Lease) -> None:
        self.closed += 1
        lease.end()
        self.leases.remove(lease)
        self.leases.append(self.stage.lease())

    def loads(self) -> dict[str, int]:
        """How many connections each has."""
        return {name_of(each): each.load.open for each in self.stage.upstreams()}


class TestPool:
    """How a pool comes to rest."""

    def test_until_nobody_has_more(self) -> None:
        """A newcomer gets its share, after which no more connections are closed."""
        clients = Clients(90)
        clients.pass_time(60)
        assert clients.closed == 0
        clients.stage.join("c")
        clients.pass_time(60)
        assert 10 <= clients.closed <= 18
        clients.pass_time(300)
        assert clients.loads() == {"a": 31, "b": 31, "c": 28}  # within a twentieth
        assert clients.closed == 28
        assert not clients.rebalance.active

    def test_while_it_warms_up(self) -> None:
        """
        A warming upstream gets no more than its effective weight allows, and later the
        rest.
        """
        clients = Clients(90, slow_start=120)
        clients.stage.join("c")
        clients.pass_time(20)
        share = clients.stage.upstream("c").effective_weight
        assert clients.loads()["c"] <= 90 * share / (200 + share)
        assert clients.rebalance.active
        clients.pass_time(400)
        assert clients.loads() == {"a": 31, "b": 31, "c": 28}
        assert not clients.rebalance.active

    def test_heavy(self) -> None:
        """A newcomer of twice the weight gets twice as much."""
        clients = Clients(80)
        clients.stage.answer("a", "b", an_instance("c", weight=2))
        clients.pass_time(600)
        assert clients.loads() == {"a": 21, "b": 21, "c": 38}

    def test_one_that_is_set_aside(self) -> None:
        """
        No connection is closed for an upstream that gets none; once restored it gets
        its share.
        """
        clients = Clients(90)
        stage = clients.stage
        stage.join("c")
        stage.show("c", *[Outcome.REFUSED] * 3)
        clients.pass_time(9)
        assert clients.closed == 0
        stage.later(5)
        trial = stage.lease()
        trial.showed(Outcome.SUCCESS)
        trial.end()
        clients.pass_time(300)
        assert clients.loads() == {"a": 31, "b": 31, "c": 28}

    def test_who_joins(self) -> None:
        """Joining counts, and coming back does; not a start, nor an alteration."""
        stage = Stage()
        pool = stage.pool()
        stage.answer("a", "b")
        assert pool.joins == 0
        stage.answer("a", an_instance("b", weight=2))
        assert pool.joins == 0
        stage.join("c", "d")
        assert pool.joins == 2
        stage.turn("a", "critical")
        stage.turn("a", "passing")
        assert pool.joins == 3
