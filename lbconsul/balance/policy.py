"""Policies: how to choose one upstream of a pool, by least connections or otherwise.

A choice, a change of load, a join or a leave costs at most O(log n) of the pool.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from weakref import WeakKeyDictionary

from attrs import Factory, define

from lbconsul.balance.upstream import Policy, Upstream
from lbconsul.balance.weighted import Chance, WeightedSampler

#: A heap may hold this many outdated entries, beside as many as it has valid ones,
#: before it is rebuilt: that is cheaper than a search on each change.
_SLACK = 64


@define(eq=False)
class LeastConnections:
    """The least loaded upstream; equals share by chance, in proportion to weight.

    Always taking the first of equals would flood one upstream if connections are
    short.
    """

    _chance: Chance
    #: Upstreams by load score.
    _equals: dict[float, WeightedSampler] = Factory(dict)
    _scores: dict[Upstream, float] = Factory(dict)
    #: A heap of the keys of `_equals`.
    _keys: list[float] = Factory(list)

    def place(self, upstream: Upstream) -> None:
        key = upstream.load_score()
        old = self._scores.get(upstream)
        if old is not None:
            equals = self._equals[old]
            if key == old and equals.weight(upstream) == upstream.effective_weight:
                return
            equals.remove(upstream)
        self._scores[upstream] = key
        mine = self._equals.get(key)
        if mine is None:
            mine = self._equals[key] = WeightedSampler(self._chance)
            heappush(self._keys, key)
        mine.add(upstream)
        if len(self._keys) > 2 * len(self._scores) + _SLACK:
            self._tidy()

    def withdraw(self, upstream: Upstream) -> None:
        self._equals[self._scores.pop(upstream)].remove(upstream)

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._scores

    def choose(self) -> Upstream | None:
        while self._keys:
            equals = self._equals[self._keys[0]]
            if equals:
                return equals.sample()
            del self._equals[heappop(self._keys)]
        return None

    def _tidy(self) -> None:
        self._equals = {key: each for key, each in self._equals.items() if each}
        self._keys = list(self._equals)
        heapify(self._keys)


@define(eq=False)
class Random:
    """A random upstream, in proportion to weight."""

    _chance: Chance
    _all: WeightedSampler = Factory(
        lambda self: WeightedSampler(self._chance), takes_self=True
    )

    def place(self, upstream: Upstream) -> None:
        if upstream in self._all:
            if self._all.weight(upstream) == upstream.effective_weight:
                return
            self._all.remove(upstream)
        self._all.add(upstream)

    def withdraw(self, upstream: Upstream) -> None:
        self._all.remove(upstream)

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._all

    def choose(self) -> Upstream | None:
        return self._all.sample() if self._all else None


@define(eq=False)
class PowerOfTwoChoices(Random):
    """The less loaded of two upstreams drawn at random (Mitzenmacher, 2001).

    Nearly as even as least connections, and independent gateways do not all choose
    the same upstream.
    """

    def choose(self) -> Upstream | None:
        if not self._all:
            return None
        one = other = self._all.sample()
        for _ in range(3):  # bounded: one upstream may outweigh all others
            other = self._all.sample()
            if other is not one:
                break
        return min(one, other, key=Upstream.load_score)


@define(eq=False)
class RoundRobin:
    """Each upstream in turn, as often as its weight says (stride scheduling)."""

    _chance: Chance
    #: The next turn of each, on a scale where a turn takes 1 / share, and its share.
    _turns: dict[Upstream, tuple[float, int]] = Factory(dict)
    #: The same for withdrawn upstreams: being avoided once, or changed, must not move
    #: a turn.  Otherwise a broken upstream would be tried twice as often.
    _withdrawn: WeakKeyDictionary[Upstream, tuple[float, int]] = Factory(
        WeakKeyDictionary
    )
    #: A heap of (turn, number, upstream); an entry not in `_turns` is outdated.
    _queue: list[tuple[float, int, Upstream]] = Factory(list)
    _now: float = 0.0
    _number: int = 0

    def place(self, upstream: Upstream) -> None:
        weight = upstream.effective_weight
        known = self._turns.get(upstream)
        if known is not None and known[1] == weight:
            return
        turn, old_weight = known or self._withdrawn.pop(upstream, (0.0, 0))
        if not old_weight:
            # At random within its first turn: gateways that start together must
            # not choose in step.
            turn = self._now + self._chance() / weight
        elif old_weight != weight:
            # The rest of its turn is scaled to the new weight.
            turn = self._now + (turn - self._now) * old_weight / weight
        self._enqueue(upstream, max(turn, self._now))

    def withdraw(self, upstream: Upstream) -> None:
        self._withdrawn[upstream] = self._turns.pop(upstream)

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._turns

    def choose(self) -> Upstream | None:
        while self._queue:
            turn, _, upstream = heappop(self._queue)
            if self._turns.get(upstream, (None, 0))[0] == turn:
                self._now = turn
                self._enqueue(upstream, turn + 1 / upstream.effective_weight)
                return upstream
        return None

    def _enqueue(self, upstream: Upstream, turn: float) -> None:
        self._number += 1
        self._turns[upstream] = (turn, upstream.effective_weight)
        heappush(self._queue, (turn, self._number, upstream))
        if len(self._queue) > 2 * len(self._turns) + _SLACK:
            self._queue = [
                (turn, number, each)
                for number, (each, (turn, _)) in enumerate(self._turns.items())
            ]
            heapify(self._queue)


#: Every policy by its name in the option ``policy``.
POLICIES: dict[str, Callable[[Chance], Policy]] = {
    "leastconn": LeastConnections,
    "p2c": PowerOfTwoChoices,
    "random": Random,
    "roundrobin": RoundRobin,
}
