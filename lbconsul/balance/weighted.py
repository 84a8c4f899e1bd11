"""Weighted random sampling at constant cost."""

from bisect import bisect_right
from collections.abc import Callable

from attrs import Factory, define

from lbconsul.balance.upstream import Upstream, WeightClass

#: Yields a number from 0 up to but without 1, like `random.random`.
Chance = Callable[[], float]


@define(eq=False)
class WeightedSampler:
    """Draws one of its upstreams at random, in proportion to weight.

    Upstreams are grouped into classes by the power of two that their weight lies in.
    A class is drawn in proportion to bound * members, then a member uniformly, which is
    accepted with the chance weight / bound: on average this needs at most two tries,
    and one where all weights are equal.  Adding, removing and drawing cost O(1) for a
    bounded range of weights (Consul's end at 65535: 23 classes of shares).

    An upstream is in one sampler at a time: it remembers its place there itself.
    """

    _chance: Chance
    #: The classes by the number of bits of their weights.  Some may be empty.
    classes: dict[int, WeightClass] = Factory(dict)
    #: The only class; None if there are none or several.
    only: WeightClass | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no upstream is in it."""
        return not any(each.members for each in self.classes.values())

    def add(self, upstream: Upstream) -> None:
        """Add `upstream`, which must be in no sampler, with its present weight."""
        weight = upstream.effective_weight
        mine = self.classes.get(weight.bit_length()) or self.begin_class(weight)
        upstream.weight_class, upstream.placed_weight = mine, weight
        upstream.index = index = len(mine.members)
        mine.members.append(upstream)
        if not index or weight > mine.bound:
            mine.bound = weight

    def begin_class(self, weight: int) -> WeightClass:
        """A new class, for upstreams about as heavy as `weight`."""
        filled = {bits: each for bits, each in self.classes.items() if each.members}
        filled[weight.bit_length()] = mine = WeightClass(weight)
        self.classes = filled
        self.only = mine if len(filled) == 1 else None
        return mine

    def sample(self) -> Upstream | None:
        """A random upstream by weight; None if the sampler is empty."""
        chance = self._chance
        while True:
            mine = self.only or self._draw_class()
            if mine is None or not mine.members:
                return None
            upstream = mine.members[int(chance() * len(mine.members))]
            weight = upstream.placed_weight
            if weight == mine.bound or chance() * mine.bound < weight:
                return upstream

    def _draw_class(self) -> WeightClass | None:
        """A random class by size; None if all are empty."""
        classes = list(self.classes.values())
        ends, total = [], 0
        for each in classes:
            total += each.bound * len(each.members)
            ends.append(total)
        if not total:
            return None
        # Below the total, rounded or not: totals stay far below 2 ** 53.
        drawn = classes[bisect_right(ends, self._chance() * total)]
        if drawn.bound * len(drawn.members) == total:
            self.classes = {drawn.bound.bit_length(): drawn}
            self.only = drawn
        return drawn


def remove(upstream: Upstream) -> None:
    """Remove `upstream` from the sampler that it is in."""
    mine = upstream.weight_class
    assert mine is not None
    last = mine.members.pop()
    if last is not upstream:
        mine.members[upstream.index] = last
        last.index = upstream.index
    upstream.weight_class = None
