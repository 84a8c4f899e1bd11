"""The choice among weighted parts."""

from collections import Counter
from fractions import Fraction

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.split import WHOLE, LocalCredits, Split


@define(eq=False)
class APart:
    """A part that is usable as long as a test says so."""

    name: str
    is_usable: bool = True


WEIGHTS = st.lists(st.integers(1, 1000), min_size=1, max_size=12)


def a_split(*weights: float) -> Split[APart]:
    return Split([APart(str(number)) for number in range(len(weights))], weights)


def chosen(split: Split[APart], times: int) -> list[int]:
    """The numbers of the parts of so many choices; -1 for none."""
    choices = [split.choose() for _ in range(times)]
    return [-1 if each is None else int(each.name) for each in choices]


def share(weights: list[int], number: int) -> Fraction:
    return Fraction(weights[number], sum(weights))


@given(WEIGHTS, st.integers(0, 300))
def test_each_part_has_its_exact_share(weights: list[int], times: int) -> None:
    """After any number of choices no part is off by as much as one choice."""
    split, counts = a_split(*weights), Counter[int]()
    for done, number in enumerate(chosen(split, times), 1):
        counts[number] += 1
        for each in range(len(weights)):
            assert abs(counts[each] - done * share(weights, each)) < 1


@given(st.integers(1, 999), st.integers(0, 300), st.integers(1, 300))
def test_any_window_is_exact(part: int, before: int, length: int) -> None:
    """A canary of any share gets it in any time, to within one client."""
    window = chosen(a_split(part, 1000 - part), before + length)[before:]
    assert abs(window.count(0) - Fraction(part * length, 1000)) <= 1


@given(WEIGHTS, st.integers(0, 100), st.integers(1, 200))
def test_windows_of_many_parts(weights: list[int], before: int, length: int) -> None:
    """Of more parts it is within two clients, whenever one begins to count."""
    window = chosen(a_split(*weights), before + length)[before:]
    for each in range(len(weights)):
        assert abs(window.count(each) - length * share(weights, each)) < 2


def test_parts_take_turns() -> None:
    """A part of 5 % gets one of 20 clients each, not 5 of 100 in a row."""
    turns = chosen(a_split(5, 95), 100)
    assert [turns[each : each + 20].count(0) for each in range(0, 100, 20)] == [1] * 5


def test_small_shares() -> None:
    """One in a thousand is exactly that, and 99.9 % is the rest."""
    assert Counter(chosen(a_split(0.1, 99.9), 10_000)) == {0: 10, 1: 9990}


@given(
    WEIGHTS.filter(lambda weights: len(weights) > 1),
    st.data(),
    st.integers(0, 100),
    st.integers(1, 300),
)
def test_unusable(
    weights: list[int], data: st.DataObject, before: int, length: int
) -> None:
    """The share of a part that cannot be used goes to the others, by their weights;
    when it is back, it gets its share, and nothing beside.
    """
    split = a_split(*weights)
    numbers = range(len(weights))
    gone = data.draw(st.sets(st.sampled_from(numbers), max_size=len(weights) - 1))
    chosen(split, before)
    for each in gone:
        split.parts[each].is_usable = False
    meanwhile = chosen(split, length)
    left = sum(weight for each, weight in enumerate(weights) if each not in gone)
    for each in numbers:
        expected = Fraction(0 if each in gone else weights[each] * length, left)
        assert abs(meanwhile.count(each) - expected) < 3
    for each in gone:
        split.parts[each].is_usable = True
    after = chosen(split, length)
    for each in numbers:
        assert abs(after.count(each) - length * share(weights, each)) < 4


@given(st.lists(st.tuples(WEIGHTS, st.integers(0, 200)), min_size=1, max_size=5))
def test_reweighed(phases: list[tuple[list[int], int]]) -> None:
    """New weights hold from the next choice on; nothing of the old ones is made up."""
    count = max(len(weights) for weights, _ in phases)
    split = a_split(*[1] * count)
    for weights, length in phases:
        padded = weights + [0] * (count - len(weights))
        split.reweigh(padded)
        assert split.weights == tuple(padded)
        numbers = chosen(split, length)
        for each in range(count):
            off = numbers.count(each) - length * share(padded, each)
            assert abs(off) < 4


@pytest.mark.parametrize("weights", [(), (0,), (0, 0)])
def test_nothing_to_choose(weights: tuple[int, ...]) -> None:
    """Where no part has a weight, there is none."""
    assert a_split(*weights).choose() is None


def test_none_usable() -> None:
    """Where no part is usable, there is none; a part without a weight is no way out."""
    split = a_split(1, 2, 0)
    for each in split.parts[:2]:
        each.is_usable = False
    assert split.choose() is None
    split.parts[1].is_usable = True
    assert chosen(split, 5) == [1] * 5


@given(WEIGHTS, st.lists(st.integers(0, 3), min_size=1, max_size=400))
def test_several_choose_together(weights: list[int], turns: list[int]) -> None:
    """Processes that share the credits choose as one would, in any order."""
    credits = LocalCredits.of(len(weights))
    parts = [APart(str(number)) for number in range(len(weights))]
    splits = [Split(parts, weights, credits) for _ in range(4)]
    together = [splits[each].choose() for each in turns]
    assert sum(credits.totals()) == 0
    assert all(abs(credit) < WHOLE for credit in credits.totals())
    alone = chosen(a_split(*weights), len(turns))
    assert [each and int(each.name) for each in together] == alone


class TestByPoint:
    """The choice by a point, as clients have by their addresses."""

    def test_shares(self) -> None:
        """Each part has its share of the points, in the order of the parts."""
        split = a_split(90, 0, 10)
        found = [split.at(each / 100, 0.0) for each in range(101)]
        assert [each and each.name for each in found] == ["0"] * 90 + ["2"] * 11

    def test_unusable(self) -> None:
        """The points of a part that is not usable are shared by the others."""
        split = a_split(50, 25, 25)
        split.parts[0].is_usable = False
        others = [split.at(0.1, otherwise) for otherwise in (0.0, 0.4, 0.6)]
        assert [each and each.name for each in others] == ["1", "1", "2"]
        assert split.at(0.6, 0.9) is split.parts[1]
        for each in split.parts:
            each.is_usable = False
        assert split.at(0.1, 0.1) is None

    def test_without_parts(self) -> None:
        """Where no part has a weight, no point has a part."""
        assert a_split(0, 0).at(0.5, 0.5) is None
