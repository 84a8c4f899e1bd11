"""How to choose one upstream of a pool: least connections and its kin.

None of them costs more than O(log n) of the pool for a choice, a change of
load, a join or a leave.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Protocol
from weakref import WeakKeyDictionary

from attrs import Factory, define

from lbconsul.balance.upstream import Upstream
from lbconsul.balance.weighted import Chance, WeightedSampler

#: A heap may hold so many outdated entries, beside as many as it has valid
#: ones, before it is made anew: the price of not searching it on each change.
_SLACK = 64


class Policy(Protocol):
    """Orders the upstreams of one pool."""

    def place(self, upstream: Upstream) -> None:
        """`upstream` joined, or its load or weight changed."""

    def withdraw(self, upstream: Upstream) -> None:
        """`upstream`, which was placed, gets nothing any more."""

    def choose(self) -> Upstream | None:
        """The upstream for the next connection; None if none is placed."""

    def __contains__(self, upstream: Upstream) -> bool:
        """Whether `upstream` is placed."""


@define(eq=False)
class LeastConnections:
    """The least crowded upstream; equals share by chance, in proportion to weight.

    Always taking the first of equals would flood one upstream of a service of
    short connections.
    """

    _chance: Chance
    #: Upstreams by crowding.
    _equals: dict[float, WeightedSampler] = Factory(dict)
    _crowding: dict[Upstream, float] = Factory(dict)
    #: A heap of `_equals`' keys.
    _keys: list[float] = Factory(list)

    def place(self, upstream: Upstream) -> None:
        key = upstream.load_score()
        old = self._crowding.get(upstream)
        if old is not None:
            equals = self._equals[old]
            if key == old and equals.weight(upstream) == upstream.share:
                return
            equals.remove(upstream)
        self._crowding[upstream] = key
        mine = self._equals.get(key)
        if mine is None:
            mine = self._equals[key] = WeightedSampler(self._chance)
            heappush(self._keys, key)
        mine.add(upstream)
        if len(self._keys) > 2 * len(self._crowding) + _SLACK:
            self._tidy()

    def withdraw(self, upstream: Upstream) -> None:
        self._equals[self._crowding.pop(upstream)].remove(upstream)

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._crowding

    def choose(self) -> Upstream | None:
        while self._keys:
            equals = self._equals[self._keys[0]]
            if equals:
                return equals.draw()
            del self._equals[heappop(self._keys)]
        return None

    def _tidy(self) -> None:
        self._equals = {key: each for key, each in self._equals.items() if each}
        self._keys = list(self._equals)
        heapify(self._keys)


@define(eq=False)
class Random:
    """Any upstream, with a chance in proportion to its weight."""

    _chance: Chance
    _all: WeightedSampler = Factory(
        lambda self: WeightedSampler(self._chance), takes_self=True
    )

    def place(self, upstream: Upstream) -> None:
        if upstream in self._all:
            if self._all.weight(upstream) == upstream.share:
                return
            self._all.remove(upstream)
        self._all.add(upstream)

    def withdraw(self, upstream: Upstream) -> None:
        self._all.remove(upstream)

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._all

    def choose(self) -> Upstream | None:
        return self._all.draw() if self._all else None


@define(eq=False)
class PowerOfTwoChoices(Random):
    """The less crowded of two that chance has drawn (Mitzenmacher, 2001).

    Nearly as even as least connections, and many gateways that do not know
    of each other do not all run to the same upstream.
    """

    def choose(self) -> Upstream | None:
        if not self._all:
            return None
        one = other = self._all.draw()
        for _ in range(3):  # bounded: one may weigh more than all others
            other = self._all.draw()
            if other is not one:
                break
        return min(one, other, key=Upstream.load_score)


@define(eq=False)
class RoundRobin:
    """Each in its turn, as often as its weight says (stride scheduling)."""

    _chance: Chance
    #: When each is next, on a scale on which a turn takes 1 / share, and share.
    _turns: dict[Upstream, tuple[float, int]] = Factory(dict)
    #: The same of who was withdrawn: to be avoided once, or to be altered, moves
    #: nobody's turn.  A broken upstream would else be tried twice as often.
    _withdrawn: WeakKeyDictionary[Upstream, tuple[float, int]] = Factory(
        WeakKeyDictionary
    )
    #: A heap of (turn, number, upstream); one that is not in `_turns` is outdated.
    _queue: list[tuple[float, int, Upstream]] = Factory(list)
    _now: float = 0.0
    _number: int = 0

    def place(self, upstream: Upstream) -> None:
        weight = upstream.share
        known = self._turns.get(upstream)
        if known is not None and known[1] == weight:
            return
        turn, old_weight = known or self._withdrawn.pop(upstream, (0.0, 0))
        if not old_weight:
            # By chance within its first turn, so that gateways which start
            # together do not walk in step.
            turn = self._now + self._chance() / weight
        elif old_weight != weight:
            # What is left of its turn passes at the new pace.
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
                self._enqueue(upstream, turn + 1 / upstream.share)
                return upstream
        return None

    def _enqueue(self, upstream: Upstream, turn: float) -> None:
        self._number += 1
        self._turns[upstream] = (turn, upstream.share)
        heappush(self._queue, (turn, self._number, upstream))
        if len(self._queue) > 2 * len(self._turns) + _SLACK:
            self._queue = [
                (turn, number, each)
                for number, (each, (turn, _)) in enumerate(self._turns.items())
            ]
            heapify(self._queue)


#: Every policy by its name among the options.
POLICIES: dict[str, Callable[[Chance], Policy]] = {
    "leastconn": LeastConnections,
    "p2c": PowerOfTwoChoices,
    "random": Random,
    "roundrobin": RoundRobin,
}
