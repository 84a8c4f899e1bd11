"""Durations by upper bound."""

import pytest

from lbconsul.stats.histogram import DurationHistogram, quantiles


def test_add() -> None:
    """The statistics of several processes add up."""
    one = DurationHistogram((1.0,), [1, 0], 0.5)
    other = DurationHistogram((1.0,), [0, 1], 3.0)
    one.add(other)
    assert (one.counts, one.sum) == ([1, 1], 3.5)
    assert (other.counts, other.sum) == ([0, 1], 3.0)


@pytest.mark.parametrize(
    ("counts", "fraction", "expected"),
    [
        ([0, 0, 0], 0.5, None),
        ([10, 0, 0], 0.5, 0.5),
        ([10, 0, 0], 1.0, 1.0),
        ([50, 50, 0], 0.5, 1.0),
        ([50, 50, 0], 0.75, 2.0),
        ([0, 100, 0], 0.99, 2.98),
        ([1, 0, 99], 0.99, 3.0),
        ([0, 0, 5], 0.5, 3.0),
    ],
)
def test_quantile(counts: list[int], fraction: float, expected: float | None) -> None:
    """
    A quantile lies within its bucket in proportion, and durations beyond the last bound
    count as that.
    """
    assert quantiles((1.0, 3.0), counts, fraction) == [pytest.approx(expected)]


def test_several_quantiles() -> None:
    """Several quantiles may lie in one bucket, and beyond the last bound."""
    assert quantiles((1.0, 3.0), [10, 0, 0], 0.5, 0.75) == [0.5, 0.75]
    assert quantiles((1.0, 3.0), [5, 0, 5], 0.5, 0.9, 0.99) == [1.0, 3.0, 3.0]
    assert quantiles((1.0, 3.0), [0, 0, 0], 0.5, 0.99) == [None, None]
