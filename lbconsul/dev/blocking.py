"""Blocking queries: their arguments, and the queries that wait."""

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lbconsul.dev.http import ConsulRequest, HTTPError
from lbconsul.dev.payload import duration

#: The wait of a query that names none, and the longest wait, in seconds: Consul's own
#: numbers.
DEFAULT_WAIT = 300.0
LONGEST_WAIT = 600.0
#: Consul extends each wait by up to a sixteenth, to keep queries from returning all at
#: once.
JITTER = 1 / 16

_LARGEST_INDEX = 2**64 - 1
_MOST_DIGITS = 20


def wanted_index(asked: ConsulRequest) -> int:
    """The index that the answer must exceed; 0 does not wait."""
    said = asked.first("index") or "0"
    # Python refuses to parse a number of thousands of digits.
    digits = said.lstrip("0") or "0"
    if not (said.isascii() and said.isdigit() and len(digits) <= _MOST_DIGITS):
        raise HTTPError(400, "Invalid index")
    if int(digits) > _LARGEST_INDEX:
        raise HTTPError(400, "Invalid index")
    return int(digits)


def wanted_wait(asked: ConsulRequest) -> float:
    """How long the query may wait, in seconds."""
    try:
        wait = duration(asked.first("wait") or "0s")
    except ValueError as error:
        raise HTTPError(400, "Invalid wait time") from error
    return min(wait, LONGEST_WAIT) if wait > 0 else DEFAULT_WAIT


@define(eq=False)
class BlockedQuery:
    """One blocked query: when it wakes, how it is answered, how it is ended."""

    is_due: Callable[[], bool]
    answer: Callable[[], None]
    hang_up: Callable[[], None]
    timeout: IDelayedCall | None = None


@define(eq=False)
class Sleepers:
    """All queries that wait for a change or for their timeout."""

    _clock: IReactorTime
    _chance: Callable[[], float]
    _waiting: set[BlockedQuery] = field(factory=set)

    def add(self, sleeper: BlockedQuery, wait: float) -> None:
        seconds = wait * (1 + JITTER * self._chance())
        sleeper.timeout = self._clock.callLater(seconds, self._answer, sleeper)
        self._waiting.add(sleeper)

    def wake(self) -> None:
        """Answer the queries that waited for the latest change."""
        for sleeper in list(self._waiting):
            if sleeper.is_due():
                self._answer(sleeper)

    def forget(self, sleeper: BlockedQuery) -> None:
        """Drop a query that was answered or whose client has left."""
        self._waiting.discard(sleeper)
        if sleeper.timeout is not None and sleeper.timeout.active():
            sleeper.timeout.cancel()

    def hang_up(self) -> None:
        """End all queries without an answer, as a stopping Consul does."""
        for sleeper in list(self._waiting):
            self.forget(sleeper)
            sleeper.hang_up()

    def _answer(self, sleeper: BlockedQuery) -> None:
        self.forget(sleeper)
        sleeper.answer()
