"""The short way of an ordinary connection to its upstream: what it costs, and that it
leads where the long way does.
"""

import sys
from types import FrameType
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
from lbconsul.balance.pool_spec import (
    FailoverSpec,
    OutlierConfig,
    PoolSpec,
    ServiceQuery,
    ShrinkGuardConfig,
)
from lbconsul.balance.standing import Standing
from lbconsul.balance.upstream import Lease, Outcome
from lbconsul.errors import NoUpstream
from tests.support.instances import an_identity, an_instance, name_of
from tests.support.stage import Stage

WEB = ServiceQuery("web")
#: No instance is ever registered for it.
EMPTY = PoolSpec(ServiceQuery("empty"))
GUARDED = ShrinkGuardConfig(0.3)

#: Calls of Python functions for the whole life of a lease.  For p2c there may be more:
#: it draws again if it drew the same upstream twice.
CALLS = {"hash": 10, "leastconn": 8, "p2c": 12.5, "random": 9, "roundrobin": 9}


class CallCounter:
    """Counts calls of Python functions while it is entered."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> "CallCounter":
        self._before = sys.getprofile()
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.setprofile(self._before)
        self.calls -= 1  # this one

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        self.calls += event == "call"


def _use(stage: Stage) -> None:
    """One connection as a session leases for it, and reports on it."""
    lease = stage.failovers[0].lease()
    for outcome in (Outcome.CONNECTED, Outcome.SUCCESS):
        if lease.upstream.record is not None:
            lease.showed(outcome)
    lease.end()


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize("count", [3, 1000])
def test_calls(policy: str, count: int) -> None:
    """A connection makes a handful of calls to find its upstream, however many
    upstreams and connections there are, and after ejected ones have recovered.
    """
    stage = Stage(PoolSpec(WEB, policy=policy))
    stage.answer(*map(str, range(count)))
    stage.show("0", *[Outcome.REFUSED] * 3)
    assert stage.upstream("0").standing is Standing.EJECTED
    stage.later(30)
    probe = stage.lease()
    probe.showed(Outcome.SUCCESS)
    probe.end()
    stage.hold(count // 2)
    with CallCounter() as counter:
        for _ in range(100):
            _use(stage)
    of_use = 100  # `_use` itself
    assert 0 < (counter.calls - of_use) / 100 <= CALLS[policy]


class Twins(RuleBasedStateMachine):
    """Two gateways with the same clients, upstreams and chance.

    The mapping of the second one has another pool, which stays empty.  Hence its
    connections go the long way.
    """

    @initialize(
        seed=st.integers(0, 2**16),
        policy=st.sampled_from([*["leastconn"] * 3, "p2c", "random", "roundrobin"]),
        limit=st.sampled_from([0, 0, 3]),
        slow_start=st.sampled_from([0.0, 10.0]),
        early_close=st.booleans(),
    )
    def begin(
        self,
        seed: int,
        policy: str,
        limit: int,
        slow_start: float,
        early_close: bool,
    ) -> None:
        """Both start."""
        spec = PoolSpec(
            WEB,
            policy=policy,
            patience=OutlierConfig(2, early_close=early_close),
            caution=GUARDED,
            slow_start=slow_start,
            limit=limit,
        )
        self.stages = [
            Stage(FailoverSpec(pools), seed=seed) for pools in ((spec,), (spec, EMPTY))
        ]
        self.leases: list[list[Lease]] = []
        self.answer({"a": 1, "b": 1, "c": 1})

    @rule(
        weights=st.dictionaries(
            st.sampled_from("abcdef"), st.sampled_from([0, 1, 1, 1, 1, 2, 3])
        )
    )
    def answer(self, weights: dict[str, int]) -> None:
        """Consul answers."""
        for stage in self.stages:
            stage.answer(
                *(an_instance(name, weight=each) for name, each in weights.items())
            )

    @rule(
        name=st.sampled_from("abcdef"), status=st.sampled_from(["critical", "passing"])
    )
    def turn(self, name: str, status: Any) -> None:
        """A check turns."""
        for stage in self.stages:
            if name in stage.known():
                stage.turn(name, status)

    @rule(
        clients=st.integers(1, 9), avoided=st.sampled_from([*[""] * 4, "a", "ab", "f"])
    )
    def connect(self, clients: int, avoided: str) -> None:
        """Clients connect, and get the same upstreams."""
        for _ in range(clients):
            both = [self._lease(stage, avoided) for stage in self.stages]
            if isinstance(both[0], Lease) and isinstance(both[1], Lease):
                one, other = both[0], both[1]
                assert name_of(one.upstream) == name_of(other.upstream)
                assert one.probing == other.probing
                self.leases.append([one, other])
            else:
                assert both[0] == both[1]

    @staticmethod
    def _lease(stage: Stage, avoided: str) -> Lease | str:
        avoiding = [each for each in stage.upstreams() if name_of(each) in avoided]
        try:
            return stage.failovers[0].lease(avoiding)
        except NoUpstream as error:  # or all are full
            return repr(error)

    @rule(
        number=st.integers(0, 99),
        outcomes=st.sampled_from([(), *((each,) for each in Outcome)]),
    )
    def end(self, number: int, outcomes: tuple[Outcome, ...]) -> None:
        """A connection ends, and may have shown something."""
        if self.leases:
            for lease in self.leases.pop(number % len(self.leases)):
                for outcome in outcomes:
                    lease.showed(outcome)
                lease.end()

    @rule(name=st.sampled_from("abcdef"))
    def fail(self, name: str) -> None:
        """An upstream refuses twice in a row, which ejects it, or confirms Consul."""
        for stage in self.stages * 2:
            if name in map(name_of, stage.upstreams()):
                stage.show(name, Outcome.REFUSED)

    @rule(name=st.sampled_from("abcdef"))
    def eject(self, name: str) -> None:
        """An operator ejects an instance."""
        said = {stage.registry.eject(an_identity(name)) for stage in self.stages}
        assert len(said) == 1

    @rule(name=st.sampled_from(["", "a", "b"]))
    def drain(self, name: str) -> None:
        """An operator drains an instance, or none any more."""
        for stage in self.stages:
            stage.registry.set_drained({an_identity(name): 0} if name else {})

    @rule(seconds=st.sampled_from([0.25, 1, 11, 31]))
    def later(self, seconds: float) -> None:
        """Time passes."""
        for stage in self.stages:
            stage.now += seconds
            stage.tick()

    @invariant()
    def they_stand_alike(self) -> None:
        """Both have the same upstreams with the same connections and standings."""
        if hasattr(self, "stages"):
            one, other = (
                [
                    (name_of(each), each.load.open, each.standing, each.since)
                    for each in stage.upstreams()
                ]
                for stage in self.stages
            )
            assert one == other

    @invariant()
    def the_short_way_is_open_when_it_may(self) -> None:
        """It is closed while an upstream is ejected or suspect, and only then."""
        if hasattr(self, "stages"):
            for stage in self.stages:
                pool = stage.pool()
                is_usual = not pool.ejected and not pool.has_suspects
                assert (pool.choose is not None) == is_usual


def test_both_ways_lead_to_the_same_upstream() -> None:
    """Whatever Consul, clients, upstreams and operators do, a connection that goes
    the short way gets the upstream that the long way leads to.
    """
    run_state_machine_as_test(
        Twins,
        settings=settings(max_examples=75, stateful_step_count=40, deadline=None),
    )
