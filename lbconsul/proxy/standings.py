"""Say in the log what became of an upstream."""

from collections.abc import Mapping as AbstractMapping

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbconsul.balance.selection import Question
from lbconsul.balance.upstream import Upstream
from lbconsul.proxy.log_bound import LogBound
from lbconsul.proxy.throttle import Throttle, in_words

#: Lines a second, and how many may come at once: when a network fails, half of
#: everything may be ejected.
RATE, BURST = 10.0, 100.0


@define(eq=False)
class Standings:
    """The lines of all upstreams of one process."""

    _log = Logger()
    _clock: IReactorTime
    _bound: LogBound = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._bound = LogBound(self._clock, Throttle(RATE, BURST), self._sum_up)

    def tell(self, question: Question, upstream: Upstream | None, what: str) -> None:
        """One line: it was ejected, or restored, and why; or a whole pool."""
        # The first word says which, but for pools.
        kind = what.partition(" ")[0].rstrip(":,") if upstream else "suspect"
        if self._bound.lets(kind):
            self._log.warn(
                "{query}: {upstream}{what}",
                query=str(question),
                upstream=f"{upstream.instance} " if upstream else "",
                what=what,
            )

    def stop(self) -> None:
        """Say what was left unsaid."""
        self._bound.stop()

    def _sum_up(self, counts: AbstractMapping[str, int]) -> None:
        self._log.warn("more upstreams: {what}", what=in_words(counts))
