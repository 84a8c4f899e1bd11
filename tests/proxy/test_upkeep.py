"""Upkeep: regular, whatever one of those that it tends does."""

from collections.abc import Callable

from attrs import define
from twisted.internet.task import Clock

from lbconsul.proxy.upkeep import EVERY, Upkeep


@define(eq=False)
class Counting:
    """Counts how often it is tended, and then does something."""

    then: Callable[[], None] = lambda: None
    count: int = 0

    def tend(self) -> None:
        """Called by the upkeep."""
        self.count += 1
        self.then()


def _fail() -> None:
    raise RuntimeError("on purpose")


def _started(*tended: Counting) -> tuple[Clock, Upkeep]:
    clock = Clock()
    upkeep = Upkeep(clock)
    for each in tended:
        upkeep.add(each)
    upkeep.start()
    return clock, upkeep


def test_each_is_tended_regularly() -> None:
    """What is added is tended a few times a second."""
    one, other = Counting(), Counting()
    clock, _ = _started(one, other)
    clock.pump([EVERY] * 4)
    assert (one.count, other.count) == (4, 4)


def test_one_that_fails_harms_no_other() -> None:
    """A bug at one mapping keeps no other one from what is due."""
    other = Counting()
    clock, _ = _started(Counting(_fail), other)
    clock.pump([EVERY] * 2)
    assert other.count == 2


def test_what_is_discarded_is_left_alone() -> None:
    """What was removed is tended no longer, be it while others are tended."""
    other = Counting()
    clock, upkeep = _started(Counting(lambda: upkeep.discard(other)), other)
    clock.pump([EVERY] * 3)
    assert other.count == 1


def test_nothing_is_left_after_the_end() -> None:
    """A stopped upkeep leaves no call behind; stopping and starting twice is fine."""
    clock, upkeep = _started(Counting())
    upkeep.start()
    assert len(clock.getDelayedCalls()) == 1
    upkeep.stop()
    upkeep.stop()
    assert not clock.getDelayedCalls()
