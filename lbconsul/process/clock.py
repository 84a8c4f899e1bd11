"""Two clocks: a monotonic one for the reactor, and the wall clock for people."""

import time
from collections.abc import Callable
from typing import Any

from attrs import define

#: The smallest step of the wall clock that moves known moments with it, in seconds: a
#: smaller one is noise, and would change each displayed time.
_NOISE = 0.1


def use_monotonic_clock(
    reactor: Any, seconds: Callable[[], float] = time.monotonic
) -> None:
    """Make a reactor schedule by a monotonic clock; further calls change nothing.

    Twisted's reactors schedule by the wall clock: if it is set back by ten minutes, no
    delayed call runs for ten minutes.  Calls that are scheduled already stay due at
    the same moment.  Afterwards ``reactor.seconds()`` is no time since the epoch.
    """
    if reactor.seconds is seconds:
        return
    ahead = seconds() - reactor.seconds()
    for call in reactor.getDelayedCalls():
        # The same offset for all keeps their order in the reactor's heap.
        call.time += ahead
        call.seconds = seconds
    reactor.seconds = seconds


@define(eq=False)
class WallClock:
    """Converts moments of a monotonic clock to the wall clock.

    If the wall clock is set, all moments move with it: the intervals between them do
    not change.
    """

    #: The monotonic clock.
    _seconds: Callable[[], float]
    _wall: Callable[[], float] = time.time  # noqa: TID251
    _ahead: float | None = None

    @property
    def moment(self) -> float:
        """The present moment of the monotonic clock."""
        return self._seconds()

    def now(self) -> float:
        """The present time in seconds since the epoch."""
        return self.at(self._seconds())

    def at(self, moment: float) -> float:
        """A moment of the monotonic clock in seconds since the epoch."""
        ahead = self._wall() - self._seconds()
        if self._ahead is None or abs(ahead - self._ahead) > _NOISE:
            self._ahead = ahead
        return moment + self._ahead

    def age(self, then: float) -> float:
        """Seconds since `then`, a time since the epoch; 0 for a future time."""
        return max(0.0, self.now() - then)
