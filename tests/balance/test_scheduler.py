"""Limits: no upstream exceeds its limit, and which clients wait for which upstream."""

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from lbconsul.balance.policies import POLICIES
from lbconsul.balance.policy import LeastConnections
from lbconsul.balance.pool_spec import (
    FailoverSpec,
    OutlierConfig,
    PoolSpec,
    ServiceQuery,
    ShrinkGuardConfig,
)
from lbconsul.balance.scheduler import Scheduler
from lbconsul.balance.upstream import Lease, Outcome, Upstream
from lbconsul.errors import AllFull, NoUpstream
from tests.support.instances import an_instance, name_of, upstreams
from tests.support.stage import Stage

REFUSED, SUCCESS = Outcome.REFUSED, Outcome.SUCCESS
WEB = ServiceQuery("web")

ALL = pytest.mark.parametrize("policy", sorted(POLICIES))


def _limited(names: str, limit: int = 1, **options: Any) -> Stage:
    """A pool of these instances, each of which may have so many connections."""
    stage = Stage(PoolSpec(WEB, limit=limit, **options))
    stage.answer(*names)
    return stage


def _nobody() -> tuple[LeastConnections, LeastConnections]:
    """Two ranks that stay empty."""
    return LeastConnections(lambda: 0.0), LeastConnections(lambda: 0.0)


class TestRanks:
    """The tier of each upstream."""

    def test_one_rank_at_a_time(self) -> None:
        """An upstream that is put into another tier is chosen from that tier only."""
        ranks = LeastConnections(lambda: 0.0), *_nobody()
        placement = Scheduler(*ranks)
        [upstream] = upstreams(1)
        for tier, chosen in (
            (placement.serving, [upstream, None, None]),
            (placement.reserve, [None, upstream, None]),
            (placement.ejected, [None, None, upstream]),
            (None, [None, None, None]),
        ):
            placement.put(upstream, tier)
            assert [placement.choose(each) for each in ranks] == chosen

    @pytest.mark.parametrize("limit", [0, 1])
    def test_who_stands_nowhere_is_not_heard(self, limit: int) -> None:
        """The load of an upstream without a tier moves no other."""
        serving = LeastConnections(random.Random(1).random)
        placement = Scheduler(serving, *_nobody(), limit)
        [upstream] = upstreams(1)
        upstream.load.upstreams.append(upstream)
        placement.put(upstream, serving)
        placement.put(upstream, None)
        upstream.load.add(1)
        upstream.load.add(-1)
        assert placement.choose(serving) is None
        assert not placement.waits(serving)

    def test_already_full(self) -> None:
        """An upstream that has all its connections already is assigned as full."""
        serving = LeastConnections(random.Random(1).random)
        placement = Scheduler(serving, *_nobody(), 2)
        [upstream] = upstreams(1)
        upstream.load.upstreams.append(upstream)
        upstream.load.add(2)
        placement.put(upstream, serving)
        assert placement.choose(serving) is None
        assert placement.waits(serving)
        assert not placement.waits(serving, [upstream])
        upstream.load.add(-1)
        assert placement.choose(serving) is upstream
        assert not placement.waits(serving)


class TestFull:
    """What becomes of clients when upstreams are full."""

    @ALL
    def test_to_who_has_room(self, policy: str) -> None:
        """All get as many as they may, whatever the policy; then one has to wait."""
        stage = _limited("abc", 2, policy=policy)
        leases = stage.hold(6)
        assert [each.load.open for each in stage.upstreams()] == [2, 2, 2]
        with pytest.raises(AllFull, match=r"^every upstream of web is full$"):
            stage.lease()
        leases[3].end()
        assert stage.lease().upstream is leases[3].upstream

    @ALL
    def test_weights_yield_to_the_limit(self, policy: str) -> None:
        """A heavy upstream that is full leaves the rest to light ones."""
        stage = Stage(PoolSpec(WEB, policy=policy, limit=3))
        stage.answer(an_instance("a", weight=100), "b")
        stage.hold(6)
        assert [each.load.open for each in stage.upstreams()] == [3, 3]

    def test_nobody_to_wait_for(self) -> None:
        """Without upstreams, or if all were tried, waiting would be of no use."""
        stage = _limited("")
        with pytest.raises(NoUpstream) as caught:
            stage.lease()
        assert caught.type is NoUpstream
        stage.answer("a", "b")
        stage.hold(2)
        with pytest.raises(NoUpstream) as caught:
            stage.lease(*stage.upstreams())
        assert caught.type is NoUpstream

    def test_waits_for_one_not_tried(self) -> None:
        """A client that tried the only upstream with room waits for the full one."""
        stage = _limited("ab")
        held = stage.lease()
        [other] = [each for each in stage.upstreams() if each is not held.upstream]
        with pytest.raises(AllFull):
            stage.lease(other)
        held.end()
        assert stage.lease(other).upstream is held.upstream

    def test_who_leaves_is_not_waited_for(self) -> None:
        """Clients do not wait for a full upstream that leaves or turns critical."""
        for leave in (True, False):
            stage = _limited("a")
            stage.hold(1)
            if leave:
                stage.leave("a")
            else:
                stage.turn("a", "critical")
            with pytest.raises(NoUpstream) as caught:
                stage.lease()
            assert caught.type is NoUpstream

    def test_back_with_connections(self) -> None:
        """
        An upstream that left and is back still has its connections, and is as full.
        """
        stage = _limited("a")
        lease = stage.lease()
        stage.leave("a")
        stage.join("a")
        with pytest.raises(AllFull):
            stage.lease()
        lease.end()
        assert stage.chosen() == {"a"}

    def test_a_new_weight(self) -> None:
        """A full one stays full when its weight, or what its check says, changes."""
        stage = _limited("a")
        stage.hold(1)
        stage.answer(an_instance("a", weight=9, reason="fine"))
        with pytest.raises(AllFull):
            stage.lease()


