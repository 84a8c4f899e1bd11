"""The statistics of one mapping's connections to one instance, and its failures."""

from collections.abc import Callable, Iterable
from operator import add
from typing import Protocol, Self, TypeVar

from attrs import Factory, define

#: Upper bounds of connect times, and of times to the first byte, in seconds.
CONNECT = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip
FIRST_BYTE = (*CONNECT[1:], 10.0)

#: Recent times of an instance are halved each time that this many more were counted:
#: they tell of the last one to two times as many.
RECENT = 1024

#: The length of the window in which failures are counted, in seconds.
_MINUTE = 60


def halves(counts: list[int]) -> list[int]:
    """The counts of recent times, made half as much worth."""
    return [count // 2 for count in counts]


def sums(one: list[int], other: list[int]) -> list[int]:
    """The counts of two processes together."""
    return list(map(add, one, other))


class _Adds(Protocol):
    def add(self, other: Self, /) -> None:
        """Add the statistics of another process."""


_S = TypeVar("_S", bound=_Adds)


def total_of(parts: Iterable[_S | None], make: Callable[[], _S]) -> _S:
    """The sum of those that are there; the only one itself."""
    found = [each for each in parts if each is not None]
    if len(found) == 1:
        return found[0]
    total = make()
    for each in found:
        total.add(each)
    return total


@define
class Failures:
    """The latest failures of one instance: how many a minute, and the last one.

    Times are those of the machine's monotonic clock, in seconds.
    """

    #: The minute that `count` is of; `before` are those of the minute before it.
    minute: int = 0
    count: int = 0
    before: int = 0
    #: When the last failure was, and what it was; empty if there was none.
    at: float = 0.0
    error: str = ""

    def note(self, now: float, error: str) -> None:
        """The instance failed once more."""
        self._turn_to(int(now // _MINUTE))
        self.count += 1
        self.at, self.error = now, error

    def _turn_to(self, minute: int) -> None:
        if minute > self.minute:
            self.before = self.count if minute == self.minute + 1 else 0
            self.minute, self.count = minute, 0

    def per_minute(self, now: float) -> float:
        """How many there were in the last minute.

        Those of the clock's minute before this one are taken to be spread evenly: a
        sliding window of two counters, however many failures there are.
        """
        minute, passed = divmod(now, _MINUTE)
        left = 1 - passed / _MINUTE
        if minute <= self.minute:
            return self.count + self.before * left
        return self.count * left if minute == self.minute + 1 else 0.0

    def add(self, other: "Failures") -> None:
        """Add the failures that another process, or another part of this one, saw."""
        self._turn_to(other.minute)
        if other.minute == self.minute:
            self.count += other.count
            self.before += other.before
        elif other.minute == self.minute - 1:
            self.before += other.count
        if other.at > self.at:
            self.at, self.error = other.at, other.error


@define
class UpstreamStats:
    """The statistics of one mapping's connections to one instance."""

    total: int = 0
    received: int = 0
    sent: int = 0
    failures: int = 0
    #: A moving average of the connect time, in seconds; 0 before the first one.
    connect_time: float = 0.0
    #: The latest connect times, by `CONNECT`, and times to the first byte, by
    #: `FIRST_BYTE`; how many connections had one.
    connects: list[int] = Factory(lambda: [0] * (len(CONNECT) + 1))
    first_bytes: list[int] = Factory(lambda: [0] * (len(FIRST_BYTE) + 1))
    answered: int = 0
    #: Of connects, and of connections that it reset; None: it never failed.
    failing: Failures | None = None

    def failed(self, now: float, error: str) -> None:
        """It failed once more, at this time, for this reason."""
        if self.failing is None:
            self.failing = Failures()
        self.failing.note(now, error)

    def add(self, other: "UpstreamStats") -> None:
        """Add the statistics of another process; connect times are averaged."""
        connects = self.total + other.total
        if connects:
            mine, its = self.connect_time * self.total, other.connect_time * other.total
            self.connect_time = (mine + its) / connects
        self.total = connects
        self.received += other.received
        self.sent += other.sent
        self.failures += other.failures
        self.connects = sums(self.connects, other.connects)
        self.first_bytes = sums(self.first_bytes, other.first_bytes)
        self.answered += other.answered
        if other.failing is not None:
            if self.failing is None:
                self.failing = Failures()
            self.failing.add(other.failing)
