"""One coarse timer round many, whose work comes in slices."""

from collections.abc import Callable, Iterator
from itertools import chain, pairwise

from attrs import Factory, define
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.net.sweeper import SLICE, Sweeper, TimeSlicer


@define(eq=False)
class Checked:
    """Notes when it was inspected."""

    seen: list[float] = Factory(list)
    then: Callable[[], object] = lambda: None

    def check(self, now: float) -> None:
        self.seen.append(now)
        self.then()


class PatrolTests(SynchronousTestCase):
    """A patrol with a round every ten seconds."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sweeper = Sweeper(self.clock, 10.0)

    def pass_time(self, seconds: int) -> None:
        """Second by second."""
        self.clock.pump([1.0] * seconds)

    def test_rounds(self) -> None:
        """Whatever is on the list is inspected once in each round."""
        one, other = Checked(), Checked()
        self.sweeper.add(one)
        self.pass_time(5)
        self.sweeper.add(other)
        self.sweeper.add(other)
        self.pass_time(20)
        self.assertEqual((one.seen, other.seen), ([10.0, 20.0], [10.0, 20.0]))

    def test_discarded(self) -> None:
        """A removed item is not checked, whether it was on the list or not."""
        checked = Checked()
        self.sweeper.items.discard(checked)
        self.sweeper.add(checked)
        self.sweeper.items.discard(checked)
        self.pass_time(20)
        self.assertEqual(checked.seen, [])

    def test_no_rounds_for_nobody(self) -> None:
        """With an empty list there is no timer, and one begins with the next."""
        checked = Checked()
        self.sweeper.add(checked)
        self.sweeper.items.discard(checked)
        self.pass_time(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.sweeper.add(checked)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.pass_time(10)
        self.assertEqual(checked.seen, [20.0])

    def test_change_within_a_round(self) -> None:
        """An inspection may take things off the list, and put others on it."""
        other = Checked()

        def replace() -> None:
            self.sweeper.items.discard(one)
            self.sweeper.add(other)

        one = Checked(then=replace)
        self.sweeper.add(one)
        self.pass_time(30)
        self.assertEqual((one.seen, other.seen), ([10.0], [20.0, 30.0]))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_a_failed_check_is_logged(self) -> None:
        """A failed check is logged, and the others are made."""

        def fail() -> None:
            raise KeyError("a bug")

        broken, sound = Checked(then=fail), Checked()
        self.sweeper.add(broken)
        self.sweeper.add(sound)
        self.pass_time(20)
        self.assertEqual((broken.seen, sound.seen), ([10.0, 20.0], [10.0, 20.0]))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    def test_stop_forgets_everything(self) -> None:
        """A stop forgets everything and leaves no timer; it may begin again."""
        checked = Checked()
        self.sweeper.stop()
        self.sweeper.add(checked)
        self.sweeper.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.sweeper.add(checked)
        self.pass_time(10)
        self.assertEqual(checked.seen, [10.0])

    def test_interval(self) -> None:
        """
        A limit is kept to within an eighth of it, and no patrol is busier than
        every 50 ms or lazier than every minute, or whatever is asked for.
        """
        for limit, interval in ((8.0, 1.0), (0.001, 0.05), (86400.0, 60.0)):
            self.assertEqual(Sweeper.interval_for(limit), interval)
        self.assertEqual(Sweeper.interval_for(8.0, 0.25), 0.25)


@define(eq=False)
class Costly:
    """Takes so long to inspect, by the clock; and is inspected as often as `seen`."""

    clock: Clock
    takes: float
    seen: list[float] = Factory(list)

    def check(self, now: float) -> None:
        self.clock.rightNow += self.takes
        self.seen.append(now)


class SlicesTests(SynchronousTestCase):
    """What is periodic holds the reactor for a moment only."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.slicer = TimeSlicer(self.clock)
        #: How long each turn of the reactor took.
        self.turns: list[float] = []

    def run_for(self, seconds: float) -> None:
        """Turn after turn."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            before = self.clock.seconds()
            self.clock.advance(0)
            self.turns.append(self.clock.seconds() - before)
            calls = [call.getTime() for call in self.clock.getDelayedCalls()]
            self.clock.rightNow = max(self.clock.seconds(), min([*calls, end]))

    def costly(self, count: int) -> list[Costly]:
        """Each takes two microseconds."""
        return [Costly(self.clock, 2e-6) for _ in range(count)]

    def sweep(self, interval: float, many: list[Costly]) -> Sweeper:
        """A sweeper for these."""
        sweeper = Sweeper(self.clock, interval, self.slicer)
        for each in many:
            sweeper.add(each)
        return sweeper

    def test_no_turn_is_long(self) -> None:
        """
        However many connections two mappings have, no turn of the reactor is held for
        much longer than a slice, and half of the time at most goes into them.
        """
        lists = [self.costly(20_000) for _ in range(2)]
        for each in lists:
            self.sweep(1.0, each)
        self.run_for(1.0)
        self.turns.clear()
        self.run_for(0.9)
        self.assertLess(max(self.turns), 2 * SLICE)
        self.assertLess(sum(self.turns), 0.9 * 0.55)
        for one in chain(*lists):
            self.assertEqual(len(one.seen), 1)

    def test_many_mappings_at_once(self) -> None:
        """Rounds that are due at the same moment have one slice of a turn together."""
        for _ in range(500):
            self.sweep(1.0, self.costly(50))
        self.run_for(2.0)
        self.assertLess(max(self.turns), 2 * SLICE)

    def test_limit_is_kept(self) -> None:
        """With 50,000 connections each is inspected within a tenth of the interval."""
        many = self.costly(50_000)
        self.sweep(1.0, many)
        self.run_for(6.0)
        for each in many:
            seen = each.seen
            gaps = [later - sooner for sooner, later in pairwise([0.0, *seen])]
            self.assertLess(max(gaps), 2.0)
            self.assertGreaterEqual(len(seen), 3)

    def test_rounds_leave_time(self) -> None:
        """Where a round takes very long the next one is so much later."""
        many = self.costly(50_000)
        self.sweep(0.05, many)
        self.run_for(5.0)
        self.assertLess(sum(self.turns), 5.0 / 8)

    def test_many_that_end_at_once(self) -> None:
        """Where limits fire for many in one round, the next is not later for that."""
        many = self.costly(2_000)
        self.sweep(0.5, many)
        for each in many:
            each.takes = 1e-3
        self.run_for(4.6)
        for each in many:
            self.assertEqual(len(each.seen), 1)
            each.takes = 2e-6
        self.run_for(0.6)
        for each in many:
            self.assertEqual(len(each.seen), 2)

    def test_come_and_gone_meanwhile(self) -> None:
        """
        An item that leaves during a round is not checked; a new one waits for the next.
        """
        many = self.costly(5_000)
        sweeper = self.sweep(1.0, many)
        self.run_for(1.005)
        gone = [each for each in many if not each.seen]
        self.assertTrue(gone)
        late = Costly(self.clock, 0.0)
        sweeper.add(late)
        for each in gone:
            sweeper.items.discard(each)
        self.run_for(0.5)
        self.assertEqual([each.seen for each in gone], [[]] * len(gone))
        self.assertEqual(late.seen, [])
        self.run_for(1.0)
        self.assertEqual(len(late.seen), 1)

    def test_clock_set_back(self) -> None:
        """A clock that goes back meanwhile makes no slice endless."""
        steps = 0

        def back() -> Iterator[None]:
            nonlocal steps
            while True:
                steps += 1
                self.clock.rightNow -= 1.0
                yield

        work = back()
        self.slicer.begin(work)
        self.assertLess(steps, 10_000)
        self.slicer.drop(work)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_in_the_middle(self) -> None:
        """A stop in the middle of a round, even from a check, ends it for good."""
        many = self.costly(5_000)
        sweeper = self.sweep(1.0, many)
        self.run_for(1.005)
        sweeper.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        stopping = Checked(then=sweeper.stop)
        sweeper.add(stopping)
        self.run_for(3.0)
        self.assertEqual(len(stopping.seen), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_work_that_fails(self) -> None:
        """A bug in one piece of work is logged, and the others are done."""
        done: list[int] = []

        def fails() -> Iterator[None]:
            yield
            raise KeyError("a bug")

        def goes_on() -> Iterator[None]:
            self.slicer.begin(fails())
            for number in range(100):
                done.append(number)
                yield

        self.slicer.begin(goes_on())
        self.assertEqual(done, list(range(100)))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_stop_of_all(self) -> None:
        """When all is stopped no work goes on; it can begin again."""
        done: list[int] = []

        def endless() -> Iterator[None]:
            while True:
                self.clock.rightNow += SLICE
                done.append(1)
                yield

        work = endless()
        self.slicer.begin(work)
        self.slicer.begin(endless())
        self.run_for(0.1)
        self.slicer.stop()
        self.slicer.drop(work)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        count = len(done)
        self.slicer.begin(iter([1, 2]))
        self.run_for(0.1)
        self.assertEqual(len(done), count)
