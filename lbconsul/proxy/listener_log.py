"""Logs the faults of one listener, throttled."""

from collections.abc import Callable
from collections.abc import Mapping as AbstractMapping

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lbconsul.net.rate_limit import TokenBucket
from lbconsul.net.throttled_log import ThrottledLog, in_words

#: Lines a second, the burst, and the seconds between summaries of withheld lines.
RATE, BURST, SUM_UP_EVERY = 0.2, 5.0, 10.0


@define(eq=False)
class ListenerLog:
    """Writes a listener's log lines under its current mapping."""

    _log = Logger()
    _clock: IReactorTime
    _mapping: Callable[[], object]
    #: Whether descriptors, ports or memory ran out, and `relieved` was not called yet.
    is_starved: bool = False
    _bound: ThrottledLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        throttle = TokenBucket(RATE, BURST)
        self._bound = ThrottledLog(self._clock, throttle, self._sum_up, SUM_UP_EVERY)

    def starved(self, count: int) -> None:
        """Descriptors, ports or memory ran out with `count` connections open."""
        if self.is_starved:
            return
        self.is_starved = True
        if self._bound.allow("out of descriptors"):
            self._log.warn(
                "{mapping}: out of descriptors, ports or memory: new clients wait;"
                " {open} are open",
                mapping=self._name(),
                open=count,
            )

    def relieved(self) -> None:
        """The accept queue is empty: log the next shortage again."""
        self.is_starved = False

    def accept_failed(self) -> None:
        """Log a failed accept(2); call it in the `except` block."""
        if self._bound.allow("accept failed"):
            self._log.failure("{mapping}: accept failed", mapping=self._name())

    def client_lost(self) -> None:
        """Log a bug that lost a client; call it in the `except` block."""
        if self._bound.allow("client lost"):
            self._log.failure("{mapping}: client lost", mapping=self._name())

    def listener_lost(self, reason: Failure) -> None:
        """Log that the reactor dropped the listener."""
        self._log.failure(
            "{mapping}: the reactor dropped the listener: no new clients",
            reason,
            mapping=self._name(),
        )

    def stop(self) -> None:
        """Log the summary of withheld lines now, if there are any."""
        self._bound.stop()

    def _name(self) -> str:
        return str(self._mapping())

    def _sum_up(self, counts: AbstractMapping[str, int]) -> None:
        self._log.warn(
            "{mapping}: more of the same: {what}",
            mapping=self._name(),
            what=in_words(counts),
        )
