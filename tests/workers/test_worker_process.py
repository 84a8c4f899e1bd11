"""One worker, as its master sees it; the worker's part plays the test."""

import os
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

from lbconsul.balance.events import Change
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.logs.connection_lines import ConnectionLines
from lbconsul.logs.format import LineFormat
from lbconsul.net.fd_passing import receive_sockets
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.workers.log_forwarder import write_event
from lbconsul.workers.messages import (
    LINES,
    LOG,
    CatalogChunk,
    Command,
    Count,
    Drain,
    Eject,
    Report,
    Serve,
    Setup,
    Stop,
    SyncComplete,
    read_command,
    write_answer,
    write_report,
)
from lbconsul.workers.shared_table import Table
from lbconsul.workers.slots import Slots
from lbconsul.workers.spawn import Program
from lbconsul.workers.traffic_messages import write_traffic
from lbconsul.workers.versioned_catalog import VersionedCatalog
from lbconsul.workers.worker_process import ANSWER_TIMEOUT, GRACE, WorkerProcess
from tests.support.instances import an_identity, instances
from tests.support.recording_reactor import RecordingReactor

WEB = ServiceQuery("web")


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
        self.trouble: dict[str, OSError] = {}
        self.lost = 0

    def spawnProcess(self, protocol: Any, program: str, *_: Any, **given: Any) -> Any:  # noqa: N802
        self.given = given
        # Ours is closed once it is started.
        self.fd_channel = socket.socket(fileno=os.dup(given["childFDs"][5]))
        self.fd_channel.setblocking(False)
        if "spawn" in self.trouble:
            raise self.trouble["spawn"]
        return self.process

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Any) -> None:  # noqa: N802
        assert family == socket.AF_UNIX
        if "adopt" in self.trouble:
            raise self.trouble["adopt"]
        self.protocol = factory.buildProtocol(None)
        self.orders: list[Command] = []
        self.protocol.makeConnection(self)

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: N802
        assert streaming

    def write(self, data: bytes) -> None:
        self.orders.append(read_command(data[4:]))

    def writeSequence(self, data: Any) -> None:  # noqa: N802
        self.write(b"".join(data))

    def unregisterProducer(self) -> None:  # noqa: N802
        """The transport is closed."""

    def loseConnection(self) -> None:  # noqa: N802
        self.lost += 1
        self.protocol.connectionLost()


def received(fd_channel: socket.socket) -> dict[int, int]:
    """The sockets that a worker was sent, which are closed again."""
    found = dict(receive_sockets(fd_channel))
    for each in found.values():
        os.close(each)
    return found


