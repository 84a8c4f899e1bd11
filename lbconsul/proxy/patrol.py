"""One coarse timer round many connections."""

from typing import Protocol

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lbconsul.proxy.bug_log import BugLog

#: The shortest and the longest time between two rounds, in seconds.
_SHORTEST, _LONGEST = 0.05, 60.0


class Patrolled(Protocol):
    """Something with a time limit."""

    def inspect(self, now: float) -> None:
        """A round has come to it, at this time of the reactor's clock."""


@define(eq=False)
class Patrol:
    """Inspects everything on its list every `interval` seconds.

    In place of a timer for each connection, which would have to be moved with
    each byte: a limit of n intervals is kept to within one interval.
    """

    _clock: IReactorTime
    interval: float
    _list: set[Patrolled] = Factory(set)
    _next: IDelayedCall | None = None
    _bugs: BugLog = Factory(lambda self: BugLog(self._clock), takes_self=True)

    @classmethod
    def keeping(
        cls, clock: IReactorTime, limit: float, longest: float = _LONGEST
    ) -> "Patrol":
        """One that is frequent enough to keep a limit of so many seconds."""
        return cls(clock, min(longest, max(_SHORTEST, limit / 8)))

    def add(self, patrolled: Patrolled) -> None:
        """Inspect it from now on."""
        self._list.add(patrolled)
        if self._next is None:
            self._next = self._clock.callLater(self.interval, self._round)

    def discard(self, patrolled: Patrolled) -> None:
        """Inspect it no longer, if it was inspected."""
        self._list.discard(patrolled)

    def stop(self) -> None:
        """Inspect nothing any more, until something is added."""
        self._list.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _round(self) -> None:
        self._next = None
        now = self._clock.seconds()
        for patrolled in tuple(self._list):
            try:
                patrolled.inspect(now)
            except Exception:
                # The others' limits are to be kept all the same.
                self._bugs.tell("an inspection failed")
        if self._list and self._next is None:
            self._next = self._clock.callLater(self.interval, self._round)
