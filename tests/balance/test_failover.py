"""Chains: several datacenters, and a fallback."""

import contextlib
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.pool_spec import (
    FailoverSpec,
    OutlierConfig,
    PoolSpec,
    ServiceQuery,
    ShrinkGuardConfig,
)
from lbconsul.balance.upstream import Outcome, Upstream
from lbconsul.errors import AllFull, NoUpstream
from tests.support.instances import an_identity, name_of, names_of
from tests.support.stage import Stage

REFUSED = Outcome.REFUSED
FIRST, SECOND, THIRD = (ServiceQuery("web", f"dc{number}") for number in (1, 2, 3))
FALLBACK = ServiceQuery("sorry")

#: The numbers of the questions, as the stage has them.
DC1, DC2, DC3 = 0, 1, 2


def _datacenters(
    *,
    limit: int = 0,
    guarded: bool = False,
    fallback: bool = False,
    failback_after: float = 30.0,
    count: int = 2,
) -> Stage:
    """A mapping over so many datacenters, of which none has answered yet."""
    queries = FIRST, SECOND, THIRD
    selections = [_selected(each, limit, guarded) for each in queries[:count]]
    last = _selected(FALLBACK, limit, guarded) if fallback else None
    return Stage(FailoverSpec(tuple(selections), last, failback_after))


def _selected(query: ServiceQuery, limit: int = 0, guarded: bool = False) -> PoolSpec:
    """One of several pools of a mapping."""
    caution = ShrinkGuardConfig(part=0.5 if guarded else 0.0)
    return PoolSpec(
        query, limit=limit, caution=caution, patience=OutlierConfig(whole=True)
    )


def _two(**options: bool | int) -> Stage:
    """a and b in the first datacenter, x and y in the second."""
    stage = _datacenters(**options)  # type: ignore[arg-type]
    stage.answer("a", "b", number=DC1)
    stage.answer("x", "y", number=DC2)
    stage.tick()
    return stage


class TestFailover:
    """Which datacenter is used."""

    def test_the_first(self) -> None:
        """While the first one has an upstream, others get nothing."""
        stage = _two()
        assert stage.chosen() == {"a", "b"}
        stage.leave("a", number=DC1)
        assert stage.chosen() == {"b"}

    def test_the_next(self) -> None:
        """When the first one has none left the second is used, at once."""
        stage = _two()
        stage.turn("ab", "critical", number=DC1)
        assert stage.chosen() == {"x", "y"}

    def test_the_one_after(self) -> None:
        """Of three datacenters, an empty one is passed over."""
        stage = _datacenters(count=3)
        stage.answer("p", number=DC3)
        assert stage.chosen() == {"p"}
        stage.answer("x", number=DC2)
        assert stage.chosen() == {"x"}
        stage.answer(number=DC2)
        assert stage.chosen() == {"p"}

    def test_no_one(self) -> None:
        """
        If every datacenter is empty no upstream is found; the error names the service.
        """
        stage = _two()
        for number in (DC1, DC2):
            stage.answer(number=number)
        with pytest.raises(NoUpstream, match=r"^no upstream of web,dc=dc1 is left$"):
            stage.lease()

    def test_connections_stay(self) -> None:
        """Connections to the second one live on when the first is used again."""
        stage = _two()
        stage.answer(number=DC1)
        lease = stage.lease()
        stage.answer("a", number=DC1)
        stage.later(31)
        assert stage.chosen() == {"a"}
        assert (lease.leave(), lease.upstream.load.open) == (None, 1)


