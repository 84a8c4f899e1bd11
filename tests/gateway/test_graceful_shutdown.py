"""How a gateway ends in good order."""

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lbconsul.gateway.graceful_shutdown import GracefulShutdown
from lbconsul.process.clock import WallClock


@define(eq=False)
class Server:
    """Retires when it is told that it has."""

    open: int = 3
    longest_drain: float = 60.0
    retired: list[Deferred[None]] = Factory(list)

    def retire(self) -> Deferred[None]:
        self.retired.append(Deferred())
        if not self.open:
            self.retired[-1].callback(None)
        return self.retired[-1]


class RetirementTests(SynchronousTestCase):
    """Step by step."""

    def setUp(self) -> None:
        self.clock, self.server = Clock(), Server()
        self.retirement = GracefulShutdown(
            self.clock,
            self.server,
            WallClock(self.clock.seconds, self.clock.seconds),
        )
        self.events = self.enterContext(capturedLogs())
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def lines(self) -> list[str]:
        """What was logged."""
        return [formatEvent(each) for each in self.events]

    def test_waits(self) -> None:
        """It is over when nothing is open, for all who wait for it."""
        self.retirement.begin(0.0)
        early, late = self.retirement.over(), self.retirement.over()
        self.assertNoResult(early)
        self.assertRegex(
            self.lines()[0],
            r"^draining: listeners closed, 3 connections open, deadline \d\d:01:00"
            r" \(60 s\): what stops this process must allow as long",
        )
        self.server.retired[0].callback(None)
        for each in (early, late, self.retirement.over()):
            self.assertIsNone(self.successResultOf(each))
        self.assertEqual(self.lines()[1:], ["draining: done, no connection is open"])

    def test_for_long(self) -> None:
        """How long it may take is told in minutes, where it is some."""
        self.server.longest_drain = 300.0
        self.retirement.begin(0.0)
        self.assertIn(" (5 min): what stops this process must", self.lines()[0])

    def test_idle(self) -> None:
        """Where nothing is open it is over at once."""
        self.server.open = 0
        self.retirement.begin(0.0)
        self.successResultOf(self.retirement.over())
        self.assertEqual(self.lines(), ["draining: done, no connection is open"])

    def test_grace(self) -> None:
        """Clients are accepted for a while before."""
        self.retirement.begin(5.0)
        self.clock.advance(4.9)
        self.assertEqual(self.server.retired, [])
        self.assertRegex(
            self.lines()[0],
            r"^draining: listeners open until \d\d:00:05, 3 connections open, deadline"
            r" \d\d:01:05 \(65 s\): what stops this process must",
        )
        self.clock.advance(0.2)
        self.assertEqual(len(self.server.retired), 1)

    def test_stop(self) -> None:
        """If all ends at once, nobody waits any longer, nor is anything said of it."""
        for grace in (5.0, 0.0):
            self.retirement = GracefulShutdown(self.clock, self.server)
            self.retirement.begin(grace)
            over = self.retirement.over()
            before = self.lines()
            self.retirement.stop()
            self.assertIsNone(self.successResultOf(over))
            self.assertEqual(self.lines(), before)
        self.server.retired[0].callback(None)
        self.assertEqual(self.lines(), before)

    def test_bug(self) -> None:
        """A bug of ours does not keep it from its end."""
        self.retirement.begin(0.0)
        over = self.retirement.over()
        self.server.retired[0].errback(RuntimeError("a bug"))
        self.assertIsNone(self.successResultOf(over))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
