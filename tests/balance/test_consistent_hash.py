"""``policy=hash``: who gets the connections with a key."""

import random
from collections import Counter
from math import ceil, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.consistent_hash import ConsistentHash
from lbconsul.balance.hash_key import HashKey
from lbconsul.balance.upstream import Upstream
from tests.support.instances import an_upstream, name_of, reweigh, upstreams

KEYS = [HashKey.of(b"key %d" % number) for number in range(4000)]


def _policy(many: list[Upstream], bound: float = 1.25, seed: int = 1) -> ConsistentHash:
    policy = ConsistentHash(random.Random(seed).random, bound=bound)
    for each in many:
        policy.place(each)
    return policy


def _owner(policy: ConsistentHash, key: HashKey) -> str:
    chosen = policy.choose_for(key)
    assert chosen is not None
    return name_of(chosen)


def _owners(policy: ConsistentHash) -> list[str]:
    return [_owner(policy, key) for key in KEYS]


def _moved(before: list[str], after: list[str]) -> set[tuple[str, str]]:
    return {(a, b) for a, b in zip(before, after, strict=True) if a != b}


def test_none_is_placed() -> None:
    """Without an upstream there is none for a key, at first and later."""
    policy = _policy([])
    assert policy.choose_for(KEYS[0]) is None
    [only] = upstreams(1)
    policy.place(only)
    assert policy.choose_for(KEYS[0]) is only
    policy.withdraw(only)
    assert policy.choose_for(KEYS[0]) is None


@given(st.permutations(range(12)), st.integers(0, 11))
def test_all_gateways_agree(order: list[int], kept: int) -> None:
    """Neither the order in which instances come matters, nor who was there before."""
    policy = _policy(upstreams(*[1] * 12))
    other = _policy([])
    many = upstreams(*[1] * 12)
    stranger = an_upstream("stranger", 7)
    other.place(stranger)
    for number in order:
        other.place(many[number])
        if number == kept:
            other.choose_for(KEYS[0])
    other.withdraw(stranger)
    for key in KEYS[:100]:
        assert _owner(policy, key) == _owner(other, key)


@pytest.mark.parametrize("count", [3, 10, 100])
def test_one_that_leaves_moves_its_share(count: int) -> None:
    """Of n instances one has 1/n of the keys, give or take: these move, and no others.

    They go to all others, and come back with it.
    """
    many = upstreams(*[1] * count)
    policy = _policy(many, inf)
    before = _owners(policy)
    policy.withdraw(many[1])
    after = _owners(policy)
    moved = _moved(before, after)
    assert {was for was, _ in moved} == {"1"}
    assert len({now for _, now in moved}) > min(count - 1, 10) / 2
    share = before.count("1") / len(KEYS)
    assert 0.5 / count < share < 1.6 / count
    policy.place(many[1])
    assert _owners(policy) == before


@pytest.mark.parametrize("count", [2, 10, 100])
def test_one_that_joins_takes_its_share(count: int) -> None:
    """A new instance takes keys from all others, and moves none between them."""
    policy = _policy(upstreams(*[1] * count), inf)
    before = _owners(policy)
    policy.place(an_upstream("new"))
    after = _owners(policy)
    assert {now for _, now in _moved(before, after)} == {"new"}
    assert 0.5 / (count + 1) < after.count("new") / len(KEYS) < 1.6 / (count + 1)


def test_weights() -> None:
    """An instance of twice the weight has twice the keys; a new weight moves few."""
    many = upstreams(1, 2, 4)
    policy = _policy(many, inf)
    before = _owners(policy)
    counts = Counter(before)
    assert 1.5 < counts["1"] / counts["0"] < 2.7
    assert 1.5 < counts["2"] / counts["1"] < 2.7
    reweigh(many[0], 4)
    policy.place(many[0])
    assert {now for _, now in _moved(before, _owners(policy))} == {"0"}
    reweigh(many[0], 1)
    policy.place(many[0])
    assert _owners(policy) == before


def test_slow_start() -> None:
    """One in slow start has few keys at first; those that it gets it keeps."""
    many = upstreams(1, 1, 1)
    policy = _policy(many, inf)
    counts, before = [], _owners(policy)
    for part in (0.1, 0.3, 0.6, 1.0):
        many[0].ramp(part)
        policy.place(many[0])
        counts.append(_owners(policy).count("0"))
    assert counts == sorted(counts)
    assert counts[0] < counts[3] / 4
    assert _owners(policy) == before


@pytest.mark.parametrize(
    "weights", [[1, 65535], [65535] * 3, [1] * 20_000, [1000] * 100]
)
def test_points_are_bounded(weights: list[int]) -> None:
    """Heavy instances, and many, take no more memory than others; all get some keys."""
    policy = _policy(upstreams(*weights), inf)
    counts = Counter(_owner(policy, key) for key in KEYS)
    assert counts
    points = [spot.points for spot in policy._spots.values()]
    assert sum(points) <= 1.1 * (1 << 20)
    assert 1 <= min(points) <= max(points) <= 256 * 64


