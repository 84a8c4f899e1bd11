"""A bound on lines of log, with a clock."""

from collections.abc import Mapping

from twisted.internet.task import Clock

from lbconsul.net.rate_limit import TokenBucket
from lbconsul.net.throttled_log import SUM_UP_EVERY, ThrottledLog


class Storm:
    """Lines that are asked for, and what was told of the others and when."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.summed_up: list[tuple[float, Mapping[str, int]]] = []
        self.bound = ThrottledLog(self.clock, TokenBucket(1, 2), self.sum_up)

    def sum_up(self, counts: Mapping[str, int]) -> None:
        self.summed_up.append((self.clock.seconds(), counts))

    def ask(self, count: int) -> int:
        """How many of so many may be written."""
        return sum(self.bound.lets("SC") for _ in range(count))


def test_no_storm() -> None:
    """What may be written needs no summary, and no timer."""
    storm = Storm()
    assert storm.ask(2) == 2
    assert storm.clock.getDelayedCalls() == []
    storm.bound.stop()
    assert storm.summed_up == []


def test_once_a_second() -> None:
    """While it goes on, what was not written is told once a second; then no more."""
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


def test_stop() -> None:
    """At the end nothing is left unsaid, and no timer is left."""
    storm = Storm()
    storm.ask(3)
    storm.bound.stop()
    assert storm.summed_up == [(0.0, {"SC": 1})]
    assert storm.clock.getDelayedCalls() == []
    storm.bound.stop()
    assert len(storm.summed_up) == 1