class TestFailback:
    """When an earlier datacenter is used again."""

    def test_once_it_has_been_well(self) -> None:
        """Only when it has had an upstream for so long."""
        stage = _two()
        stage.answer(number=DC1)
        stage.later(5)
        stage.answer("a", number=DC1)
        assert stage.chosen() == {"x", "y"}
        stage.later(29.75)
        assert stage.chosen() == {"x", "y"}
        stage.later(0.25)
        assert stage.chosen() == {"a"}

    def test_flapping(self) -> None:
        """A datacenter that comes and goes is left alone until it stays."""
        stage = _two()
        for _ in range(10):
            stage.answer(number=DC1)
            stage.later(10)
            stage.answer("a", number=DC1)
            stage.later(20)
            assert stage.chosen() == {"x", "y"}
        stage.later(11)
        assert stage.chosen() == {"a"}

    def test_at_once_if_the_other_goes(self) -> None:
        """
        When the second datacenter is empty, clients do not wait for the first one's
        failback.
        """
        stage = _two()
        stage.answer(number=DC1)
        stage.later(5)
        stage.answer("a", number=DC1)
        stage.answer(number=DC2)
        assert stage.chosen() == {"a"}

    def test_not_to_the_second_and_back(self) -> None:
        """Once the second is back, and the third was used, the same holds for it."""
        stage = _datacenters(count=3)
        for number, name in enumerate("axp"):
            stage.answer(name, number=number)
        assert stage.chosen() == {"a"}
        for number in (DC1, DC2):
            stage.answer(number=number)
        assert stage.chosen() == {"p"}
        stage.later(1)
        stage.answer("x", number=DC2)
        stage.tick()
        stage.later(15)
        stage.answer("a", number=DC1)
        stage.tick()
        stage.later(14.75)
        assert stage.chosen() == {"p"}
        stage.later(0.25)
        assert stage.chosen() == {"x"}
        stage.later(15)
        assert stage.chosen() == {"a"}

    def test_at_the_start(self) -> None:
        """Answers come in any order: the first datacenter is used as soon as its
        first answer is there.
        """
        stage = _datacenters()
        stage.answer("x", number=DC2)
        assert stage.chosen() == {"x"}
        stage.later(1)
        stage.answer("a", number=DC1)
        assert stage.chosen() == {"a"}

    def test_without_clients(self) -> None:
        """Time counts though no client comes meanwhile."""
        stage = _two()
        stage.answer(number=DC1)
        stage.later(1)
        stage.answer("a", number=DC1)
        stage.later(31)
        assert stage.chosen() == {"a"}

    def test_without_delay(self) -> None:
        """The time may be none."""
        stage = _two(failback_after=0)
        stage.answer(number=DC1)
        assert stage.chosen() == {"x", "y"}
        stage.answer("a", number=DC1)
        assert stage.chosen() == {"a"}


class TestRetries:
    """A client whose first upstreams did not answer."""

    def test_go_on_elsewhere(self) -> None:
        """When all of the first datacenter were tried, the next one is."""
        stage = _two()
        tried: list[Upstream] = []
        for _ in range(4):
            tried.append(stage.lease(*tried).upstream)
        assert names_of(tried[:2]) == ["a", "b"]
        assert names_of(tried[2:]) == ["x", "y"]
        with pytest.raises(NoUpstream):
            stage.lease(*tried)

    def test_back_to_the_first(self) -> None:
        """Where the second one is in use, the first one is still better than none."""
        stage = _two()
        stage.answer(number=DC1)
        stage.later(5)
        stage.answer("a", number=DC1)
        second = list(stage.failovers[0].pools[1].upstreams())
        assert name_of(stage.lease(*second).upstream) == "a"

    def test_the_next_client(self) -> None:
        """One client's failed attempts move no other client."""
        stage = _two()
        stage.lease(*stage.upstreams())
        assert stage.chosen() == {"a", "b"}


def _dial(
    stage: Stage, dead: Sequence[str], attempts: int = 3, number: int = 0
) -> list[str]:
    """Which upstreams a client of a mapping tries; all but the last one refuse."""
    failover, tried, names = stage.failovers[number], list[Upstream](), list[str]()
    while True:
        try:
            lease = failover.lease(tried, attempts)
        except NoUpstream:
            return [*names, "-"]
        names.append(name_of(lease.upstream))
        if names[-1] not in dead:
            lease.showed(Outcome.CONNECTED)
            lease.showed(Outcome.SUCCESS)
            lease.end()
            return names
        tried.append(lease.upstream)
        lease.showed(REFUSED)
        lease.end()


