"""Which upstreams are much slower than their peers.  Pure."""

from bisect import bisect_left
from collections.abc import Hashable, Mapping, Sequence
from statistics import median
from typing import Generic, TypeVar

from attrs import frozen

from lbconsul.config.latency import SlowRule
from lbconsul.stats.histogram import quantiles

Key = TypeVar("Key", bound=Hashable)

#: An upstream is not slow for fewer answers than this.
_FEW = 3


@frozen
class Slow(Generic[Key]):
    """An upstream that is slow; times are in seconds."""

    key: Key
    #: The quantile of its times, and the median of its peers' quantiles.
    own: float
    peers: float

    def in_words(self, rule: SlowRule, of: str) -> str:
        """How slow it is, as text for the operator; `of` names what takes the time."""
        return f"p{rule.percentile} of {of} {self.own:.3g} s, peers {self.peers:.3g} s"


def slow_ones(
    rule: SlowRule, bounds: Sequence[float], counts: Mapping[Key, Sequence[int]]
) -> list[Slow[Key]]:
    """The slow upstreams, the slowest first.

    `counts` has for each upstream how many answers took how long, by `bounds` as a
    `DurationHistogram` has them.  The rule's time counts as the next bound: all that is
    said to be longer is.
    """
    enough = {key: each for key, each in counts.items() if sum(each) >= rule.samples}
    if len(enough) < 2:
        return []
    fraction = rule.percentile / 100
    of = {
        key: quantiles(bounds, each, fraction)[0] or 0.0 for key, each in enough.items()
    }
    beyond = bisect_left(bounds, rule.longer) + 1
    found = []
    for key, own in of.items():
        longer = sum(enough[key][beyond:])
        if longer < _FEW or longer <= (1 - fraction) * sum(enough[key]):
            continue
        peers = median(other for peer, other in of.items() if peer != key)
        if own > rule.factor * peers:
            found.append(Slow(key, own, peers))
    return sorted(found, key=lambda each: each.own / (each.peers or 1e-9), reverse=True)
