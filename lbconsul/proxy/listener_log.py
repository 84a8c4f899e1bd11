"""What a listener says of trouble: no more than somebody can read."""

from collections.abc import Callable
from collections.abc import Mapping as AbstractMapping

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lbconsul.net.rate_limit import TokenBucket, in_words
from lbconsul.net.throttled_log import ThrottledLog

#: Lines a second, how many may come at once, and how often, in seconds, the others
#: are summed up.
RATE, BURST, SUM_UP_EVERY = 0.2, 5.0, 10.0


@define(eq=False)
class ListenerLog:
    """The lines of one listener, which bear the mapping that it has at the time."""

    _log = Logger()
    _clock: IReactorTime
    _mapping: Callable[[], object]
    _is_starved: bool = False
    _bound: ThrottledLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        throttle = TokenBucket(RATE, BURST)
        self._bound = ThrottledLog(self._clock, throttle, self._sum_up, SUM_UP_EVERY)

    def starved(self, count: int) -> None:
        """There is nothing to serve clients with; `count` connections are open."""
        if self._is_starved:
            return
        self._is_starved = True
        if self._bound.lets("out of descriptors"):
            self._log.warn(
                "{mapping}: out of descriptors, ports or memory: new clients wait;"
                " {open} are open",
                mapping=self._name(),
                open=count,
            )

    def relieved(self) -> None:
        """Nobody is left in the queue; being starved once more is something new."""
        self._is_starved = False

    def accept_failed(self) -> None:
        """To be called where the error is handled."""
        if self._bound.lets("accept failed"):
            self._log.failure("{mapping}: accept failed", mapping=self._name())

    def client_lost(self) -> None:
        """A bug of ours cost a client; to be called where the error is handled."""
        if self._bound.lets("client lost"):
            self._log.failure("{mapping}: client lost", mapping=self._name())

    def listener_lost(self, reason: Failure) -> None:
        """The reactor gave the listener up."""
        self._log.failure(
            "{mapping}: the listener is lost", reason, mapping=self._name()
        )

    def stop(self) -> None:
        """Say what was left unsaid."""
        self._bound.stop()

    def _name(self) -> str:
        return str(self._mapping())

    def _sum_up(self, counts: AbstractMapping[str, int]) -> None:
        self._log.warn(
            "{mapping}: more of the same: {what}",
            mapping=self._name(),
            what=in_words(counts),
        )
