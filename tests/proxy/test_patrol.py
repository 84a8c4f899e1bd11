"""One coarse timer round many."""

from collections.abc import Callable

from attrs import Factory, define
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.proxy.patrol import Patrol


@define(eq=False)
class Patrolled:
    """Notes when it was inspected."""

    seen: list[float] = Factory(list)
    then: Callable[[], object] = lambda: None

    def inspect(self, now: float) -> None:
        self.seen.append(now)
        self.then()


class PatrolTests(SynchronousTestCase):
    """A patrol with a round every ten seconds."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.patrol = Patrol(self.clock, 10.0)

    def pass_time(self, seconds: int) -> None:
        """Second by second."""
        self.clock.pump([1.0] * seconds)

    def test_rounds(self) -> None:
        """Whatever is on the list is inspected once in each round."""
        one, other = Patrolled(), Patrolled()
        self.patrol.add(one)
        self.pass_time(5)
        self.patrol.add(other)
        self.patrol.add(other)
        self.pass_time(20)
        self.assertEqual((one.seen, other.seen), ([10.0, 20.0], [10.0, 20.0]))

    def test_discarded(self) -> None:
        """What was taken off the list is left alone, if it was on it or not."""
        patrolled = Patrolled()
        self.patrol.discard(patrolled)
        self.patrol.add(patrolled)
        self.patrol.discard(patrolled)
        self.pass_time(20)
        self.assertEqual(patrolled.seen, [])

    def test_no_rounds_for_nobody(self) -> None:
        """With an empty list there is no timer, and one begins with the next."""
        patrolled = Patrolled()
        self.patrol.add(patrolled)
        self.patrol.discard(patrolled)
        self.pass_time(10)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.patrol.add(patrolled)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.pass_time(10)
        self.assertEqual(patrolled.seen, [20.0])

    def test_change_within_a_round(self) -> None:
        """An inspection may take things off the list, and put others on it."""
        other = Patrolled()

        def replace() -> None:
            self.patrol.discard(one)
            self.patrol.add(other)

        one = Patrolled(then=replace)
        self.patrol.add(one)
        self.pass_time(30)
        self.assertEqual((one.seen, other.seen), ([10.0], [20.0, 30.0]))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_failure(self) -> None:
        """An inspection that fails is told, and keeps nobody else's limit from him."""

        def fail() -> None:
            raise KeyError("a bug")

        broken, sound = Patrolled(then=fail), Patrolled()
        self.patrol.add(broken)
        self.patrol.add(sound)
        self.pass_time(20)
        self.assertEqual((broken.seen, sound.seen), ([10.0, 20.0], [10.0, 20.0]))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 2)

    def test_stop(self) -> None:
        """A stop forgets everything and leaves no timer; it may begin again."""
        patrolled = Patrolled()
        self.patrol.stop()
        self.patrol.add(patrolled)
        self.patrol.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.patrol.add(patrolled)
        self.pass_time(10)
        self.assertEqual(patrolled.seen, [10.0])

    def test_interval(self) -> None:
        """
        A limit is kept to within an eighth of it, and no patrol is busier than
        every 50 ms or lazier than every minute, or whatever is asked for.
        """
        for limit, interval in ((8.0, 1.0), (0.001, 0.05), (86400.0, 60.0)):
            self.assertEqual(Patrol.keeping(self.clock, limit).interval, interval)
        self.assertEqual(Patrol.keeping(self.clock, 8.0, 0.25).interval, 0.25)
