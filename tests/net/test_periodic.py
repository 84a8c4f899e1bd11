"""Upkeep: regular, whatever one of those that it tends does."""

from collections.abc import Callable, Iterable, Iterator

from attrs import define
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.net.periodic import EVERY, Periodic, repeat


@define(eq=False)
class Counting:
    """Counts how often it is tended, and then does something."""

    then: Callable[[], object] = lambda: None
    count: int = 0
    steps: Callable[[], Iterable[object]] = lambda: ()

    def tick(self) -> Iterable[object]:
        """Called by the upkeep."""
        self.count += 1
        self.then()
        return self.steps()


def _fail() -> None:
    raise RuntimeError("on purpose")


def _started(*tickable: Counting) -> tuple[Clock, Periodic]:
    clock = Clock()
    periodic = Periodic(clock)
    for each in tickable:
        periodic.add(each)
    periodic.start()
    return clock, periodic


def test_each_is_tended_regularly() -> None:
    """An added part is called a few times a second."""
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
    """A removed part is called no more, even if it is removed during a round."""
    other = Counting()
    clock, periodic = _started(Counting(lambda: periodic.discard(other)), other)
    clock.pump([EVERY] * 3)
    assert other.count == 0


def test_nothing_is_left_after_the_end() -> None:
    """A stopped upkeep leaves no call behind; stopping and starting twice is fine."""
    clock, periodic = _started(Counting())
    periodic.start()
    assert len(clock.getDelayedCalls()) == 1
    periodic.stop()
    periodic.stop()
    assert not clock.getDelayedCalls()


def test_long_work_delays_no_other_one() -> None:
    """
    A part's long work is done in steps, is not begun again before it is done, and
    delays no other part.
    """
    clock, done = Clock(), []

    def long() -> Iterator[None]:
        for number in range(2000):
            clock.rightNow += 0.0005
            done.append(number)
            yield

    one, other = Counting(steps=long), Counting()
    periodic = Periodic(clock)
    periodic.add(one)
    periodic.add(other)
    periodic.start()
    while clock.seconds() < EVERY + 2.0:
        clock.advance(0.001)
    assert one.count == 1
    assert len(done) >= 500
    assert other.count >= 7
    periodic.discard(one)
    clock.advance(1.0)
    count = len(done)
    clock.pump([0.1] * 20)
    assert len(done) == count
    periodic.stop()
    clock.advance(1.0)
    assert not clock.getDelayedCalls()


def test_steps_that_fail_harm_no_other() -> None:
    """A bug in a part's work is logged, and the part is called again."""

    def fails() -> Iterator[None]:
        yield
        _fail()

    one, other = Counting(steps=fails), Counting()
    clock, _ = _started(one, other)
    clock.pump([EVERY] * 2)
    assert (one.count, other.count) == (2, 2)


def test_stopped_in_the_middle_of_a_round() -> None:
    """A stop during a round ends the round."""
    other = Counting()
    clock, periodic = _started(Counting(lambda: periodic.stop()), other)
    clock.pump([EVERY] * 3)
    assert other.count == 0
    assert not clock.getDelayedCalls()


class RepeatTests(SynchronousTestCase):
    """A call that is repeated."""

    def test_now_and_then(self) -> None:
        """The function is called after each interval."""
        clock, done = Clock(), [0.0]
        loop = repeat(clock, 2.0, lambda: done.append(clock.seconds()))
        clock.pump([1.0] * 5)
        loop.stop()
        clock.pump([1.0] * 5)
        self.assertEqual(done, [0.0, 2.0, 4.0])

    def test_a_failure_is_logged(self) -> None:
        """A failure is logged, and the function is called again."""
        clock, tries = Clock(), [0]

        def fail() -> None:
            tries[0] += 1
            raise ValueError("because")

        loop = repeat(clock, 1.0, fail)
        with capturedLogs() as events:
            clock.pump([1.0] * 3)
        loop.stop()
        self.assertEqual(tries, [3])
        self.assertEqual(
            {formatEvent(event) for event in events},
            {"a bug in lbconsul: a periodic task failed; it is tried again"},
        )
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)
