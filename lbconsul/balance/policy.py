"""Policies: how to choose one upstream of a pool, by least connections or otherwise.

A choice, a change of load, a join or a leave costs at most O(log n) of the pool.
"""

from heapq import heapify, heappop, heappush
from weakref import WeakKeyDictionary

from attrs import Factory, define

from lbconsul.balance.hash_key import HashKey
from lbconsul.balance.upstream import Upstream
from lbconsul.balance.upstream_view import WHOLE
from lbconsul.balance.weighted import Chance, WeightedSampler, remove

#: A heap may hold this many outdated entries, beside as many as it has valid ones,
#: before it is rebuilt: that is cheaper than a search on each change.
_SLACK = 64


@define(eq=False)
class _Equals(WeightedSampler):
    """The upstreams of one load score."""

    #: Whether the heap has this score.
    is_queued: bool = False


@define(eq=False)
class LeastConnections:
    """The least loaded upstream; equals share by chance, in proportion to weight.

    Always taking the first of equals would flood one upstream if connections are
    short.
    """

    _chance: Chance
    #: Upstreams by load score.  Some scores may have none.
    _equals: dict[float, _Equals] = Factory(dict)
    #: A heap of the scores that may have upstreams, each once.
    _scores: list[float] = Factory(list)
    #: How many scores call for dropping those without upstreams.
    _too_many: int = _SLACK

    def place(self, upstream: Upstream) -> None:
        # Each connection comes here twice.  The calls that this saves would take longer
        # than the rest: `Upstream.load_score`, `remove` and `WeightedSampler.add`.
        connections, weight = upstream.load.open, upstream.effective_weight
        score = (connections + 1) * WHOLE / weight if connections else 0.0
        equals = self._equals.get(score) or self._begin(score)
        new = equals.classes.get(weight.bit_length()) or equals.begin_class(weight)
        old, index = upstream.weight_class, upstream.index
        if old is not None:
            if old is new and upstream.placed_weight == weight:
                return
            last = old.members.pop()
            if last is not upstream:
                old.members[index] = last
                last.index = index
        members = new.members
        upstream.weight_class = new
        upstream.index = index = len(members)
        upstream.placed_weight = weight
        if not index or weight > new.bound:
            new.bound = weight
        members.append(upstream)
        if not equals.is_queued:
            equals.is_queued = True
            heappush(self._scores, score)

    def _begin(self, score: float) -> _Equals:
        if len(self._equals) > self._too_many:
            self._tidy()
        equals = self._equals[score] = _Equals(self._chance)
        return equals

    def withdraw(self, upstream: Upstream) -> None:
        remove(upstream)

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream.weight_class is not None

    def choose(self) -> Upstream | None:
        scores = self._scores
        while scores:
            equals = self._equals[scores[0]]
            only = equals.only
            if only is not None and only.members:
                # As `sample` would: this saves a call for each connection.
                members = only.members
                chosen = members[int(self._chance() * len(members))]
                weight, bound = chosen.placed_weight, only.bound
                if weight == bound or self._chance() * bound < weight:
                    return chosen
            drawn = equals.sample()
            if drawn is not None:
                return drawn
            equals.is_queued = False
            heappop(scores)
        return None

    def choose_for(self, key: HashKey) -> Upstream | None:
        return self.choose()

    def _tidy(self) -> None:
        filled = {
            score: each for score, each in self._equals.items() if not each.is_empty
        }
        for each in filled.values():
            each.is_queued = True
        self._equals, self._scores = filled, list(filled)
        heapify(self._scores)
        self._too_many = 2 * len(filled) + _SLACK


@define(eq=False)
class Random:
    """A random upstream, in proportion to weight."""

    _chance: Chance
    _all: WeightedSampler = Factory(
        lambda self: WeightedSampler(self._chance), takes_self=True
    )

    def place(self, upstream: Upstream) -> None:
        if upstream.weight_class is not None:
            if upstream.placed_weight == upstream.effective_weight:
                return
            remove(upstream)
        self._all.add(upstream)

    def withdraw(self, upstream: Upstream) -> None:
        remove(upstream)

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream.weight_class is not None

    def choose(self) -> Upstream | None:
        return self._all.sample()

    def choose_for(self, key: HashKey) -> Upstream | None:
        return self.choose()


@define(eq=False)
class PowerOfTwoChoices(Random):
    """The less loaded of two upstreams drawn at random (Mitzenmacher, 2001).

    Nearly as even as least connections, and independent gateways do not all choose
    the same upstream.
    """

    def choose(self) -> Upstream | None:
        one = self._all.sample()
        for _ in range(3):  # bounded: one upstream may outweigh all others
            other = self._all.sample()
            if other is not one:
                break
        if one is None or other is None:
            return None
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

    def choose_for(self, key: HashKey) -> Upstream | None:
        return self.choose()

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