class TestUnreachable:
    """A datacenter whose instances pass, and cannot be connected to."""

    @pytest.mark.parametrize("attempts", [1, 2, 3, 4, 100])
    def test_clients_reach_the_next(self, attempts: int) -> None:
        """All of 2,000 clients reach the second one, though the first has as many
        instances as a client has attempts or more; but for probes, at once.
        """
        stage = _datacenters()
        stage.answer(*"abcdef", number=DC1)
        stage.answer(*"xyz", number=DC2)
        paths = []
        for _ in range(2000):
            stage.later(0.05)
            paths.append(_dial(stage, "abcdef", attempts))
        assert {path[-1] for path in paths} == {"x", "y", "z"}
        assert max(map(len, paths)) <= min(attempts, 6) + 1
        # Three refusals for each of six.
        assert sum(len(path) > 1 for path in paths[:18]) >= 18 // min(attempts, 6)
        # A probe of each after 10, 30, and 70 s.
        assert sum(len(path) > 1 for path in paths[18:]) <= 6 * 3
        assert all(len(path) <= 2 for path in paths[18:])

    def test_clients_reach_the_fallback(self) -> None:
        """All of 500 clients reach the fallback as well."""
        stage = _datacenters(count=1, fallback=True)
        stage.answer(*"abc", number=DC1)
        stage.answer("sorry", number=1)
        for _ in range(500):
            assert _dial(stage, "abc")[-1] == "sorry"
        failover = stage.failovers[0]
        assert failover.current is failover.all[1]

    def test_next_clients_go_there_at_once(self) -> None:
        """Once all of the first are ejected it counts as empty."""
        stage = _two()
        for name in "ab":
            stage.show(name, *[REFUSED] * 3)
        failover = stage.failovers[0]
        assert stage.chosen() == {"x", "y"}
        assert failover.current is failover.pools[DC2]
        assert not failover.pools[DC1].is_usable
        # The second one is what a part of a split has, too.
        assert failover.takes_share

    def test_comes_back(self) -> None:
        """
        The first datacenter is probed while the second one serves; once one probe
        succeeds its other upstreams are probed at once, and after a while it is used
        again.
        """
        stage = _two()
        for name in "ab":
            stage.show(name, *[REFUSED] * 3)
        stage.later(11.5)
        assert {_dial(stage, "ab")[0] for _ in range(2)} == {"a", "b"}
        stage.later(11)
        assert _dial(stage, "ab")[0] in "xy", "they are ejected for longer"
        stage.later(12)
        paths = [_dial(stage, "b")[0] for _ in range(3)]
        assert paths.count("a") == 1
        assert paths.index("a") < 2
        assert paths[paths.index("a") + 1] == "b", "it is probed again"
        stage.later(29)
        assert stage.chosen() == {"x", "y"}, "a is not yet well for long"
        stage.later(2)
        assert stage.chosen() == {"a"}
        assert ("restored", "a", "a connection succeeded") in stage.told

    def test_the_others_come_back_as_well(self) -> None:
        """
        Ejected upstreams do not wait for the end of a long ejection while one gets all
        connections.
        """
        stage = _datacenters()
        stage.answer(*"abcdef", number=DC1)
        stage.answer("x", number=DC2)
        for _ in range(30):
            _dial(stage, "abcdef")
        for _ in range(200):
            stage.later(1)
            _dial(stage, "abcdef")
        told = len(stage.told)
        paths: list[str] = []
        while len(paths) < 400 and not stage.told[told:]:
            stage.later(1)
            paths += _dial(stage, "")
        paths = [_dial(stage, "")[0] for _ in range(5)]
        assert len(set(paths)) == 5
        assert set(paths) < set("abcdef")
        assert len(stage.pool().ejected) == 0

    def test_hangs(self) -> None:
        """An upstream that accepts and never answers gets no more than the probes."""
        stage = _two()
        for name in "ab":
            stage.show(name, *[REFUSED] * 3)
        stage.later(11)
        counts = Counter[str]()
        for _ in range(1000):
            lease = stage.lease()
            counts[name_of(lease.upstream)] += 1
            lease.showed(Outcome.CONNECTED)
            lease.end()
            stage.later(0.25)
        assert counts["a"] + counts["b"] <= 2 * 5
        assert counts["x"] + counts["y"] >= 990

    def test_both(self) -> None:
        """If the second is unreachable, too, half of it is not ejected; each client
        tries as many in each as it may, and those that serve first.
        """
        stage = _two()
        for name in "ab":
            stage.show(name, *[REFUSED] * 3)
        tried = _dial(stage, "abxy")
        assert set(tried[:2]) == {"x", "y"}
        assert set(tried[2:]) == {"a", "b", "-"}
        for _ in range(50):
            _dial(stage, "abxy")
        second = stage.failovers[0].pools[DC2]
        assert len(second.ejected) == 1
        assert stage.failovers[0].current is second
        assert _dial(stage, "xy")[-1] in "ab", "the last resort"

    def test_the_second_is_gone(self) -> None:
        """Ejected ones are used where there is nothing else."""
        stage = _two()
        for name in "ab":
            stage.show(name, *[REFUSED] * 3)
        stage.answer(number=DC2)
        failover = stage.failovers[0]
        assert failover.current is failover.pools[DC1]
        held = stage.hold(10)
        assert {each.upstream.load.open for each in held} == {5}
        assert stage.told[2:] == []

    def test_some_are_asked_about_again(self) -> None:
        """If Consul's answer about them changes, half of them serve again."""
        stage = _two()
        for name in "ab":
            stage.show(name, *[REFUSED] * 3)
        stage.answer(number=DC2)
        stage.join("c", number=DC1)
        assert len(stage.pool().ejected) == 1

    def test_last_resort_of_all(self) -> None:
        """The fallback comes before those that are ejected."""
        stage = _two(fallback=True)
        stage.answer("sorry", number=2)
        for name in "ab":
            stage.show(name, *[REFUSED] * 3)
        tried = _dial(stage, "abxyz")
        assert set(tried[:2]) == {"x", "y"}
        assert tried[2:] == ["sorry"]
        assert set(_dial(stage, ["a", "b", "x", "y", "sorry"])[3:]) == {"a", "b", "-"}

    def test_a_mapping_that_has_no_other(self) -> None:
        """Half of the same service serves where a mapping has nothing else."""
        alone = PoolSpec(FIRST)
        stage = Stage(
            FailoverSpec((_selected(FIRST), _selected(SECOND))), FailoverSpec((alone,))
        )
        stage.answer(*"abcd", number=DC1)
        stage.answer("x", number=DC2)
        for _ in range(20):
            assert _dial(stage, "abcd")[-1] == "x"
            _dial(stage, "abcd", number=1)
        assert not stage.failovers[0].pools[DC1].is_usable
        assert len(stage.failovers[1].pools[0].ejected) == 2
        stage.registry.keep_only([FailoverSpec((alone,))])
        stage.registry.keep_only([])

    def test_a_pool_of_two_mappings(self) -> None:
        """All of a pool are ejected only if each mapping has another pool to go to."""
        one, other = _selected(FIRST), _selected(SECOND)
        specs = FailoverSpec((one, other)), FailoverSpec((one, _selected(THIRD)))
        stage = Stage(*specs)
        stage.answer(*"abcd", number=DC1)
        stage.answer("x", number=DC2)
        for _ in range(20):
            _dial(stage, "abcd")
        assert len(stage.pool().ejected) == 2
        stage.registry.keep_only(specs[:1])
        for _ in range(20):
            _dial(stage, "abcd")
        assert len(stage.pool().ejected) == 4

    def test_by_hand(self) -> None:
        """An operator may eject all of one, if there is another."""
        stage = _two()
        failover = stage.failovers[0]
        said = [stage.registry.eject(an_identity(name)) for name in "abxy"]
        assert said[:3] == ["", "", ""]
        assert said[3].startswith("1 of 2 upstreams serve")
        assert failover.current is failover.pools[DC2]

    def test_turn_critical(self) -> None:
        """Upstreams seen to fail count as gone, and the fallback serves."""
        stage = _datacenters(count=1, fallback=True, guarded=True)
        stage.answer(*"abcd", number=DC1)
        stage.answer("sorry", number=1)
        for name in "abcd":
            stage.show(name, *[REFUSED] * 3)
        stage.turn("abcd", "critical", number=DC1)
        assert stage.chosen() == {"sorry"}
        assert len(stage.told) == 4

    def test_attempts_of_those_that_left(self) -> None:
        """A client does not go on for ever where instances come and go."""
        stage = _two()
        tried: list[Upstream] = []
        for name in "abcdefg":
            stage.answer(name, number=DC1)
            with contextlib.suppress(NoUpstream):
                tried.append(stage.failovers[0].lease(tried, 3).upstream)
        assert len(tried) == 6


