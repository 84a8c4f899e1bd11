"""Two clocks: one by which is waited, and one that people read."""

import time
from collections.abc import Callable
from typing import Any

from attrs import define

#: By how much the wall clock is moved before moments that are known move with it, in
#: seconds: what is less is noise, and would make news of each of them.
_NOISE = 0.1


def use_monotonic_clock(
    reactor: Any, seconds: Callable[[], float] = time.monotonic
) -> None:
    """Have a reactor wait by a clock that nobody can set; once is enough.

    Twisted's reactors wait by the wall clock: set back by ten minutes, nothing
    that is due happens for ten minutes.  What is scheduled by now stays due when it
    was.  Afterwards ``reactor.seconds()`` is no time since the epoch any more.
    """
    if reactor.seconds is seconds:
        return
    ahead = seconds() - reactor.seconds()
    for call in reactor.getDelayedCalls():
        # All by the same, so that they keep their order in the reactor's heap.
        call.time += ahead
        call.seconds = seconds
    reactor.seconds = seconds


@define(eq=False)
class WallClock:
    """What the clock on the wall shows at the moments of another clock.

    If the one on the wall is set, all moments move with it: what lies between
    them stays as long as it was.
    """

    #: The other clock.
    _seconds: Callable[[], float]
    _wall: Callable[[], float] = time.time  # noqa: TID251 (the only place)
    _ahead: float | None = None

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.at(self._seconds())

    def at(self, moment: float) -> float:
        """The same at a moment of the other clock."""
        ahead = self._wall() - self._seconds()
        if self._ahead is None or abs(ahead - self._ahead) > _NOISE:
            self._ahead = ahead
        return moment + self._ahead

    def age(self, then: float) -> float:
        """Seconds since a moment since the epoch that was kept; 0 for a future one."""
        return max(0.0, self.now() - then)
