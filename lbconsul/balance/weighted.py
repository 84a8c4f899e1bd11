"""Weighted random sampling at constant cost."""

from collections.abc import Callable

from attrs import Factory, define

from lbconsul.balance.upstream import Upstream

#: Yields a number from 0 up to but without 1, like `random.random`.
Chance = Callable[[], float]


@define(eq=False)
class _Weights:
    """Upstreams whose weights lie within one power of two."""

    upstreams: list[Upstream] = Factory(list)
    total: int = 0
    #: At least the greatest weight in it, and less than twice the least.
    bound: int = 0


@define(eq=False)
class WeightedSampler:
    """Draws one of its upstreams at random, in proportion to weight.

    Upstreams are grouped into classes by the power of two that their weight lies in.
    Within a class, a uniform draw is accepted with the chance weight / bound: on
    average this needs at most two tries, and one where all weights are equal.  Adding,
    removing and drawing cost O(1) for a bounded range of weights (Consul's end at
    65535: 23 classes of shares).
    """

    _chance: Chance
    _classes: dict[int, _Weights] = Factory(dict)
    #: Each upstream's class, its index there, and its weight.
    _listeners: dict[Upstream, tuple[_Weights, int, int]] = Factory(dict)

    def __len__(self) -> int:
        return len(self._listeners)

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._listeners

    def add(self, upstream: Upstream) -> None:
        """Add `upstream`, which must not be in the sampler, with its present weight."""
        weight = upstream.effective_weight
        power = weight.bit_length()
        mine = self._classes.get(power)
        if mine is None:
            mine = self._classes[power] = _Weights()
        self._listeners[upstream] = (mine, len(mine.upstreams), weight)
        mine.upstreams.append(upstream)
        mine.total += weight
        if weight > mine.bound:
            mine.bound = weight

    def remove(self, upstream: Upstream) -> None:
        """Remove `upstream`, which must be in the sampler."""
        mine, index, weight = self._listeners.pop(upstream)
        last = mine.upstreams.pop()
        if last is not upstream:
            mine.upstreams[index] = last
            self._listeners[last] = (mine, index, self._listeners[last][2])
        mine.total -= weight
        if not mine.upstreams:
            mine.bound = 0

    def weight(self, upstream: Upstream) -> int:
        """The weight that `upstream` was added with."""
        return self._listeners[upstream][2]

    def sample(self) -> Upstream:
        """A random upstream by weight; the sampler must not be empty."""
        mine = self._draw_class()
        while True:
            upstream = mine.upstreams[int(self._chance() * len(mine.upstreams))]
            weight = self._listeners[upstream][2]
            if weight == mine.bound or self._chance() * mine.bound < weight:
                return upstream

    def _draw_class(self) -> _Weights:
        classes = list(self._classes.values())
        if len(classes) == 1:
            return classes[0]
        total = sum(each.total for each in classes)
        # The product may be rounded up to the total.
        point = min(int(self._chance() * total), total - 1)
        number = 0
        while point >= classes[number].total:
            point -= classes[number].total
            number += 1
        return classes[number]
