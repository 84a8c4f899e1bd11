"""A bound on lines of log: what is beyond it is counted, and told in one line."""

from collections.abc import Callable
from collections.abc import Mapping as AbstractMapping

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lbconsul.net.rate_limit import TokenBucket

#: How often to tell of what was not told, while it goes on, in seconds.
SUM_UP_EVERY = 1.0


@define(eq=False)
class ThrottledLog:
    """Asked before a line is written, so that a storm does not fill the disk."""

    _clock: IReactorTime
    _throttle: TokenBucket
    #: Told how many lines of which kind were not written.
    _sum_up: Callable[[AbstractMapping[str, int]], None]
    _every: float = SUM_UP_EVERY
    _next: IDelayedCall | None = None

    def lets(self, kind: str) -> bool:
        """Whether a line of this kind may be written; if not it is counted."""
        if self._throttle.lets(self._clock.seconds(), kind):
            return True
        if self._next is None:
            self._next = self._clock.callLater(self._every, self._tell)
        return False

    def stop(self) -> None:
        """Tell now of what was not told yet, if there is anything."""
        if self._next is not None:
            self._next.cancel()
            self._tell()

    def _tell(self) -> None:
        self._next = None
        self._sum_up(self._throttle.take_withheld())