class TestDoubt:
    """Datacenters of which most was lost at once."""

    def test_suspects_come_after_healthy_upstreams(self) -> None:
        """
        Suspects of the first datacenter come after healthy upstreams of the second, and
        before the fallback.
        """
        stage = _two(guarded=True, fallback=True)
        stage.answer("sorry", number=2)
        stage.answer(number=DC1)
        assert stage.chosen() == {"x", "y"}
        stage.answer(number=DC2)
        in_doubt = list(stage.upstreams())
        assert stage.chosen() <= {"a", "b", "x", "y"}
        second = stage.failovers[0].pools[1].upstreams()
        assert names_of([stage.lease(*in_doubt).upstream])[0] in "xy"
        assert name_of(stage.lease(*in_doubt, *second).upstream) == "sorry"
        stage.later(31)
        assert stage.chosen() == {"sorry"}

    def test_retries(self) -> None:
        """
        A client that has tried all serving upstreams of the first datacenter goes on to
        the second, and only then to suspect ones of the first.
        """
        stage = _datacenters(guarded=True)
        stage.answer(*"abcd", number=DC1)
        stage.answer("x", number=DC2)
        stage.answer("d", number=DC1)
        tried: list[Upstream] = []
        for _ in range(5):
            tried.append(stage.lease(*tried).upstream)
        assert [name_of(each) for each in tried[:2]] == ["d", "x"]
        assert names_of(tried[2:]) == ["a", "b", "c"]

    def test_a_full_suspect_keeps_clients_waiting(self) -> None:
        """While a suspect is just full, clients wait, and do not overflow."""
        stage = _datacenters(count=1, guarded=True, fallback=True, limit=1)
        stage.answer("a", number=DC1)
        stage.answer("sorry", number=1)
        stage.answer(number=DC1)
        stage.lease()
        with pytest.raises(AllFull):
            stage.lease()