class TestEjected:
    """Full and ejected upstreams."""

    def test_full_when_it_is_to_be_tried(self) -> None:
        """An upstream full of old connections is tried once one of them has ended."""
        stage = _limited("abc")
        held = stage.hold(3)
        stage.show("a", *[REFUSED] * 3)
        for each in held[1:]:
            each.end()
        [old] = [each for each in held if name_of(each.upstream) == "a"]
        for each in held:
            if each is not old:
                each.end()
        stage.later(15)
        assert stage.chosen() == {"b", "c"}
        stage.later(100)
        assert stage.chosen() == {"b", "c"}
        old.end()
        stage.later(1)
        trial = stage.lease()
        assert (name_of(trial.upstream), trial.probing) == ("a", True)
        trial.showed(SUCCESS)
        trial.end()
        assert stage.chosen() == {"a", "b", "c"}

    def test_others_are_tried_meanwhile(self) -> None:
        """A full upstream does not keep others from their probe."""
        stage = _limited("abcd")
        [old] = [each for each in stage.hold(4) if name_of(each.upstream) == "a"]
        for name in "ab":
            stage.show(name, *[REFUSED] * 3)
            stage.later(2)
        for load in [
            each.load for each in stage.upstreams() if each is not old.upstream
        ]:
            load.add(-1)
        stage.later(15)
        trial = stage.lease()
        assert (name_of(trial.upstream), trial.probing) == ("b", True)

    def test_better_than_nobody_if_it_has_room(self) -> None:
        """Where all others were tried, it is the turn of one ejected that has room."""
        stage = _limited("abcd")
        stage.hold(4)
        for name in "ab":
            stage.show(name, *[REFUSED] * 3)
        stage.upstream("b").load.add(-1)
        others = stage.upstream("c"), stage.upstream("d")
        assert name_of(stage.lease(*others).upstream) == "b"
        with pytest.raises(NoUpstream):
            stage.lease(*others)

    def test_not_while_another_is_just_full(self) -> None:
        """An ejected upstream is not chosen because a good one is full."""
        stage = _limited("ab")
        stage.show("a", *[REFUSED] * 3)
        stage.hold(1)
        with pytest.raises(AllFull):
            stage.lease()


class TestReserve:
    """Upstreams that are full and suspect."""

    def test_full_reserve(self) -> None:
        """Where all are in doubt, and full, a client waits as it would without."""
        stage = _limited("abc", caution=ShrinkGuardConfig(part=0.5))
        held = stage.hold(2)
        stage.answer()
        stage.hold(1)
        with pytest.raises(AllFull):
            stage.lease()
        with pytest.raises(NoUpstream) as caught:
            stage.lease(*stage.upstreams())
        assert caught.type is NoUpstream
        held[0].end()
        assert stage.lease().upstream is held[0].upstream

    def test_no_overflow_into_doubt(self) -> None:
        """A client waits for a serving upstream rather than take a suspect one."""
        stage = _limited("abcd", caution=ShrinkGuardConfig(part=0.5))
        stage.leave("a", "b", "c")
        stage.hold(1)
        with pytest.raises(AllFull):
            stage.lease()


class TestMappings:
    """One instance behind several mappings."""

    def test_one_count(self) -> None:
        """Connections of all mappings count, and each keeps to its own limit."""
        stage = Stage(
            PoolSpec(WEB, limit=2),
            PoolSpec(WEB, policy="roundrobin", limit=3),
            PoolSpec(WEB, policy="p2c"),
        )
        stage.answer("a")
        first = stage.lease(number=0)
        stage.lease(number=1)
        with pytest.raises(AllFull):
            stage.lease(number=0)
        stage.lease(number=1)
        with pytest.raises(AllFull):
            stage.lease(number=1)
        stage.lease(number=2)
        first.end()
        with pytest.raises(AllFull):
            stage.lease(number=1)  # three are left


