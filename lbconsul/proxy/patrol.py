"""One coarse timer round many connections."""

from typing import Protocol

from attrs import Factory, define
from twisted.internet.interfaces import IReactorTime

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
    _waiting: bool = False

    @classmethod
    def keeping(
        cls, clock: IReactorTime, limit: float, longest: float = _LONGEST
    ) -> "Patrol":
        """One that is frequent enough to keep a limit of so many seconds."""
        return cls(clock, min(longest, max(_SHORTEST, limit / 8)))

    def add(self, patrolled: Patrolled) -> None:
        """Inspect it from now on."""
        self._list.add(patrolled)
        if not self._waiting:
            self._waiting = True
            self._clock.callLater(self.interval, self._round)

    def discard(self, patrolled: Patrolled) -> None:
        """Inspect it no longer, if it was inspected."""
        self._list.discard(patrolled)

    def _round(self) -> None:
        self._waiting = False
        now = self._clock.seconds()
        for patrolled in tuple(self._list):
            patrolled.inspect(now)
        if self._list and not self._waiting:
            self._waiting = True
            self._clock.callLater(self.interval, self._round)
