"""Bounds log lines; lines beyond the bound are counted, and summed up in one."""

from collections.abc import Callable
from collections.abc import Mapping as AbstractMapping

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lbconsul.net.rate_limit import TokenBucket

#: Seconds between summaries of withheld lines.
SUM_UP_EVERY = 1.0


@define(eq=False)
class ThrottledLog:
    """Decides whether a log line is written: a storm must not fill the disk."""

    _clock: IReactorTime
    _throttle: TokenBucket
    #: Logs a summary of withheld lines, given their counts by kind.
    _sum_up: Callable[[AbstractMapping[str, int]], None]
    _every: float = SUM_UP_EVERY
    _next: IDelayedCall | None = None

    def lets(self, kind: str) -> bool:
        """Whether a line of this kind may be written; if not, count it."""
        if self._throttle.lets(self._clock.seconds(), kind):
            return True
        if self._next is None:
            self._next = self._clock.callLater(self._every, self._tell)
        return False

    def stop(self) -> None:
        """Log the summary of withheld lines now, if there are any."""
        if self._next is not None:
            self._next.cancel()
            self._tell()

    def _tell(self) -> None:
        self._next = None
        self._sum_up(self._throttle.take_withheld())
