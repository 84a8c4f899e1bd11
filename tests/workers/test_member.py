"""One worker, as its master sees it; the worker's part plays the test."""

import signal
import socket
from typing import Any

from twisted.internet.error import (
    ProcessDone,
    ProcessExitedAlready,
    ProcessTerminated,
)
from twisted.internet.interfaces import IProcessProtocol
from twisted.logger import Logger, LogLevel, capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lbconsul.balance.registry import Change
from lbconsul.balance.selection import Question
from lbconsul.workers.catalog import Catalog
from lbconsul.workers.logs import write_event
from lbconsul.workers.member import Member
from lbconsul.workers.messages import (
    LOG,
    Count,
    Order,
    Part,
    Report,
    Setup,
    Stop,
    read_order,
    write_report,
)
from lbconsul.workers.slots import Slots
from lbconsul.workers.table import Table
from tests.support.instances import instances
from tests.support.recording_reactor import RecordingReactor

WEB = Question("web")


class Process:
    """A process that notes its signals."""

    pid = 4711

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.gone = False

    def signalProcess(self, number: int) -> None:  # noqa: N802
        if self.gone:
            raise ProcessExitedAlready
        self.signals.append(number)


class Reactor(RecordingReactor):
    """Starts no process, and keeps the streams that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.process = Process()
        self.given: dict[str, Any] = {}

    def spawnProcess(self, protocol: Any, program: str, *_: Any, **given: Any) -> Any:  # noqa: N802
        self.given = given
        return self.process

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Any) -> None:  # noqa: N802
        assert family == socket.AF_UNIX
        self.protocol = factory.buildProtocol(None)
        self.orders: list[Order] = []
        self.protocol.makeConnection(self)

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: N802
        assert streaming

    def write(self, data: bytes) -> None:
        self.orders.append(read_order(data[4:]))

    def writeSequence(self, data: Any) -> None:  # noqa: N802
        self.write(b"".join(data))

    def loseConnection(self) -> None:  # noqa: N802
        self.protocol.connectionLost()


class MemberTests(SynchronousTestCase):
    """What the master does about it."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.reactor.advance(100)
        self.catalog = Catalog(Slots(10))
        self.ended: list[tuple[Member, str]] = []
        self.member = Member(
            self.reactor, 3, self.catalog, lambda *how: self.ended.append(how)
        )
        self.table = Table.create(4)
        self.addCleanup(self.table.close)

    def start(self) -> None:
        """Start it."""
        self.setup = Setup(3, 4, (), True)
        self.member.start({"A": "b"}, self.setup, self.table.descriptor, [7, 8])

    def hear(self, data: bytes) -> None:
        """It says something."""
        self.reactor.protocol.stringReceived(data)

    def test_start(self) -> None:
        """It is given the table and the sockets, and told all that is known."""
        self.assertTrue(verifyObject(IProcessProtocol, self.member))
        self.catalog.change(WEB, Change(tuple(instances("a"))))
        self.start()
        given = self.reactor.given
        self.assertEqual(given["env"], {"A": "b"})
        self.assertEqual(sorted(given["childFDs"]), [0, 1, 2, 3, 4, 5, 6])
        self.assertEqual(given["childFDs"][4], self.table.descriptor)
        self.assertEqual(
            [given["childFDs"][each] for each in (1, 2, 5, 6)], [1, 2, 7, 8]
        )
        first, second = self.reactor.orders
        self.assertEqual(first, self.setup)
        assert isinstance(second, Part)
        self.assertEqual(second.put, ((instances("a")[0], 0),))
        self.assertEqual((self.member.pid, self.member.started), (4711, 100.0))

    def test_change(self) -> None:
        """It hears of each change, unless it does not listen."""
        self.start()
        delta = self.catalog.change(WEB, Change())
        assert delta is not None
        self.reactor.protocol.pauseProducing()
        self.member.changed(delta)
        self.assertEqual(len(self.reactor.orders), 1)
        self.reactor.protocol.resumeProducing()
        self.assertEqual(len(self.reactor.orders), 2)

    def test_report(self) -> None:
        """Its latest report is kept; the first one that it serves is told."""
        self.start()
        with capturedLogs() as events:
            for level in (0, 1, 2):
                self.hear(write_report(Report(level, (Count(level, 0),))))
        self.assertEqual(self.member.report, Report(2, (Count(2, 0),)))
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["worker 3 (process 4711) serves"],
        )

    def test_log(self) -> None:
        """What it logs is in the master's log, with its number."""
        self.start()
        with capturedLogs() as sent:
            Logger("lbconsul.test").info("{a}", a=5)
        with capturedLogs() as events:
            self.hear(write_event(sent[0]))
        [event] = events
        self.assertEqual((formatEvent(event), event["worker"]), ("5", 3))
        self.assertIs(event["log_level"], LogLevel.info)

    def test_nonsense(self) -> None:
        """One that does not say what can be understood is ended."""
        for number, said in enumerate((b"", b"x", b"r{}", b"l[", LOG + b"\xff"), 1):
            self.start()
            self.hear(said)
            self.assertEqual(self.reactor.process.signals, [signal.SIGKILL] * number)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 5)

    def test_stop(self) -> None:
        """It is asked to end, and then not killed for closing its stream."""
        self.start()
        self.member.stop()
        self.assertEqual(self.reactor.orders[-1], Stop())
        self.reactor.protocol.connectionLost()
        self.assertEqual(self.reactor.process.signals, [])
        self.member.processExited(Failure(ProcessDone(0)))
        self.assertEqual(self.ended, [(self.member, "exit status 0")])
        self.reactor.advance(10)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_cut_off(self) -> None:
        """One that we cannot speak with any more is ended."""
        self.start()
        self.reactor.protocol.connectionLost()
        self.assertEqual(self.reactor.process.signals, [signal.SIGKILL])
        self.reactor.advance(1)
        self.assertEqual(self.ended, [])
        self.member.processExited(Failure(ProcessTerminated(None, 9, 9)))
        self.assertEqual(self.ended, [(self.member, "signal 9")])

    def test_last_words(self) -> None:
        """What it said before its death is heard before that is passed on."""
        self.start()
        self.member.processExited(Failure(ProcessTerminated(1, None, 256)))
        self.assertEqual(self.ended, [])
        self.hear(write_report(Report(5)))
        self.reactor.process.gone = True
        self.reactor.protocol.connectionLost()
        self.assertEqual(self.ended, [(self.member, "exit status 1")])
        self.assertEqual(self.member.report, Report(5))

    def test_never_started(self) -> None:
        """To end one that was never started does nothing."""
        self.member.kill()
        self.assertIsNone(self.member.pid)
