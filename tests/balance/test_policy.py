"""The policies: how each chooses, and what all of them keep to."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.consistent_hash import ConsistentHash
from lbconsul.balance.hash_key import HashKey
from lbconsul.balance.policies import POLICIES
from lbconsul.balance.policy import (
    LeastConnections,
    PowerOfTwoChoices,
    Random,
    RoundRobin,
)
from lbconsul.balance.upstream import TierPolicy, Upstream
from tests.support.instances import an_upstream, name_of, reweigh, upstreams

ALL = pytest.mark.parametrize("name", sorted(POLICIES))


def _chance(seed: int = 1) -> Callable[[], float]:
    return random.Random(seed).random


def _scripted(*numbers: float) -> Callable[[], float]:
    script: Iterator[float] = cycle(numbers)
    return lambda: next(script)


def _placed(policy: TierPolicy, many: list[Upstream]) -> list[Upstream]:
    for upstream in many:
        policy.place(upstream)
    return many


def _chosen(policy: TierPolicy) -> Upstream:
    upstream = policy.choose()
    assert upstream is not None
    return upstream


def _counts(policy: TierPolicy, picks: int) -> Counter[str]:
    """How often each is chosen for connections that are over at once."""
    return Counter(name_of(_chosen(policy)) for _ in range(picks))


def _load(policy: TierPolicy, upstream: Upstream, connections: int) -> None:
    upstream.load.open = connections
    policy.place(upstream)


class TestEach:
    """What every policy keeps to."""

    @ALL
    def test_none_is_placed(self, name: str) -> None:
        """With no upstream there is nothing to choose, at first and later."""
        policy = POLICIES[name](_chance())
        assert policy.choose() is None
        [only] = _placed(policy, upstreams(1))
        assert policy.choose() is only
        policy.withdraw(only)
        assert policy.choose() is None

    @ALL
    def test_all_get_some(self, name: str) -> None:
        """No upstream of a service of short connections is left out."""
        policy = POLICIES[name](_chance())
        _placed(policy, upstreams(1, 1, 1, 1))
        assert min(_counts(policy, 400).values()) > 60

    @ALL
    def test_weights(self, name: str) -> None:
        """With all of them idle, an upstream of thrice the weight gets thrice."""
        policy = POLICIES[name](_chance())
        _placed(policy, upstreams(1, 3))
        assert 2900 < _counts(policy, 4000)["1"] < 3100

    @ALL
    def test_similar_weights(self, name: str) -> None:
        """Idle upstreams whose weights differ little get shares that differ little."""
        policy = POLICIES[name](_chance())
        _placed(policy, upstreams(3, 4, 5))
        counts = _counts(policy, 12_000)
        assert [round(counts[each] / 1000) for each in "012"] == [3, 4, 5]

    @ALL
    def test_new_weight(self, name: str) -> None:
        """A weight that changes counts from the next choice on."""
        policy = POLICIES[name](_chance())
        one, _ = _placed(policy, upstreams(1, 1))
        _counts(policy, 10)
        reweigh(one, 9)
        policy.place(one)
        assert _counts(policy, 1000)["0"] > 850

    @ALL
    def test_placed_again_unchanged(self, name: str) -> None:
        """An upstream that is placed again as it was is one, not two."""
        policy = POLICIES[name](_chance())
        one, other = _placed(policy, upstreams(1, 1))
        for _ in range(1000):
            policy.place(one)
        assert _counts(policy, 1000)["0"] < 580
        policy.withdraw(one)
        assert _counts(policy, 10) == {name_of(other): 10}

    @ALL
    @given(data=st.data())
    def test_withdrawn_is_withdrawn(self, name: str, data: st.DataObject) -> None:
        """
        Whatever happens, the chosen upstream is a member; None means that there are
        none.
        """
        policy = POLICIES[name](_chance(data.draw(st.integers(0, 9))))
        everyone = upstreams(*[1] * 5)
        placed: set[Upstream] = set()
        numbers, steps = st.integers(0, 4), ["place", "reweigh", "load", "withdraw"]
        for step in data.draw(st.lists(st.sampled_from(steps), max_size=30)):
            upstream = everyone[data.draw(numbers)]
            if step == "withdraw":
                if upstream in placed:
                    placed.remove(upstream)
                    policy.withdraw(upstream)
            else:
                if step == "reweigh":
                    reweigh(upstream, data.draw(st.sampled_from([1, 2, 3, 100, 65535])))
                if step == "load":
                    upstream.load.open = data.draw(st.integers(0, 3))
                placed.add(upstream)
                policy.place(upstream)
            chosen = policy.choose()
            assert chosen in placed if placed else chosen is None

    @ALL
    def test_a_key_means_nothing_to_most(self, name: str) -> None:
        """With a key, too, a placed upstream is chosen."""
        policy = POLICIES[name](_chance())
        [only] = _placed(policy, upstreams(1))
        assert policy.choose_for(HashKey.of(b"a")) is only

    def test_names(self) -> None:
        """Each policy goes by the name that the options give it."""
        assert sorted(POLICIES) == ["hash", "leastconn", "p2c", "random", "roundrobin"]
        kinds = [
            ConsistentHash,
            LeastConnections,
            PowerOfTwoChoices,
            Random,
            RoundRobin,
        ]
        assert [POLICIES[name] for name in sorted(POLICIES)] == kinds


class TestLeastConnections:
    """The least crowded one."""

    def test_the_idle_one_first(self) -> None:
        """An idle upstream comes before any that is busy, even a light one."""
        policy = LeastConnections(_chance())
        idle, busy = _placed(policy, upstreams(1, 100))
        _load(policy, busy, 1)
        assert {policy.choose() for _ in range(20)} == {idle}

    def test_by_weight(self) -> None:
        """Of busy ones the one is taken that is better off with one more."""
        policy = LeastConnections(_chance())
        light, heavy = _placed(policy, upstreams(1, 4))
        _load(policy, light, 1)  # 2 / 1
        for connections in range(1, 7):  # up to 7 / 4
            _load(policy, heavy, connections)
            assert policy.choose() is heavy
        _load(policy, heavy, 8)  # 9 / 4
        assert policy.choose() is light

    def test_equals_share(self) -> None:
        """Upstreams that are equally busy share by chance, and by weight."""
        policy = LeastConnections(_chance())
        one, other = _placed(policy, upstreams(1, 2))
        _load(policy, one, 1)  # 2 / 1
        _load(policy, other, 3)  # 4 / 2
        assert 1200 < _counts(policy, 2000)["1"] < 1460

    def test_levels_the_load(self) -> None:
        """Long connections spread exactly: no upstream has two more than another."""
        policy = LeastConnections(_chance())
        many = _placed(policy, upstreams(*[1] * 7))
        for _ in range(100):
            upstream = _chosen(policy)
            _load(policy, upstream, upstream.load.open + 1)
            loads = [each.load.open for each in many]
            assert max(loads) - min(loads) <= 1

    def test_forgets_crowding_that_is_over(self) -> None:
        """Upstreams that go through ever new loads do not fill the memory."""
        policy = LeastConnections(_chance())
        [only] = _placed(policy, upstreams(7))
        for connections in range(2000):
            _load(policy, only, connections)
        assert policy.choose() is only
        assert len(policy._scores) <= len(policy._equals) < 100

    def test_the_least_of_ever_changing_loads(self) -> None:
        """However long loads go up and down, it is the least crowded that is taken."""
        dice = random.Random(1)
        policy = LeastConnections(dice.random)
        many = _placed(policy, upstreams(101, 103, 107, 109, 113))
        for _ in range(3000):
            _load(policy, dice.choice(many), dice.randrange(1, 1000))
            least = min(each.load_score() for each in many)
            assert _chosen(policy).load_score() == least

    def test_a_weight_that_changes_between_idle_ones(self) -> None:
        """An idle upstream's new weight counts though its crowding is the same."""
        policy = LeastConnections(_chance())
        one, _ = _placed(policy, upstreams(1, 1))
        reweigh(one, 99)
        policy.place(one)
        assert _counts(policy, 1000)["0"] > 950