class TestLimits:
    """Datacenters whose upstreams are full."""

    def test_no_overflow(self) -> None:
        """A datacenter that is full does not spill into the next, nor the fallback."""
        stage = _two(limit=1, fallback=True)
        stage.answer("sorry", number=2)
        held = stage.hold(2)
        with pytest.raises(AllFull, match=r"^every upstream of web,dc=dc1 is full$"):
            stage.lease()
        held[0].end()
        assert stage.lease().upstream is held[0].upstream

    def test_full_and_tried(self) -> None:
        """When the full ones of the first were tried, the second is next."""
        stage = _two(limit=1)
        stage.hold(2)
        assert name_of(stage.lease(*stage.upstreams()).upstream) in "xy"

    def test_full_fallback(self) -> None:
        """A full fallback is waited for as well, even with others in doubt there."""
        stage = _datacenters(count=1, limit=1, guarded=True, fallback=True)
        stage.answer(*"pqr", number=1)
        stage.answer("p", number=1)
        assert name_of(stage.lease().upstream) == "p"
        with pytest.raises(AllFull, match=r"web,dc=dc1's fallback is full$"):
            stage.lease()


class TestFallback:
    """Another service, for when none is of use."""

    def _stage(self) -> Stage:
        stage = _datacenters(count=1, fallback=True)
        stage.answer("a", number=DC1)
        stage.answer("sorry", number=1)
        return stage

    def test_when_there_is_none(self) -> None:
        """The fallback serves while there is no other upstream, and no longer."""
        stage = self._stage()
        assert stage.chosen() == {"a"}
        stage.answer(number=DC1)
        assert stage.chosen() == {"sorry"}
        stage.answer("a", number=DC1)
        assert stage.chosen() == {"a"}

    def test_when_all_failed(self) -> None:
        """An ejected upstream serves a client for which all others have failed."""
        stage = self._stage()
        lease = stage.lease(*stage.upstreams())
        assert name_of(lease.upstream) == "sorry"
        with pytest.raises(NoUpstream, match=r"^no upstream of web,dc=dc1 is left$"):
            stage.lease(*stage.upstreams(), lease.upstream)

    def test_when_it_has_none(self) -> None:
        """A fallback without an upstream is none."""
        stage = self._stage()
        for number in (DC1, 1):
            stage.answer(number=number)
        with pytest.raises(NoUpstream) as caught:
            stage.lease()
        assert caught.type is NoUpstream

    def test_all_pools(self) -> None:
        """The pools of a mapping are its datacenters', and the fallback's."""
        failover = self._stage().failovers[0]
        assert failover.all[:-1] == failover.pools
        assert names_of(failover.all[-1].upstreams()) == ["sorry"]
        empty = _datacenters(count=1, fallback=True).failovers[0]
        assert len(empty.all) == 2, "nobody is in it, but it is there"
        failover = _two().failovers[0]
        assert failover.all == failover.pools


