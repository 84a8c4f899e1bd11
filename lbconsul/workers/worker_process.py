"""One worker process, as the master sees it."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import count
from typing import Any, Protocol

from attrs import Factory, define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.process import reapAllProcesses
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure

from lbconsul.balance.instance import Identity
from lbconsul.config.model import TLS
from lbconsul.errors import CannotListen
from lbconsul.logs.connection_lines import ConnectionLines
from lbconsul.net.fd_passing import send_sockets
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.workers.catalog_sender import CatalogSender
from lbconsul.workers.channel import Channel
from lbconsul.workers.log_forwarder import read_event
from lbconsul.workers.messages import (
    ANSWER,
    LINES,
    LOG,
    REPORT,
    TRAFFIC,
    Amend,
    Command,
    Drain,
    Eject,
    Report,
    Serve,
    Setup,
    Stop,
    read_answer,
    read_report,
    write_command,
)
from lbconsul.workers.published_certificates import PublishedCertificates
from lbconsul.workers.spawn import Program, spawn
from lbconsul.workers.stderr import Printed
from lbconsul.workers.traffic_messages import apply_changes, read_traffic
from lbconsul.workers.versioned_catalog import Delta, VersionedCatalog

#: How often to check whether a worker whose stream has ended is gone, in seconds.  Not
#: every embedding program lets Twisted handle SIGCHLD.
_LOOK = 0.05

#: How long to wait for the answer to a command, in seconds.
ANSWER_TIMEOUT = 2.0

#: How long a worker that ended its stream may take to exit, in seconds.
GRACE = 1.0


class WorkerObserver(Protocol):
    """Hears of one worker."""

    def on_ejections_changed(self) -> None:
        """The worker reports another set of ejected upstreams."""

    def on_ended(self, worker: "WorkerProcess", how: str, /) -> None:
        """The process of the worker is gone; called once, with how it ended."""


@define(eq=False)
class WorkerProcess(ProcessProtocol):
    """One worker.

    `listeners` gives the assignments of the worker with a number, and the descriptors
    of their listening sockets by number.
    """

    _log = Logger()
    _reactor: Any
    number: int
    _catalog: VersionedCatalog
    _observer: WorkerObserver
    _listeners: Callable[[int], tuple[Serve, dict[int, int]]]
    #: Writes the worker's part of the access log, if the worker formats it.
    _lines: ConnectionLines | None = None
    _certificates: PublishedCertificates = Factory(PublishedCertificates)
    #: Gives all rows that come and go, as commands.
    _all_rows: Callable[[], Iterator[Amend]] = lambda: iter(())
    #: The worker's last report.
    report: Report = Factory(Report)
    #: The worker's last traffic reports, by assignment.
    traffic: dict[int, MappingTraffic] = Factory(dict)
    #: When the worker was started, by the reactor's clock.
    started: float = 0.0
    pid: int | None = None
    _process: IProcessTransport | None = None
    _fd_channel: socket.socket | None = None
    #: The numbers of the listening sockets that the worker has.
    _given: set[int] = Factory(set)
    _channel: Channel = field(init=False)
    _sender: CatalogSender = field(init=False)
    _printed: Printed = field(init=False)
    _stopping: bool = False
    _is_cut_off: bool = False
    #: How the process ended; None while it runs.
    _how: str | None = None
    #: Commands without an answer yet, by number.
    _unanswered: dict[int, Deferred[str]] = Factory(dict)
    _numbers: "count[int]" = Factory(count)

    def __attrs_post_init__(self) -> None:
        self._sender = CatalogSender(
            self._catalog,
            self._write,
            self._serve,
            self._certificates,
            self._all_rows,
        )
        self._printed = Printed(self._reactor, self._tell)
        self._channel = Channel(
            self._heard, self._lost, self._sender.pause, self._sender.resume
        )

    def start(self, program: Program, setup: Setup, table: int) -> None:
        """Start the process and send its setup.

        :raises OSError: the machine lacks the resources.
        """
        self.started = self._reactor.seconds()
        with ExitStack() as held:
            ours, theirs = map(held.enter_context, socket.socketpair())
            fd_channel, their_fd_channel = socket.socketpair()
            held.enter_context(their_fd_channel)
            fd_channel.setblocking(False)
            self._fd_channel = fd_channel
            try:
                self._adopt(ours)
                self._process = self._spawn(program, theirs, table, their_fd_channel)
            except OSError:
                fd_channel.close()
                raise
        self.pid = self._process.pid
        self._write(write_command(setup))
        self._sender.begin()

    def altered(self) -> None:
        """Send the worker's mappings again, since they have changed."""
        self._sender.altered()

    def amended(self, amend: Amend) -> None:
        """Send a change of rows that come and go."""
        self._sender.amended(amend)

    def certificates_changed(self, of: TLS | str) -> None:
        """Send the certificates of these options, or the passwords of this path."""
        self._sender.certificates_changed(of)

    def changed(self, delta: Delta) -> None:
        """Send a change of the catalog."""
        self._sender.changed(delta)

    def send(self, command: Command) -> None:
        """Send a command."""
        self._write(write_command(command))

    def eject(self, identity: Identity) -> Deferred[str]:
        """Have the worker eject an upstream; fires with "" if it did, else with the
        reason.
        """
        number, answer = next(self._numbers), Deferred[str]()
        self._unanswered[number] = answer
        self.send(Eject(identity, number))

        def late(*_: object) -> str:
            self._unanswered.pop(number, None)
            return f"worker {self.number} does not answer"

        return answer.addTimeout(ANSWER_TIMEOUT, self._reactor, late)

    def _answered(self, number: int, reason: str) -> None:
        answer = self._unanswered.pop(number, None)
        if answer is not None:  # it is None after the timeout
            answer.callback(reason)

    def drain(self) -> None:
        """Order the worker to stop accepting and to exit once nothing is open."""
        self._stopping = True
        self._write(write_command(Drain()))

    def stop(self) -> None:
        """Order the worker to stop, and send nothing else from now on."""
        self._stopping = True
        self._sender.close()
        self._write(write_command(Stop()))

    def kill(self) -> None:
        """Kill the process, if it runs."""
        if self._process is not None:
            with suppress(ProcessExitedAlready):
                self._process.signalProcess(signal.SIGKILL)

    def errReceived(self, data: bytes) -> None:
        """Called by the reactor with output on standard error."""
        self._printed.more(data)

    def processEnded(self, reason: Failure) -> None:
        """Called by the reactor: the process is gone, and all its output is read."""
        self._printed.end()
        self._how = _how(reason)
        if self._is_cut_off:
            self._observer.on_ended(self, self._how)

    def _spawn(
        self,
        program: Program,
        stream: socket.socket,
        table: int,
        fd_channel: socket.socket,
    ) -> IProcessTransport:
        try:
            return spawn(
                self._reactor,
                self,
                program,
                stream.fileno(),
                table,
                fd_channel.fileno(),
            )
        except OSError:
            self._channel.close()
            raise

    def _adopt(self, stream: socket.socket) -> None:
        stream.setblocking(False)
        factory = ProtocolFactory.forProtocol(lambda: self._channel)
        factory.noisy = False
        self._reactor.adoptStreamConnection(stream.fileno(), socket.AF_UNIX, factory)

    def _write(self, data: bytes) -> None:
        self._channel.sendString(data)

    def _serve(self) -> None:
        """Called by the catalog sender: send the worker's current mappings."""
        assert self._fd_channel is not None
        try:
            serve, sockets = self._listeners(self.number)
            news = {each: sockets[each] for each in sockets if each not in self._given}
            send_sockets(self._fd_channel, news)
        except (OSError, CannotListen) as error:
            # The worker does not read its sockets and so hangs; or the master lacks
            # resources.
            self._tell(f"cannot be sent its sockets: {error}; killed")
            self.kill()
            return
        self._given = set(sockets)
        self._write(write_command(evolve(serve, sent=len(news))))

    def _tell(self, line: str) -> None:
        self._log.warn(
            "worker {worker} (process {pid}): {line}",
            worker=self.number,
            pid=self.pid,
            line=line,
        )

    def _heard(self, data: bytes) -> None:
        kind, payload = data[:1], data[1:]
        try:
            if kind == LOG:
                globalLogPublisher({**read_event(payload), "worker": self.number})
            elif kind == LINES and self._lines is not None:
                self._lines.pass_on(payload)
            elif kind == REPORT:
                self._reported(read_report(payload))
            elif kind == TRAFFIC:
                number, changes = read_traffic(payload)
                traffic = self.traffic.setdefault(number, MappingTraffic())
                before = traffic.ejected.keys()
                apply_changes(traffic, changes)
                if traffic.ejected.keys() != before:
                    self._observer.on_ejections_changed()
            elif kind == ANSWER:
                self._answered(*read_answer(payload))
            else:
                raise ValueError(f"unknown kind of message: {kind!r}")
        except Exception:  # invalid data may raise anything
            self._log.failure(
                "worker {worker} sent an invalid message: killed", worker=self.number
            )
            self.kill()

    def _reported(self, report: Report) -> None:
        if report.serves and not self.report.serves:
            self._log.info(
                "worker {worker} (process {pid}) serves",
                worker=self.number,
                pid=self.pid,
            )
        self.report = report

    def _lost(self) -> None:
        """Called by the channel: the stream has ended, and with it the worker's use."""
        self._is_cut_off = True
        for number in tuple(self._unanswered):
            self._answered(number, f"worker {self.number} has ended")
        if self._fd_channel is not None:
            self._fd_channel.close()
        if self._process is None:  # it was never started
            return
        if self._how is None:
            self._look(self._reactor.seconds())
        else:  # all it wrote before is read
            self._observer.on_ended(self, self._how)

    def _look(self, since: float) -> None:
        if self._how is None:
            reapAllProcesses()
            if not self._stopping and self._reactor.seconds() - since >= GRACE:
                self.kill()
            self._reactor.callLater(_LOOK, self._look, since)


def _how(reason: Failure) -> str:
    """How a process ended, in words."""
    error = reason.value
    if isinstance(error, ProcessTerminated) and error.signal is not None:
        return f"signal {error.signal}"
    return f"exit status {getattr(error, 'exitCode', 0)}"
