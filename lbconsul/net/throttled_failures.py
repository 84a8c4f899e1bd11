"""Logs tracebacks of bugs in lbconsul, throttled."""

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbconsul.net.rate_limit import TokenBucket, in_words

#: Tracebacks a second, and the burst.
RATE, BURST = 0.2, 5.0


@define(eq=False)
class ThrottledFailures:
    """Bounds tracebacks: a bug that ends one connection may end every one."""

    _log = Logger()
    _clock: IReactorTime
    _throttle: TokenBucket = field(factory=lambda: TokenBucket(RATE, BURST))

    def tell(self, what: str) -> None:
        """Log the current exception as `what`; call it in the `except` block."""
        if not self._throttle.lets(self._clock.seconds(), what):
            return
        more = self._throttle.take_withheld()
        if more:
            self._log.error("not told since the last bug: {what}", what=in_words(more))
        self._log.failure("{what}", what=what)
