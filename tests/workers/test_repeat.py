"""What is done now and then."""

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.workers.repeat import repeat


class RepeatTests(SynchronousTestCase):
    """A clock that the test sets."""

    def test_now_and_then(self) -> None:
        """It is done each time, for the first time after the first interval."""
        clock, done = Clock(), [0.0]
        loop = repeat(clock, 2.0, lambda: done.append(clock.seconds()))
        clock.pump([1.0] * 5)
        loop.stop()
        clock.pump([1.0] * 5)
        self.assertEqual(done, [0.0, 2.0, 4.0])

    def test_failure(self) -> None:
        """What it fails with is in the log, and it is done again."""
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
            {"a bug in lbconsul; it is tried again"},
        )
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)
