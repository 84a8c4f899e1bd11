"""Draws with a chance in proportion to weight."""

import random
from collections import Counter
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.upstream import Upstream
from lbconsul.balance.upstream_view import WHOLE
from lbconsul.balance.weighted import WeightedSampler, remove
from tests.support.instances import name_of, reweigh, upstreams

DRAWS = 20_000


def _lottery(*members: Upstream) -> WeightedSampler:
    sampler = WeightedSampler(random.Random(1).random)
    for upstream in members:
        sampler.add(upstream)
    return sampler


def _shares(sampler: WeightedSampler) -> dict[str, float]:
    drawn: Counter[str] = Counter()
    for _ in range(DRAWS):
        upstream = sampler.sample()
        assert upstream is not None
        drawn[name_of(upstream)] += 1
    return {name: count / DRAWS for name, count in drawn.items()}


@pytest.mark.parametrize(
    "weights",
    [
        (1, 1, 1),
        (1, 2, 3),
        (4, 5, 6, 7),
        (7, 4, 6, 5),
        (1, 65535),
        (1, 10, 100),
        (3, 3, 5, 64),
    ],
)
def test_in_proportion(weights: tuple[int, ...]) -> None:
    """Each is drawn as often as its weight says, within what chance may do."""
    shares = _shares(_lottery(*upstreams(*weights)))
    for name, weight in enumerate(weights):
        due = weight / sum(weights)
        # Five standard deviations of a binomial count.
        tolerance = 5 * (due * (1 - due) / DRAWS) ** 0.5
        assert isclose(shares.get(str(name), 0.0), due, abs_tol=tolerance)


def test_in_proportion_once_the_heaviest_left() -> None:
    """A heavier upstream that left does not shift the shares."""
    heavy, light, medium = upstreams(7, 4, 6)
    sampler = _lottery(heavy, light, medium)
    remove(heavy)
    shares = _shares(sampler)
    assert set(shares) == {"1", "2"}
    assert isclose(shares["1"], 0.4, abs_tol=0.02)


def test_in_proportion_whatever_was_before() -> None:
    """Weights that come and go, and change their order of magnitude, leave no trace."""
    dice = random.Random(2)
    many = upstreams(*[1] * 6)
    sampler = _lottery(*many)
    for _ in range(500):
        upstream = dice.choice(many)
        remove(upstream)
        if dice.random() < 0.3:
            sampler.sample()
        reweigh(upstream, dice.choice([1, 2, 3, 100, 65535]))
        sampler.add(upstream)
    for upstream, weight in zip(many, (3, 3, 3, 5, 8, 64), strict=True):
        remove(upstream)
        reweigh(upstream, weight)
        sampler.add(upstream)
    shares = _shares(sampler)
    for name, weight in enumerate((3, 3, 3, 5, 8, 64)):
        assert isclose(shares[str(name)], weight / 86, abs_tol=0.02)


def test_a_lone_one_needs_no_chance() -> None:
    """One alone of its weight is drawn, whatever chance says."""
    [only] = upstreams(3)
    sampler = WeightedSampler(lambda: 0.999)
    sampler.add(only)
    assert sampler.sample() is only


def test_chance_at_its_ends() -> None:
    """The least and the greatest number that chance gives are both fair game."""
    light, heavy = upstreams(1, 2)
    greatest = 1 - 2**-53
    for chance, drawn in ((0.0, light), (greatest, heavy)):
        sampler = WeightedSampler(lambda chance=chance: chance)  # type: ignore[misc]
        sampler.add(light)
        sampler.add(heavy)
        assert sampler.sample() is drawn


def test_chance_in_the_middle() -> None:
    """A number at the border of two weights' shares is for the second one."""
    heavy, *light = upstreams(2, 1, 1)
    sampler = WeightedSampler(lambda: 0.5)
    for upstream in (heavy, *light):
        sampler.add(upstream)
    assert sampler.sample() is light[1]


def test_who_left_makes_no_draw_longer() -> None:
    """After a heavier upstream left, one that came then is sampled at the first try."""
    heavy, light = upstreams(5, 3)
    chances = iter([0.999])
    sampler = WeightedSampler(lambda: next(chances))
    sampler.add(heavy)
    remove(heavy)
    sampler.add(light)
    assert sampler.sample() is light


def test_membership() -> None:
    """One is in it from when it is added until it is removed, by one weight."""
    [one] = upstreams(2)
    sampler = _lottery(one)
    assert (one.weight_class is None, sampler.is_empty) == (False, False)
    reweigh(one, 9)
    assert one.placed_weight == 2 * WHOLE
    remove(one)
    assert (one.weight_class, sampler.is_empty, sampler.sample()) == (None, True, None)
    sampler.add(one)
    assert one.placed_weight == 9 * WHOLE


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 65535)), max_size=40))
def test_draws_only_members(toggled: list[tuple[int, int]]) -> None:
    """However upstreams come and go, only members are sampled, and all can be."""
    everyone = upstreams(*[1] * 8)
    sampler = _lottery()
    inside: set[Upstream] = set()
    for which, weight in toggled:
        upstream = everyone[which]
        if upstream in inside:
            remove(upstream)
            inside.remove(upstream)
        else:
            reweigh(upstream, weight)
            sampler.add(upstream)
            inside.add(upstream)
        assert sampler.is_empty == (not inside)
        drawn = sampler.sample()
        assert drawn in inside if inside else drawn is None
    for upstream in inside:
        assert upstream.placed_weight == upstream.effective_weight
