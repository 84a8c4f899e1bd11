"""When the next check of each target is due, and how many may begin.  Pure.

Checks are spread: the second check of a target comes at a random moment within its
interval, the others an interval after the one before, shortened or lengthened by
chance.  What does not fit the rate waits; new targets, and those whose state is in
doubt, have most of it.
"""

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

from attrs import Factory, define

Target = TypeVar("Target", bound=Hashable)

#: The share of the rate that urgent checks have before routine ones.
_URGENT = 0.75

#: How many seconds of the rate may be spent at once, after a pause.
_BURST = 1.0


def pause(
    interval: float, fast: float, jitter: float, chance: float, *, is_settled: bool
) -> float:
    """The seconds until the next check of a target.

    `jitter` is a fraction, and `chance` a random number from 0 up to but without 1.
    """
    span = interval if is_settled else min(interval, fast)
    return span * (1 + jitter * (2 * chance - 1))


#: So many entries of a heap may be outdated, whatever the number of targets.
_SPARE = 64


@define(eq=False)
class Schedule(Generic[Target]):
    """The targets that wait for their next check, and how many may begin in a second.

    A target waits at most once at a time; `discard` ends that at no cost.
    """

    #: Checks a second, over all targets.
    rate: float
    _tokens: float = 0.0
    _since: float | None = None
    #: Heaps of (when due, number, target): urgent ones and routine ones.
    _urgent: list[tuple[float, int, Target]] = Factory(list)
    _routine: list[tuple[float, int, Target]] = Factory(list)
    #: By waiting target: the number of its entry that counts.
    _waiting: dict[Target, int] = Factory(dict)
    _numbers: "count[int]" = Factory(count)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, target: Target, due: float, *, is_urgent: bool) -> None:
        """Let a target wait until `due`, and for its turn after that."""
        number = self._waiting[target] = next(self._numbers)
        heap = self._urgent if is_urgent else self._routine
        heappush(heap, (due, number, target))
        if len(heap) > 2 * len(self._waiting) + _SPARE:
            self._tidy(heap)

    def discard(self, target: Target) -> None:
        """Let a target wait no more, if it does."""
        self._waiting.pop(target, None)

    def due(self, now: float, room: int) -> list[Target]:
        """The targets whose checks begin now, `room` at most; they wait no more."""
        self._earn(now)
        may = min(room, int(self._tokens))
        if may < 1:
            return []
        first = max(1, int(may * _URGENT))
        found = list(self._take(self._urgent, now, first))
        found += self._take(self._routine, now, may - len(found))
        found += self._take(self._urgent, now, may - len(found))
        self._tokens -= len(found)
        return found

    def late(self, now: float) -> float:
        """For how many seconds the longest overdue target has waited."""
        heaps = self._urgent, self._routine
        for heap in heaps:
            while heap and self._waiting.get(heap[0][2]) != heap[0][1]:
                heappop(heap)
        return max([0.0, *(now - heap[0][0] for heap in heaps if heap)])

    def _tidy(self, heap: list[tuple[float, int, Target]]) -> None:
        """Drop the entries that do not count any more."""
        waiting = self._waiting
        heap[:] = [each for each in heap if waiting.get(each[2]) == each[1]]
        heapify(heap)

    def _earn(self, now: float) -> None:
        most = max(1.0, self.rate * _BURST)
        if self._since is None:
            self._tokens = most
        else:
            # A clock may be set back.
            earned = max(0.0, now - self._since) * self.rate
            self._tokens = min(most, self._tokens + earned)
        self._since = now

    def _take(
        self, heap: list[tuple[float, int, Target]], now: float, most: int
    ) -> Iterator[Target]:
        waiting = self._waiting
        while most > 0 and heap and heap[0][0] <= now:
            _, number, target = heappop(heap)
            if waiting.get(target) == number:
                del waiting[target]
                most -= 1
                yield target
