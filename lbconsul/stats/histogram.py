"""Histograms of durations, and what can be read from them."""

from collections.abc import Sequence
from itertools import accumulate

from attrs import Factory, define


@define(eq=False)
class DurationHistogram:
    """Counts of durations by upper bound, and one more count for longer ones.

    What counts a duration does so itself, since each connection would pay for a call:
    one more at the index ``bisect_left(bounds, seconds)``, and the seconds to the sum.
    """

    bounds: tuple[float, ...]
    counts: list[int] = Factory(
        lambda self: [0] * (len(self.bounds) + 1), takes_self=True
    )
    sum: float = 0.0

    def add(self, other: "DurationHistogram") -> None:
        """Add the counts of another histogram with the same bounds."""
        pairs = zip(self.counts, other.counts, strict=True)
        self.counts = [mine + its for mine, its in pairs]
        self.sum += other.sum


def quantile(
    bounds: Sequence[float], counts: Sequence[int], fraction: float
) -> float | None:
    """The duration that `fraction` of all were within, in seconds.

    Interpolated within its bucket, as Prometheus' histogram_quantile() does; the last
    bound if it lies beyond.  None if nothing was counted.
    """
    total = sum(counts)
    if not total:
        return None
    rank = fraction * total
    lower = 0.0
    for upper, count, within in zip(bounds, counts, accumulate(counts), strict=False):
        if count and within >= rank:
            return upper - (within - rank) / count * (upper - lower)
        lower = upper
    return bounds[-1]