class TestCurrent:
    """Where new connections go, for people to see."""

    def test_doubted(self) -> None:
        """Suspects are used before the fallback."""
        stage = _datacenters(count=1, fallback=True, guarded=True)
        stage.answer(*"abc", number=DC1)
        stage.answer("sorry", number=1)
        stage.answer(number=DC1)
        failover = stage.failovers[0]
        assert failover.current is failover.pools[0]
        assert stage.chosen() == {"a", "b", "c"}

    def test_failover_and_back(self) -> None:
        """The fallback gets connections until the first datacenter is well for long."""
        stage = _two(fallback=True)
        failover = stage.failovers[0]
        assert failover.current is failover.pools[DC1]
        stage.answer(number=DC1)
        stage.tick()
        assert failover.current is failover.pools[DC2]
        stage.answer("a", number=DC1)
        stage.later(20)
        assert failover.current is failover.pools[DC2]
        stage.later(20)
        assert failover.current is failover.pools[DC1]

    def test_fallback(self) -> None:
        """
        A fallback is used while all others are empty; if it is empty too, no upstream
        is found.
        """
        stage = _datacenters(fallback=True)
        failover = stage.failovers[0]
        seen = [failover.current]
        for name, number in (("sorry", 2), ("x", DC2)):
            stage.answer(name, number=number)
            seen.append(failover.current)
        assert seen == [None, failover.all[-1], failover.pools[DC2]]
        assert [each.query.service for each in failover.all] == [
            "web",
            "web",
            "sorry",
        ]


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.booleans(), st.sampled_from([0, 1, 10, 31])),
    max_size=20,
)


@given(steps=STEPS)
def test_which_datacenter(steps: list[tuple[int, bool, int]]) -> None:
    """
    However datacenters come and go, an upstream is found if any has one; an earlier
    datacenter is used only once it was well for long enough, except at the start, and a
    later one is left as soon as an earlier one was.
    """
    stage = _datacenters(count=3)
    since: dict[int, float] = {}
    proven: set[int] = set()
    used: int | None = None
    for number, is_well, pause in steps:
        stage.answer(*[str(number)] if is_well else [], number=number)
        if not is_well:
            since.pop(number, None)
        elif number not in since:
            since[number] = stage.now if number in proven else float("-inf")
            proven.add(number)
        for _ in range(2):
            chosen = stage.chosen(3)
            if not since:
                assert chosen == set()
            else:
                ripe = {each for each in since if stage.now - since[each] >= 30}
                candidates = [each for each in ripe if used is None or each < used]
                if used in since:
                    candidates.append(used)
                used = min(candidates or since)
                assert chosen == {str(used)}
            stage.later(pause)


def test_no_pool() -> None:
    """A mapping without a service of its own has nowhere to send a client to."""
    stage = Stage(FailoverSpec(()))
    [failover] = stage.failovers
    with pytest.raises(NoUpstream, match="no upstream of no service is left"):
        failover.lease()
    stage.tick()
    assert (failover.current, failover.all) == (None, ())
    stage.registry.keep_only([])


