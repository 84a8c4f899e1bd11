"""How a gateway ends in good order."""

from typing import Any, cast

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.gateway.graceful_shutdown import GracefulShutdown
from lbconsul.process.clock import WallClock


@define(eq=False)
class FakeDataPlane:
    """A data plane whose draining ends when the test says so."""

    open: int = 3
    longest_drain: float = 60.0
    drained: list[Deferred[None]] = Factory(list)

    def drain(self) -> Deferred[None]:
        self.drained.append(Deferred())
        if not self.open:
            self.drained[-1].callback(None)
        return self.drained[-1]


class GracefulShutdownTests(SynchronousTestCase):
    """Step by step."""

    def setUp(self) -> None:
        self.clock, self.server = Clock(), FakeDataPlane()
        self.shutdown = GracefulShutdown(
            self.clock,
            cast(Any, self.server),
            WallClock(self.clock.seconds, self.clock.seconds),
        )
        self.events = self.enterContext(capturedLogs())
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def lines(self) -> list[str]:
        """What was logged."""
        return [formatEvent(each) for each in self.events]

    def test_progress(self) -> None:
        """
        It knows since when it is, until when, and how many were open when the listeners
        were closed.
        """
        self.clock.advance(5.0)
        self.shutdown.begin(10.0)
        begun = self.shutdown.since, self.shutdown.until, self.shutdown.began_with
        self.assertEqual(begun, (0.0, 75.0, 3))
        self.server.open = 7
        self.clock.advance(10.0)
        begun = self.shutdown.since, self.shutdown.until, self.shutdown.began_with
        self.assertEqual(begun, (0.0, 75.0, 7))

    def test_over_when_nothing_is_open(self) -> None:
        """It is over when nothing is open, for all callers that wait for it."""
        self.shutdown.begin(0.0)
        early, late = self.shutdown.when_done(), self.shutdown.when_done()
        self.assertNoResult(early)
        self.assertRegex(
            self.lines()[0],
            r"^draining: listeners closed, 3 connections open, deadline \d\d:01:00"
            r" \(60 s\): what stops this process must allow as long",
        )
        self.server.drained[0].callback(None)
        for each in (early, late, self.shutdown.when_done()):
            self.assertIsNone(self.successResultOf(each))
        self.assertEqual(self.lines()[1:], ["draining: done, no connection is open"])

    def test_for_long(self) -> None:
        """The deadline is shown in minutes, if there are any."""
        self.server.longest_drain = 300.0
        self.shutdown.begin(0.0)
        self.assertIn(" (5 min): what stops this process must", self.lines()[0])

    def test_idle(self) -> None:
        """Where nothing is open it is over at once."""
        self.server.open = 0
        self.shutdown.begin(0.0)
        self.successResultOf(self.shutdown.when_done())
        self.assertEqual(self.lines(), ["draining: done, no connection is open"])

    def test_grace(self) -> None:
        """Clients are accepted for a while before."""
        self.shutdown.begin(5.0)
        self.clock.advance(4.9)
        self.assertEqual(self.server.drained, [])
        self.assertRegex(
            self.lines()[0],
            r"^draining: listeners open until \d\d:00:05, 3 connections open, deadline"
            r" \d\d:01:05 \(65 s\): what stops this process must",
        )
        self.clock.advance(0.2)
        self.assertEqual(len(self.server.drained), 1)

    def test_a_hard_stop_ends_the_wait(self) -> None:
        """If all ends at once, no caller waits any longer, and nothing is logged."""
        for grace in (5.0, 0.0):
            self.shutdown = GracefulShutdown(self.clock, cast(Any, self.server))
            self.shutdown.begin(grace)
            over = self.shutdown.when_done()
            before = self.lines()
            self.shutdown.stop()
            self.assertIsNone(self.successResultOf(over))
            self.assertEqual(self.lines(), before)
        self.server.drained[0].callback(None)
        self.assertEqual(self.lines(), before)

    def test_a_bug_does_not_keep_it_from_ending(self) -> None:
        """A bug of ours does not keep it from its end."""
        self.shutdown.begin(0.0)
        over = self.shutdown.when_done()
        self.server.drained[0].errback(RuntimeError("a bug"))
        self.assertIsNone(self.successResultOf(over))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