LIMIT = 2
CAREFUL = PoolSpec(WEB, caution=ShrinkGuardConfig(0.5), slow_start=20, limit=LIMIT)
#: Each of these may be ejected whole.
WHOLE = OutlierConfig(whole=True)
SPARE = PoolSpec(ServiceQuery("spare"), patience=WHOLE, limit=LIMIT)
ROUTES = (
    FailoverSpec((CAREFUL,)),
    FailoverSpec((PoolSpec(WEB, policy="roundrobin", limit=LIMIT),)),
    FailoverSpec((PoolSpec(WEB, policy="p2c", limit=LIMIT), CAREFUL)),
    FailoverSpec((PoolSpec(ServiceQuery("other"), limit=LIMIT),), CAREFUL),
    FailoverSpec((PoolSpec(WEB, patience=WHOLE, limit=LIMIT),), SPARE),
)
NAMES = st.sampled_from("abcde")


class Limits(RuleBasedStateMachine):
    """Answers, connections, failures and time in any order, under one limit."""

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        """A gateway starts."""
        self.stage = Stage(*ROUTES, seed=seed)
        self.stage.answer(*"abc")
        self.leases: list[Lease] = []

    @rule(
        number=st.integers(0, len(ROUTES) - 1),
        clients=st.integers(1, 6),
        avoided=st.sets(NAMES),
    )
    def connect(self, number: int, clients: int, avoided: set[str]) -> None:
        """Clients connect, and may have tried some already."""
        failover = self.stage.failovers[number]
        avoiding = [
            each
            for pool in failover.all
            for each in pool.upstreams()
            if name_of(each) in avoided
        ]
        for _ in range(clients):
            try:
                lease = failover.lease(avoiding)
            except AllFull:
                self._somebody_is_full(number, avoiding)
            except NoUpstream:
                self._nobody_has_room(number, avoiding)
            else:
                assert lease.upstream not in avoiding
                self.leases.append(lease)

    def _somebody_is_full(self, number: int, avoiding: list[Upstream]) -> None:
        members = [
            each
            for pool in self.stage.failovers[number].all
            for each in pool.upstreams()
            if each not in avoiding
        ]
        assert any(each.load.open == LIMIT for each in members)

    def _nobody_has_room(self, number: int, avoiding: list[Upstream]) -> None:
        for pool in self.stage.failovers[number].all:
            for each in pool.candidates:
                assert each in avoiding or each.load.open >= LIMIT

    @rule(number=st.integers(0, 99), outcome=st.sampled_from([None, *Outcome]))
    def end(self, number: int, outcome: Outcome | None) -> None:
        """A connection ends, and may have shown something."""
        if self.leases:
            lease = self.leases.pop(number % len(self.leases))
            if outcome is not None:
                lease.showed(outcome)
            lease.end()

    @rule(names=st.sets(NAMES), number=st.sampled_from([0, 0, 2]))
    def answer(self, names: set[str], number: int) -> None:
        """Consul answers, about the service or the spare one."""
        self.stage.answer(*sorted(names), number=number)

    @rule(names=st.sets(NAMES), status=st.sampled_from(["passing", "critical"]))
    def turn(self, names: set[str], status: Any) -> None:
        """Checks turn."""
        self.stage.turn(names & self.stage.known().keys(), status)

    @rule(name=NAMES, number=st.sampled_from([0, 1, 2, 4, 4]))
    def fail(self, name: str, number: int) -> None:
        """An upstream refuses connections."""
        for _ in range(3):
            if name in map(name_of, self.stage.upstreams(number)):
                self.stage.show(name, REFUSED, number=number)

    @rule(seconds=st.sampled_from([0.25, 1, 11, 31]))
    def later(self, seconds: float) -> None:
        """Time passes."""
        self.stage.now += seconds
        self.stage.tick()

    @invariant()
    def nobody_has_more(self) -> None:
        """No instance has more than it may, and all are counted."""
        if hasattr(self, "stage"):
            loads = {each.upstream.load for each in self.leases}
            assert all(load.open <= LIMIT for load in loads)
            assert sum(load.open for load in loads) == len(self.leases)

    def teardown(self) -> None:
        """When all connections have ended every serving upstream has room."""
        if hasattr(self, "stage"):
            for each in self.leases:
                each.end()
            for number in range(3):
                pool = self.stage.pool(number)
                assert not pool.waits()
                if pool.candidates:
                    assert self.stage.chosen(number=number)


def test_the_limit_holds() -> None:
    """
    However connections, answers and failures follow on each other, through several
    mappings, no instance ever exceeds its limit; clients wait only for a full one, and
    are turned away only where none has room.
    """
    run_state_machine_as_test(
        Limits,
        settings=settings(max_examples=50, stateful_step_count=30, deadline=None),
    )