class TestPick:
    """A use of an upstream that is counted without a lease."""

    def test_a_pick_counts_as_a_lease_does(self) -> None:
        """The least loaded is picked, until its use ends."""
        stage = Stage(_selected(FIRST))
        stage.answer("a", "b")
        [failover] = stage.failovers
        first, second = failover.pick(), failover.pick()
        assert first is not None and second is not None and first is not second
        first.load.add(-1)
        assert failover.pick() is first

    def test_a_pick_becomes_a_lease(self) -> None:
        """Its end is that of the lease then, and what it showed counts."""
        stage = Stage(_selected(FIRST))
        stage.answer("a", "b")
        [failover] = stage.failovers
        picked = failover.pick()
        assert picked is not None
        lease = failover.lease_of(picked)
        assert (lease.upstream, lease.instance) == (picked, picked.instance)
        assert (picked.load.open, lease.probing) == (1, False)
        lease.showed(REFUSED)
        assert picked.is_failing
        lease.end()
        lease.end()
        assert picked.load.open == 0

    def test_what_is_not_picked(self) -> None:
        """Where another pool or a probe may have its turn, a lease decides."""
        assert _two().failovers[0].pick() is None
        stage = Stage(_selected(FIRST))
        assert stage.failovers[0].pick() is None
        stage.answer("a", "b")
        for _ in range(9):
            stage.show("a", REFUSED)
        stage.tick()
        assert stage.failovers[0].pick() is None


class TestKept:
    """Clients that come again to one instance."""

    def _kept(self, stage: Stage, name: str, since: float = 0.0) -> bool:
        """Whether it gets its client, in both ways in which it may."""
        failover = stage.failovers[0]
        lease = failover.lease_kept(an_identity(name), since)
        if lease is not None:
            lease.end()
        assert failover.keeps(an_identity(name), since) == (lease is not None)
        picked = failover.pick_kept(an_identity(name), since)
        if picked is not None:
            assert picked.load.open == 1
            failover.lease_of(picked).end()
            assert name_of(picked) == name
        assert (picked is not None) == (lease is not None)
        return lease is not None

    def test_the_one_that_serves(self) -> None:
        """It gets them; one that is unknown, or has left, does not."""
        stage = Stage()
        stage.answer("a", "b", "c")
        assert self._kept(stage, "a")
        assert not self._kept(stage, "x")
        stage.leave("a")
        assert not self._kept(stage, "a")

    def test_one_that_drains(self) -> None:
        """One that an operator drains keeps its clients, for a while; a critical one
        does not.
        """
        stage = Stage()
        stage.answer("a", "b", "c")
        stage.registry.set_drained({an_identity("a"): 0})
        stage.tick()  # it has no connection
        assert self._kept(stage, "a", stage.now - 300)
        assert not self._kept(stage, "a", stage.now)
        stage.turn(["b"], "maintenance")
        assert self._kept(stage, "b", stage.now - 300)
        stage.turn(["c"], "critical")
        assert not self._kept(stage, "c")

    def test_one_that_is_ejected(self) -> None:
        """It gets none."""
        stage = Stage()
        stage.answer("a", "b", "c")
        stage.show("a", REFUSED, REFUSED, REFUSED)
        assert not self._kept(stage, "a")
        assert self._kept(stage, "b")

    def test_one_that_is_suspect(self) -> None:
        """It may well live: its clients find out."""
        stage = Stage(PoolSpec(ServiceQuery("web"), caution=ShrinkGuardConfig(0.3)))
        stage.answer("a", "b", "c")
        stage.answer("a")
        assert self._kept(stage, "b")

    def test_one_that_is_full(self) -> None:
        """Its clients wait."""
        stage = Stage(PoolSpec(ServiceQuery("web"), limit=1))
        stage.answer("a")
        lease = stage.lease()
        failover = stage.failovers[0]
        assert failover.keeps(an_identity("a"), 0.0)
        assert failover.pick_kept(an_identity("a"), 0.0) is None
        with pytest.raises(AllFull):
            failover.lease_kept(an_identity("a"), 0.0)
        lease.end()
        assert self._kept(stage, "a")

    def test_several_datacenters(self) -> None:
        """Clients stay where they are, whichever datacenter new ones go to; the
        fallback keeps none.
        """
        stage = _two(fallback=True)
        stage.answer("sorry", number=2)
        failover = stage.failovers[0]
        assert failover.pick_kept(an_identity("x"), 0.0) is None
        lease = failover.lease_kept(an_identity("x"), 0.0)
        assert lease is not None
        assert not failover.is_fallback(lease.upstream)
        assert not failover.keeps(an_identity("sorry"), 0.0)
        [sorry] = failover.all[-1].upstreams()
        assert failover.is_fallback(sorry)
