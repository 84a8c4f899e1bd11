"""Bugs of ours in the log: a few tracebacks, however often each happens."""

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbconsul.net.rate_limit import TokenBucket, in_words

#: Tracebacks a second, and how many may come at once.
RATE, BURST = 0.2, 5.0


@define(eq=False)
class ThrottledFailures:
    """What costs one connection may cost each of them, in the same way."""

    _log = Logger()
    _clock: IReactorTime
    _throttle: TokenBucket = field(factory=lambda: TokenBucket(RATE, BURST))

    def tell(self, what: str) -> None:
        """To be called where the error is handled: `what` it was."""
        if not self._throttle.lets(self._clock.seconds(), what):
            return
        more = self._throttle.take_withheld()
        if more:
            self._log.error("not told since the last bug: {what}", what=in_words(more))
        self._log.failure("{what}", what=what)
