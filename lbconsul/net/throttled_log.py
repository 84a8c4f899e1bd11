"""Bounds log lines; lines beyond the bound are counted, and summed up in one."""

from collections import Counter
from collections.abc import Callable, Mapping

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lbconsul.net.rate_limit import TokenBucket

#: Seconds between summaries of withheld lines.
SUM_UP_EVERY = 1.0

#: Tracebacks a second, and the burst.
FAILURES_RATE, FAILURES_BURST = 0.2, 5.0


@define(eq=False)
class ThrottledLog:
    """Decides whether a log line is written: a storm must not fill the disk."""

    _clock: IReactorTime
    _bucket: TokenBucket
    #: Logs a summary of withheld lines, given their counts by kind.
    _sum_up: Callable[[Mapping[str, int]], None]
    _every: float = SUM_UP_EVERY
    _withheld: Counter[str] = Factory(Counter)
    _next: IDelayedCall | None = None

    def allow(self, kind: str) -> bool:
        """Whether a line of this kind may be written; if not, count it."""
        if self._bucket.allows(self._clock.seconds()):
            return True
        self._withheld[kind] += 1
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
        withheld, self._withheld = self._withheld, Counter()
        self._sum_up(withheld)


@define(eq=False)
class ThrottledFailures:
    """Bounds tracebacks: a bug that ends one connection may end every one."""

    _log = Logger()
    _clock: IReactorTime
    _bucket: TokenBucket = Factory(lambda: TokenBucket(FAILURES_RATE, FAILURES_BURST))
    _withheld: Counter[str] = Factory(Counter)

    def tell(self, what: str) -> None:
        """Log the current exception as `what`; call it in the `except` block."""
        if not self._bucket.allows(self._clock.seconds()):
            self._withheld[what] += 1
            return
        if self._withheld:
            more = in_words(self._withheld)
            self._withheld.clear()
            self._log.error("not logged since the last bug: {what}", what=more)
        self._log.failure("{what}", what=what)


def in_words(counts: Mapping[str, int]) -> str:
    """Counts by kind as text, most frequent first: ``1200 SC, 34 PR``."""
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{count} {kind}" for kind, count in ordered)