class MemberTests(SynchronousTestCase):
    """What the master does about it."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.reactor.advance(100)
        self.ledger = VersionedCatalog(Slots(10))
        self.ended: list[tuple[WorkerProcess, str]] = []
        self.changes = 0
        self.serves = Serve((), True)
        self.sockets: dict[int, int] = {}
        self.worker = WorkerProcess(
            self.reactor,
            3,
            self.ledger,
            self,
            lambda number: (self.serves, self.sockets),
        )
        self.table = Table.create(4)
        self.addCleanup(self.table.close)

    def on_ended(self, worker: WorkerProcess, how: str) -> None:
        """Called by the worker."""
        self.ended.append((worker, how))

    def on_ejections_changed(self) -> None:
        """Called by the worker."""
        self.changes += 1

    def start(self) -> None:
        """Start it."""
        self.setup = Setup(3, 4)
        program = Program(("python", "x"), {"A": "b"})
        self.worker.start(program, self.setup, self.table.descriptor)

    def hear(self, data: bytes) -> None:
        """The worker sends something."""
        self.reactor.protocol.stringReceived(data)

    def test_a_worker_gets_sockets_and_catalog(self) -> None:
        """A worker gets the table and the sockets, and then the whole catalog."""
        self.assertTrue(verifyObject(IProcessProtocol, self.worker))
        self.ledger.change(WEB, Change(tuple(instances("a"))))
        self.start()
        given = self.reactor.given
        self.assertEqual(given["env"], {"A": "b"})
        self.assertEqual(sorted(given["childFDs"]), [0, 1, 2, 3, 4, 5])
        self.assertEqual(given["childFDs"][4], self.table.descriptor)
        # Ours may be closed; what it prints as an error we read.
        self.assertNotIn(given["childFDs"][1], (1, 2))
        self.assertEqual(given["childFDs"][2], "r")
        first, serve, second, third = self.reactor.orders
        self.assertEqual((first, serve), (self.setup, self.serves))
        assert isinstance(second, CatalogChunk)
        self.assertEqual(second.put, ((instances("a")[0], 0),))
        self.assertEqual(third, SyncComplete())
        self.assertEqual((self.worker.pid, self.worker.started), (4711, 100.0))

    def test_no_room(self) -> None:
        """A failed start leaves nothing behind; without a channel no process starts."""
        for what, spawned in (("adopt", False), ("spawn", True)):
            self.reactor.trouble = {what: OSError(24, "Too many open files")}
            with self.assertRaises(OSError):
                self.start()
            self.assertEqual(bool(self.reactor.given), spawned)
        self.assertEqual((self.reactor.lost, self.reactor.orders), (1, []))
        self.assertEqual((self.ended, self.reactor.getDelayedCalls()), ([], []))

    def test_change(self) -> None:
        """A worker gets each change, unless it does not read."""
        self.start()
        delta = self.ledger.change(WEB, Change())
        assert delta is not None
        self.reactor.protocol.pauseProducing()
        self.worker.changed(delta)
        self.assertEqual(len(self.reactor.orders), 3)
        self.reactor.protocol.resumeProducing()
        self.assertEqual(len(self.reactor.orders), 4)

    def test_sockets(self) -> None:
        """Each listening socket is sent once, before the command to serve on it."""
        with socket.create_server(("127.0.0.1", 0)) as one:
            self.sockets = {5: one.fileno()}
            self.start()
            self.assertEqual(list(received(self.reactor.fd_channel)), [5])
            with socket.create_server(("127.0.0.1", 0)) as other:
                self.sockets = {5: one.fileno(), 6: other.fileno()}
                self.worker.altered()
                self.assertEqual(list(received(self.reactor.fd_channel)), [6])
                self.sockets = {6: other.fileno()}
                self.worker.altered()
            self.sockets = {5: one.fileno()}  # it had the socket, but closed it
            self.worker.altered()
            self.assertEqual(list(received(self.reactor.fd_channel)), [5])
        serves = [each for each in self.reactor.orders if isinstance(each, Serve)]
        self.assertEqual([each.sent for each in serves], [1, 1, 0, 1])

    def test_full_lane(self) -> None:
        """A worker that takes no sockets hangs, and is killed."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.start()
            with capturedLogs() as events:
                for number in range(2_000):
                    self.sockets = {number: server.fileno()}
                    self.worker.altered()
                    if self.reactor.process.signals:
                        break
        self.assertEqual(self.reactor.process.signals, [signal.SIGKILL])
        [event] = events
        self.assertRegex(
            formatEvent(event),
            r"worker 3 \(process 4711\): cannot be sent its sockets: ",
        )
        self.assertGreater(len(received(self.reactor.fd_channel)), 50)

    def test_report(self) -> None:
        """The latest report is kept; the first one that says serving is logged."""
        self.start()
        with capturedLogs() as events:
            for version in (0, 1, 2):
                report = Report(version, Count(version, 0), serves=version > 0)
                self.hear(write_report(report))
        self.assertEqual(self.worker.report, report)
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["worker 3 (process 4711) serves"],
        )

    def test_the_last_traffic_is_kept(self) -> None:
        """For each listener the traffic reported last is kept."""
        self.start()
        worker = MappingTraffic(queued=3)
        worker.stats.connected(an_identity(), 0.5)
        self.hear(write_traffic(7, worker))
        self.hear(write_traffic(8, MappingTraffic()))
        worker.stats.accepted, worker.queued = 9, 0
        self.hear(write_traffic(7, worker))
        self.assertEqual(set(self.worker.traffic), {7, 8})
        told = self.worker.traffic[7]
        self.assertEqual((told.queued, told.stats.accepted), (0, 9))
        self.assertEqual(told.stats.accounts[an_identity()].total, 1)

    def test_orders_reach_the_worker(self) -> None:
        """A worker gets an operator's orders."""
        self.start()
        self.worker.send(Eject(an_identity(), 7))
        self.assertEqual(self.reactor.orders[-1], Eject(an_identity(), 7))

    def test_eject(self) -> None:
        """
        A worker answers whether it could eject an upstream; no answer in time is a
        failure, too.
        """
        self.start()
        said: list[str] = []
        for _ in range(5):
            self.worker.eject(an_identity()).addCallback(said.append)
        self.assertEqual(self.reactor.orders[-1], Eject(an_identity(), 4))
        self.hear(write_answer(1, "it is ejected"))
        self.hear(write_answer(0, ""))
        self.hear(write_answer(0, "again"))
        self.reactor.advance(ANSWER_TIMEOUT)
        self.hear(write_answer(2, "too late"))
        late = ["worker 3 does not answer"] * 3
        self.assertEqual(said, ["it is ejected", "", *late])
        self.worker.eject(an_identity()).addCallback(said.append)
        self.reactor.protocol.connectionLost()
        self.assertEqual(said[5:], ["worker 3 has ended"])

    def test_log(self) -> None:
        """The worker's events are in the master's log, with its number."""
        self.start()
        with capturedLogs() as sent:
            Logger("lbconsul.test").info("{a}", a=5)
        with capturedLogs() as events:
            self.hear(write_event(sent[0]))
        [event] = events
        self.assertEqual((formatEvent(event), event["worker"]), ("5", 3))
        self.assertIs(event["log_level"], LogLevel.info)

    def test_nonsense(self) -> None:
        """A worker that sends an invalid message is killed."""
        nonsense = (
            b"",
            b"x",
            b"r{}",
            b"l[",
            LOG + b"\xff",
            b"r" + b"[" * 100_000,
            b"f[7]",
        )
        for number, said in enumerate(nonsense, 1):
            self.start()
            self.hear(said)
            self.assertEqual(self.reactor.process.signals, [signal.SIGKILL] * number)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 6)
        self.assertEqual(len(self.flushLoggedErrors(RecursionError)), 1)

    def test_printed(self) -> None:
        """
        The worker's standard error is in the log, the last unfinished line included.
        """
        self.start()
        with capturedLogs() as events:
            self.worker.childDataReceived(2, b"Traceback:\n  {because}\nend")
            self.assertEqual(len(events), 2)
            self.worker.processEnded(Failure(ProcessDone(0)))
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                f"worker 3 (process 4711): {line}"
                for line in ("Traceback:", "  {because}", "end")
            ],
        )

    def test_stop_closes_the_channel(self) -> None:
        """A worker that is stopped is not killed for closing its channel."""
        self.start()
        self.worker.stop()
        self.assertEqual(self.reactor.orders[-1], Stop())
        delta = self.ledger.change(WEB, Change())
        assert delta is not None
        self.worker.changed(delta)
        self.reactor.protocol.pauseProducing()
        self.reactor.protocol.resumeProducing()
        self.assertEqual(self.reactor.orders[-1], Stop())
        self.reactor.protocol.connectionLost()
        self.assertEqual(self.reactor.process.signals, [])
        self.worker.processEnded(Failure(ProcessDone(0)))
        self.assertEqual(self.ended, [(self.worker, "exit status 0")])
        self.reactor.advance(10)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_drain_goes_on_until_idle(self) -> None:
        """A draining worker ends once it is idle, and still gets the catalog."""
        self.start()
        self.worker.drain()
        self.assertEqual(self.reactor.orders[-1], Drain())
        delta = self.ledger.change(WEB, Change())
        assert delta is not None
        self.worker.changed(delta)
        self.assertIsInstance(self.reactor.orders[-1], CatalogChunk)
        self.reactor.protocol.connectionLost()
        self.reactor.pump([GRACE / 2] * 4)
        self.assertEqual(self.reactor.process.signals, [])
        self.worker.processEnded(Failure(ProcessDone(0)))
        self.assertEqual(self.ended, [(self.worker, "exit status 0")])

    def test_cut_off(self) -> None:
        """A worker whose channel is broken is killed."""
        self.start()
        self.reactor.protocol.connectionLost()
        self.assertEqual(self.reactor.process.signals, [])  # it may end by itself
        self.reactor.pump([GRACE / 10] * 12)
        self.assertEqual(set(self.reactor.process.signals), {signal.SIGKILL})
        self.assertEqual(self.ended, [])
        self.worker.processEnded(Failure(ProcessTerminated(None, 9, 9)))
        self.assertEqual(self.ended, [(self.worker, "signal 9")])

    def test_last_words(self) -> None:
        """Messages before a worker's death are handled before the death is."""
        self.start()
        self.worker.processEnded(Failure(ProcessTerminated(1, None, 256)))
        self.assertEqual(self.ended, [])
        self.hear(write_report(Report(5)))
        self.reactor.process.gone = True
        self.reactor.protocol.connectionLost()
        self.assertEqual(self.ended, [(self.worker, "exit status 1")])
        self.assertEqual(self.worker.report, Report(5))

    def test_never_started(self) -> None:
        """Killing a worker that was never started does nothing."""
        self.worker.kill()
        self.assertIsNone(self.worker.pid)

    def test_lines(self) -> None:
        """Lines of connections that the worker has formatted go into the log."""
        written: list[bytes] = []
        self.worker = WorkerProcess(
            self.reactor,
            3,
            self.ledger,
            self,
            lambda number: (self.serves, self.sockets),
            ConnectionLines(LineFormat(), written.append),
        )
        self.start()
        self.hear(LINES + b"one\ntwo\n")
        self.assertEqual(written, [b"one\n", b"two\n"])

    def test_unwanted_lines(self) -> None:
        """A worker that formats lines though it should not is killed."""
        self.start()
        self.hear(LINES + b"one\n")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.reactor.process.signals, [signal.SIGKILL])
