"""Logs ejections, restorations and other events of upstreams."""

from collections.abc import Mapping as AbstractMapping

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbconsul.balance.event_text import describe, event_fields
from lbconsul.balance.events import RegistryEvent
from lbconsul.net.rate_limit import TokenBucket
from lbconsul.net.throttled_log import ThrottledLog, in_words

#: Lines a second, and the burst: when a network fails, half of all upstreams may be
#: ejected at once.
RATE, BURST = 10.0, 100.0


@define(eq=False)
class UpstreamLog:
    """Writes the log lines of all upstreams of one process, throttled."""

    _log = Logger()
    _clock: IReactorTime
    _bound: ThrottledLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._bound = ThrottledLog(self._clock, TokenBucket(RATE, BURST), self._sum_up)

    def tell(self, event: RegistryEvent) -> None:
        """Log one event as a sentence, with its fields for structured logs."""
        if self._bound.allow(event.kind.value):
            self._log.warn(
                "{query}: {event}", event=describe(event), **event_fields(event)
            )

    def stop(self) -> None:
        """Log the summary of withheld lines now, if there are any."""
        self._bound.stop()

    def _sum_up(self, counts: AbstractMapping[str, int]) -> None:
        self._log.warn("more upstreams: {what}", what=in_words(counts))
