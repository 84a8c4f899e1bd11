"""A draw with a chance in proportion to weight, at a cost that does not grow."""

from collections.abc import Callable

from attrs import Factory, define

from lbconsul.balance.upstream import Upstream

#: Gives a number from 0 up to but without 1, as `random.random` does.
Chance = Callable[[], float]


@define(eq=False)
class _Weights:
    """Upstreams whose weights lie within one power of two."""

    upstreams: list[Upstream] = Factory(list)
    total: int = 0
    #: At least the greatest weight in it, and less than twice any.
    bound: int = 0


@define(eq=False)
class WeightedSampler:
    """Upstreams, one of which is drawn by weight.

    Upstreams are kept apart by the power of two that their weight lies in, so
    that within one class a uniform draw which is accepted with the chance
    weight / bound needs two tries at most on average, and one where all
    weights are equal.  Adding, removing and drawing thus cost O(1) for a
    bounded range of weights (Consul's end at 65535: 23 classes of shares).
    """

    _chance: Chance
    _classes: dict[int, _Weights] = Factory(dict)
    #: Where each upstream lies: its class, index there, and weight.
    _listeners: dict[Upstream, tuple[_Weights, int, int]] = Factory(dict)

    def __len__(self) -> int:
        return len(self._listeners)

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._listeners

    def add(self, upstream: Upstream) -> None:
        """Let `upstream`, which is not in it, take part by its present weight."""
        weight = upstream.share
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
        """Let `upstream`, which is in it, take part no longer."""
        mine, index, weight = self._listeners.pop(upstream)
        last = mine.upstreams.pop()
        if last is not upstream:
            mine.upstreams[index] = last
            self._listeners[last] = (mine, index, self._listeners[last][2])
        mine.total -= weight
        if not mine.upstreams:
            mine.bound = 0

    def weight(self, upstream: Upstream) -> int:
        """The weight by which `upstream` takes part."""
        return self._listeners[upstream][2]

    def draw(self) -> Upstream:
        """One upstream; the sampler must not be empty."""
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