class TestPowerOfTwoChoices:
    """The less crowded of two."""

    def test_the_less_crowded(self) -> None:
        """Of the two that chance has drawn the less crowded one is taken."""
        policy = PowerOfTwoChoices(_scripted(0.0, 0.9))
        busy, idle = _placed(policy, upstreams(1, 1))
        _load(policy, busy, 1)
        assert policy.choose() is idle
        for each in (busy, idle):
            policy.withdraw(each)
        policy = PowerOfTwoChoices(_scripted(0.9, 0.0))
        _placed(policy, [busy, idle])
        assert policy.choose() is idle

    def test_evens_out(self) -> None:
        """Long connections spread far more evenly than by chance alone."""
        spread = {}
        for name in ("p2c", "random"):
            policy = POLICIES[name](_chance())
            many = _placed(policy, upstreams(*[1] * 20))
            for _ in range(2000):
                upstream = _chosen(policy)
                _load(policy, upstream, upstream.load.open + 1)
            loads = [each.load.open for each in many]
            spread[name] = max(loads) - min(loads)
        assert spread["p2c"] <= 6
        assert spread["random"] >= 20

    def test_a_giant(self) -> None:
        """Even if one upstream outweighs all others, a choice ends."""
        policy = PowerOfTwoChoices(_scripted(0.0))
        giant, _ = _placed(policy, upstreams(65535, 1))
        assert policy.choose() is giant