def test_heavier_ones_take_from_all_alike() -> None:
    """Where weights get so great that all have fewer points, all gateways agree."""
    light, away, heavy = upstreams(100, 100, 1000)
    policy = _policy([light, away], inf)
    _owners(policy)
    policy.withdraw(away)
    policy.place(heavy)
    assert _owners(policy) == _owners(_policy([light, heavy], inf))
    policy.place(away)
    assert _owners(policy) == _owners(_policy([away, heavy, light], inf))


def test_those_that_are_gone_leave_the_ring() -> None:
    """A service that is deployed for years has not more on the ring than it has."""
    policy = _policy(upstreams(*[1] * 10))
    for number in range(200):
        new = an_upstream(f"new-{number}")
        policy.place(new)
        policy.choose_for(KEYS[0])
        policy.withdraw(new)
        policy.choose_for(KEYS[0])
    assert len(policy._spots) < 40
    fresh = _policy(upstreams(*[1] * 10))
    assert _owners(policy) == _owners(fresh)


class _Crowd:
    """Connections that stay open."""

    def __init__(self, policy: ConsistentHash) -> None:
        self.policy = policy

    def open(self, key: HashKey) -> Upstream:
        chosen = self.policy.choose_for(key)
        assert chosen is not None
        chosen.load.open += 1
        self.policy.place(chosen)
        return chosen

    def close(self, upstream: Upstream) -> None:
        upstream.load.open -= 1
        self.policy.place(upstream)


@given(
    st.lists(st.sampled_from([1, 1, 2, 5, 10]), min_size=1, max_size=12),
    st.lists(st.integers(0, 30), max_size=120),
    st.integers(0, 3),
)
def test_no_upstream_has_more_than_its_bound(
    weights: list[int], keys: list[int], closing: int
) -> None:
    """Whatever the keys, each gets at most 1.25 times its share, rounded up, or two.

    So says the paper on bounded loads; weights have their share accordingly.
    """
    many = upstreams(*weights)
    crowd = _Crowd(_policy(many))
    opened: list[Upstream] = []
    for number, key in enumerate(keys):
        chosen = crowd.open(KEYS[key])
        opened.append(chosen)
        total = sum(each.load.open for each in many)
        share = total * chosen.verdict.weight / sum(weights)
        assert chosen.load.open <= max(2, ceil(1.25 * share))
        if closing and not number % (closing + 1):
            crowd.close(opened.pop(0))


def test_a_popular_key_spills_over_in_order() -> None:
    """The key of a full instance goes to the same others in all gateways, and back."""
    names = []
    for seed in (1, 2):
        crowd = _Crowd(_policy(upstreams(*[1] * 20), seed=seed))
        opened = [crowd.open(KEYS[7]) for _ in range(100)]
        names.append([name_of(each) for each in opened])
        for each in opened:
            crowd.close(each)
        assert name_of(crowd.open(KEYS[7])) == names[0][0]
    assert names[0][:50] == names[1][:50]
    assert max(Counter(names[0]).values()) <= 7


def test_counts_of_others_are_the_load_too() -> None:
    """Connections of other mappings and workers count for the bound."""
    many = upstreams(1, 1, 1)
    policy = _policy(many)
    mine = policy.choose_for(KEYS[0])
    assert mine is not None
    mine.load.open = 10
    policy.place(mine)
    assert policy.choose_for(KEYS[0]) is not mine


def test_one_that_is_about_to_be_over_moves_no_key() -> None:
    """A client that asks again before its last request is counted off stays."""
    crowd = _Crowd(_policy(upstreams(*[1] * 10)))
    first = crowd.open(KEYS[5])
    assert crowd.open(KEYS[5]) is first
    assert crowd.open(KEYS[5]) is not first


def test_without_a_bound_a_key_stays() -> None:
    """``hash-balance-factor=off``: one instance has a key, however many come."""
    crowd = _Crowd(_policy(upstreams(1, 1, 1), inf))
    assert len({crowd.open(KEYS[3]) for _ in range(100)}) == 1


def test_a_place_is_found_in_any_case() -> None:
    """If every place on the ring is full that is looked at, the idle one gets it."""
    light, *heavy = upstreams(1, 30_000, 30_000)
    crowd = _Crowd(_policy([light, *heavy], 1.000001))
    for each in heavy:
        each.load.open = 50_000
        crowd.policy.place(each)
    for key in KEYS[:3]:
        chosen = crowd.open(key)
        assert chosen is light
        crowd.close(chosen)


def test_without_a_key_the_least_loaded_is_chosen() -> None:
    """A request without the field is balanced by least connections."""
    one, other = upstreams(1, 1)
    policy = _policy([one, other])
    one.load.open = 1
    policy.place(one)
    assert {policy.choose() for _ in range(10)} == {other}
