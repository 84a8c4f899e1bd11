"""A bound on lines of log, with a clock."""

from collections.abc import Mapping

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from lbconsul.net.rate_limit import TokenBucket
from lbconsul.net.throttled_log import (
    FAILURES_BURST,
    FAILURES_RATE,
    SUM_UP_EVERY,
    ThrottledFailures,
    ThrottledLog,
    in_words,
)


class Storm:
    """A throttled log, and its summaries with their times."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.summed_up: list[tuple[float, Mapping[str, int]]] = []
        self.bound = ThrottledLog(self.clock, TokenBucket(1, 2), self.sum_up)

    def sum_up(self, counts: Mapping[str, int]) -> None:
        self.summed_up.append((self.clock.seconds(), counts))

    def ask(self, count: int, kind: str = "SC") -> int:
        """How many of so many may be written."""
        return sum(self.bound.allow(kind) for _ in range(count))


def test_no_storm() -> None:
    """Lines within the rate need no summary, and no timer."""
    storm = Storm()
    assert storm.ask(2) == 2
    assert storm.clock.getDelayedCalls() == []
    storm.bound.stop()
    assert storm.summed_up == []


def test_once_a_second() -> None:
    """While lines are withheld, a summary comes once a second; then no more."""
    storm = Storm()
    assert storm.ask(10) == 2
    storm.clock.advance(0.5)
    assert storm.ask(10) == 0
    storm.clock.advance(0.5)
    assert storm.summed_up == [(SUM_UP_EVERY, {"SC": 18})]
    assert storm.ask(5) == 1
    storm.clock.advance(1)
    assert storm.summed_up[1:] == [(2.0, {"SC": 4})]
    storm.clock.advance(100)
    assert len(storm.summed_up) == 2
    assert storm.clock.getDelayedCalls() == []


def test_stop_logs_the_rest() -> None:
    """At the end nothing is left unsaid, and no timer is left."""
    storm = Storm()
    storm.ask(3)
    storm.bound.stop()
    assert storm.summed_up == [(0.0, {"SC": 1})]
    assert storm.clock.getDelayedCalls() == []
    storm.bound.stop()
    assert len(storm.summed_up) == 1


def test_counts() -> None:
    """Lines that are withheld are counted by their kinds, each of them once."""
    storm = Storm()
    storm.ask(5)
    storm.ask(2, "PR")
    storm.bound.stop()
    storm.ask(1, "PR")
    storm.bound.stop()
    assert [counts for _, counts in storm.summed_up] == [{"SC": 3, "PR": 2}, {"PR": 1}]


def test_in_words() -> None:
    """The most frequent kind comes first."""
    assert in_words({"PR": 34, "SC": 1200}) == "1200 SC, 34 PR"
    assert in_words({"b": 1, "a": 1}) == "1 a, 1 b"


def _fail(log: ThrottledFailures, what: str, count: int) -> None:
    for _ in range(count):
        try:
            raise KeyError("a bug")
        except KeyError:
            log.tell(what)


def test_a_few_failures() -> None:
    """
    The first failures are logged with their tracebacks, and later one now and then,
    with the number of those withheld.
    """
    clock = Clock()
    log = ThrottledFailures(clock)
    with capturedLogs() as logs:
        _fail(log, "a bug in lbconsul", 1000)
        _fail(log, "a bug in lbconsul: a check failed", 10)
        assert {event["log_failure"].type for event in logs} == {KeyError}
        assert len(logs) == FAILURES_BURST
        clock.advance(1 / FAILURES_RATE)
        _fail(log, "a bug in lbconsul: a check failed", 2)
    assert [formatEvent(event) for event in logs] == [
        *["a bug in lbconsul"] * int(FAILURES_BURST),
        "not logged since the last bug: 995 a bug in lbconsul, 10 a bug in lbconsul: a"
        " check failed",
        "a bug in lbconsul: a check failed",
    ]
    assert clock.getDelayedCalls() == []
