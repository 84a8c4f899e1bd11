"""What policies and hooks did wrong: counted, and logged within a bound."""

from collections import Counter
from collections.abc import Mapping

from attrs import Factory, define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbconsul.balance.fault import Fault
from lbconsul.net.rate_limit import TokenBucket
from lbconsul.net.throttled_log import ThrottledLog, in_words

#: Lines a second, their burst, and the seconds between summaries of the others.
RATE, BURST, SUM_UP_EVERY = 0.2, 5.0, 10.0


@define(eq=False)
class Faults:
    """The faults of one process's policies and hooks."""

    _log = Logger()
    _clock: IReactorTime
    #: How many there were, by what was at fault, and how.
    counts: Counter[tuple[str, str]] = Factory(Counter)
    _bound: ThrottledLog = field(
        init=False,
        default=Factory(
            lambda self: ThrottledLog(
                self._clock, TokenBucket(RATE, BURST), self._sum_up, SUM_UP_EVERY
            ),
            takes_self=True,
        ),
    )

    def tell(self, fault: Fault) -> None:
        """Count a fault, and log it unless there are many."""
        self.counts[fault.name, fault.kind.value] += 1
        if self._bound.allow(f"{fault.name} {fault.kind.value}"):
            self._log.warn("{fault}", fault=str(fault), extension=fault.name)

    def stop(self) -> None:
        """Log what is still to be summed up."""
        self._bound.stop()

    def _sum_up(self, counts: Mapping[str, int]) -> None:
        self._log.warn("more of the same: {what}", what=in_words(counts))