class TestRoundRobin:
    """Each in its turn."""

    @given(
        weights=st.lists(st.integers(1, 12), min_size=1, max_size=6),
        rounds=st.integers(1, 4),
        seed=st.integers(0, 999),
    )
    def test_exact_shares(self, weights: list[int], rounds: int, seed: int) -> None:
        """Over whole rounds each is chosen exactly as often as its weight says."""
        policy = RoundRobin(_chance(seed))
        _placed(policy, upstreams(*weights))
        counts = _counts(policy, rounds * sum(weights))
        assert counts == {str(n): rounds * each for n, each in enumerate(weights)}

    def test_turns_are_spread(self) -> None:
        """A heavy one's turns do not come in a row, but between the others'."""
        policy = RoundRobin(_scripted(0.5))
        _placed(policy, upstreams(3, 1, 1, 1))
        order = [name_of(_chosen(policy)) for _ in range(60)]
        heavy = [place for place, name in enumerate(order) if name == "0"]
        gaps = {later - earlier for earlier, later in pairwise(heavy)}
        assert gaps <= {1, 2, 4}
        assert len(heavy) == 30

    def test_gateways_do_not_walk_in_step(self) -> None:
        """Which one is first is left to chance."""
        firsts = set()
        for seed in range(20):
            policy = RoundRobin(_chance(seed))
            _placed(policy, upstreams(1, 1, 1))
            firsts.add(name_of(_chosen(policy)))
        assert firsts == {"0", "1", "2"}

    def test_load_is_no_matter(self) -> None:
        """Turns do not depend on how busy an upstream is."""
        policy = RoundRobin(_chance())
        many = _placed(policy, upstreams(1, 1))
        _load(policy, many[0], 1000)
        assert _counts(policy, 10) == {"0": 5, "1": 5}

    def test_a_newcomer_is_due_within_a_round(self) -> None:
        """
        An upstream that joins late is due within one round, and gets no more than its
        share.
        """
        policy = RoundRobin(_chance())
        _placed(policy, upstreams(1, 1))
        _counts(policy, 1000)
        policy.place(an_upstream("late"))
        assert 2 <= _counts(policy, 9)["late"] <= 4

    def test_newcomers_are_not_all_first(self) -> None:
        """Whether a late upstream is the very next one is left to chance."""
        nexts: Counter[str] = Counter()
        for seed in range(100):
            policy = RoundRobin(_chance(seed))
            _placed(policy, upstreams(1, 1, 1))
            _counts(policy, 100)
            policy.place(an_upstream("late"))
            nexts[name_of(_chosen(policy))] += 1
        assert 5 <= nexts["late"] <= 50

    def test_a_new_weight_counts_at_once(self) -> None:
        """An upstream that becomes heavy does not wait for its turn as a light one."""
        policy = RoundRobin(_scripted(0.5))
        _, light = _placed(policy, upstreams(1000, 1))
        reweigh(light, 1000)
        policy.place(light)
        assert 4 <= _counts(policy, 10)["1"] <= 6

    def test_a_turn_that_was_given_up_is_none(self) -> None:
        """
        An upstream whose weight changes all the time has the turns of the last weight.
        """
        policy = RoundRobin(_chance())
        fickle, _ = _placed(policy, upstreams(1, 1))
        for weight in range(20, 0, -1):
            policy.withdraw(fickle)
            reweigh(fickle, weight)
            policy.place(fickle)
        assert 9 <= _counts(policy, 20)["0"] <= 11

    def test_who_was_avoided_keeps_its_turn(self) -> None:
        """An upstream that is broken, and so avoided once each time that it was
        chosen, is not chosen more often for that.
        """
        policy = RoundRobin(_chance())
        broken = _placed(policy, upstreams(1, 1, 1, 1))[0]
        counts: Counter[str] = Counter()
        for _ in range(1000):
            upstream = _chosen(policy)
            counts[name_of(upstream)] += 1
            if upstream is broken:
                policy.withdraw(broken)
                counts[name_of(_chosen(policy))] += 1
                policy.place(broken)
        assert counts.total() // 4 - 1 <= counts["0"] <= counts.total() // 4 + 1

    def test_who_is_altered_keeps_its_turn(self) -> None:
        """An upstream whose check says something new all the time gets its share."""
        policy = RoundRobin(_chance())
        altered = _placed(policy, upstreams(1, 1, 1))[0]
        counts: Counter[str] = Counter()
        for _ in range(300):
            for _ in range(100):
                policy.withdraw(altered)
                policy.place(altered)
            counts[name_of(_chosen(policy))] += 1
        assert counts == {"0": 100, "1": 100, "2": 100}
        assert len(policy._queue) < 3 + 100

    def test_who_was_away_has_no_claims(self) -> None:
        """
        An upstream that was away for many rounds does not make up for them at once.
        """
        policy = RoundRobin(_chance())
        away = _placed(policy, upstreams(1, 1))[0]
        policy.withdraw(away)
        _counts(policy, 1000)
        policy.place(away)
        assert _counts(policy, 10)["0"] <= 6
