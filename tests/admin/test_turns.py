"""How answers share the reactor's time."""

from collections.abc import Iterator

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.admin.turns import MOST_WRITTEN, Part, Turns


class TurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock, 0.002, 0.25)
        self.done: list[str] = []
        self.failures: list[Failure] = []

    def _work(self, name: str, steps: int, cost: float = 0.0) -> Iterator[None]:
        for _ in range(steps):
            self.clock.rightNow += cost
            self.done.append(name)
            yield

    def _begin(self, name: str, steps: int, cost: float = 0.0) -> Part:
        return self.turns.take_part(self._work(name, steps, cost), self.failures.append)

    def _one_slice(self) -> None:
        [call] = self.clock.calls
        self.clock.rightNow = max(self.clock.rightNow, call.getTime())
        call.func()
        self.clock.calls.remove(call)

    def test_in_turn(self) -> None:
        """All parts do a step each in turn, till all is done."""
        self._begin("a", 3)
        self._begin("b", 2)
        self.clock.advance(0)
        self.assertEqual("".join(self.done), "ababa")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_slice_for_all(self) -> None:
        """
        However many take part, they hold the reactor no longer than one does, and
        it has three times as long for others before they go on.
        """
        for name in "abcd":
            self._begin(name, 100, cost=0.001)
        self._one_slice()
        self.assertEqual("".join(self.done), "ab")
        [call] = self.clock.getDelayedCalls()
        self.assertAlmostEqual(call.getTime() - self.clock.rightNow, 0.006)
        self._one_slice()
        self.assertEqual("".join(self.done), "abcd")

    def test_a_slice_that_took_long(self) -> None:
        """On a machine that is busy with other work no part waits for long."""
        self._begin("a", 9, cost=5.0)
        self._one_slice()
        [call] = self.clock.getDelayedCalls()
        self.assertAlmostEqual(call.getTime() - self.clock.rightNow, 0.02)

    def test_after_a_while(self) -> None:
        """A part that comes while the queue is empty does not wait at all."""
        self._begin("a", 1, cost=0.001)
        self.clock.advance(0)
        self.clock.advance(1)
        self._begin("b", 1)
        self.clock.advance(0)
        self.assertEqual("".join(self.done), "ab")

    def test_much_to_be_sent(self) -> None:
        """
        A slice is over as well when much is written, which takes time later.
        """

        def writes() -> Iterator[None]:
            while True:
                self.done.append("w")
                self.turns.wrote(MOST_WRITTEN // 2)
                yield

        part = self.turns.take_part(writes(), self.failures.append)
        self._one_slice()
        self.assertEqual("".join(self.done), "ww")
        part.stop()

    def test_pausing(self) -> None:
        """
        A paused part, even paused twice, costs nothing, and goes on when it is resumed.
        """
        part = self._begin("a", 2)
        part.pause()
        part.pause()
        self._begin("b", 2)
        self.clock.advance(1)
        self.assertEqual("".join(self.done), "bb")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        part.resume()
        part.resume()
        self.clock.advance(0)
        self.assertEqual("".join(self.done), "bbaa")

    def test_stopping(self) -> None:
        """A stopped part does nothing any more, whether it was complete or not."""
        over, gone = self._begin("a", 1), self._begin("b", 5)
        gone.stop()
        self.clock.advance(0)
        for part in (over, gone, Part()):
            part.stop()
            part.pause()
            part.resume()
        self.assertEqual("".join(self.done), "a")
        self.assertEqual((self.failures, self.clock.getDelayedCalls()), ([], []))

    def test_a_part_that_fails(self) -> None:
        """A part that fails is reported, and the others go on."""

        def fails() -> Iterator[None]:
            yield
            raise RuntimeError("no more")

        self.turns.take_part(fails(), self.failures.append)
        self._begin("a", 4)
        self.clock.advance(0)
        self.assertEqual("".join(self.done), "aaaa")
        [failure] = self.failures
        failure.trap(RuntimeError)
