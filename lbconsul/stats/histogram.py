"""Histograms of durations, and what can be read from them."""

from collections.abc import Sequence

from attrs import Factory, define

#: Quantiles are microseconds at the finest.
_DIGITS = 6


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


def quantiles(
    bounds: Sequence[float], counts: Sequence[int], *fractions: float
) -> list[float | None]:
    """The durations that these fractions of all were within, in seconds.

    The fractions rise.  Interpolated within a bucket, as Prometheus'
    histogram_quantile() does; the last bound if it lies beyond.  None if nothing was
    counted.
    """
    total = sum(counts)
    if not total:
        return [None] * len(fractions)
    found: list[float | None] = []
    lower, within = 0.0, 0
    ranks = [fraction * total for fraction in fractions]
    for upper, count in zip(bounds, counts, strict=False):
        within += count
        while count and within >= ranks[len(found)]:
            part = (within - ranks[len(found)]) / count
            found.append(round(upper - part * (upper - lower), _DIGITS))
            if len(found) == len(ranks):
                return found
        lower = upper
    return found + [bounds[-1]] * (len(ranks) - len(found))
