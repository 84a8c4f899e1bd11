"""A worker process: serves mappings with the instances that its master sends.

Run by `lbconsul.workers.__main__`, with three descriptors: the stream to the master,
the shared table, and the channel on which listening sockets are passed.
"""

import os
import random
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum, auto
from functools import partial, singledispatchmethod
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, evolve, field
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, globalLogBeginner

from lbconsul.balance.events import RegistryEvent
from lbconsul.balance.registry import Registry
from lbconsul.balance.split import Credits, LocalCredits
from lbconsul.config.model import TLS, Mapping
from lbconsul.extensions.extensions import Extensions
from lbconsul.limits.row_limits import Limiting
from lbconsul.logs.connection_lines import ConnectionLines
from lbconsul.net.periodic import repeat
from lbconsul.process.clock import WallClock, use_monotonic_clock
from lbconsul.process.fd_limit import connections, descriptor_limit
from lbconsul.process.garbage import ShortCollections
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.listener_manager import ListenerManager
from lbconsul.proxy.runtime import ProxyRuntime
from lbconsul.proxy.upstream_log import UpstreamLog
from lbconsul.stats.termination import Termination
from lbconsul.workers.assignments import Assignments
from lbconsul.workers.catalog_replica import CatalogReplica, KnownSlots
from lbconsul.workers.channel import Channel
from lbconsul.workers.log_forwarder import LogForwarder
from lbconsul.workers.messages import (
    Amend,
    CatalogChunk,
    CertificatesChunk,
    Command,
    Count,
    Drain,
    Eject,
    KeepCertificates,
    KeepPasswords,
    Report,
    Serve,
    SetCheckResults,
    SetDrained,
    Setup,
    Stop,
    SyncComplete,
    UsePasswords,
    read_command,
    write_answer,
)
from lbconsul.workers.received_certificates import ReceivedCertificates
from lbconsul.workers.reporter import Reporter
from lbconsul.workers.shared_counter import RECOUNT_EVERY, SharedCounter
from lbconsul.workers.shared_credits import SharedCredits
from lbconsul.workers.shared_table import Table
from lbconsul.workers.spawn import CONTROL, FD_CHANNEL, TABLE

if TYPE_CHECKING:  # OpenSSL takes memory that mappings without TLS do without
    from lbconsul.tls.server import TLSServer

#: Clients accepted in one turn.  All workers accept from one queue: a worker that takes
#: few leaves some to the others, and loses few if it hangs.
AT_ONCE = 4


class State(Enum):
    """What a worker does."""

    #: It waits for the master's `Setup`.
    NEW = auto()
    #: It does what the master commands.
    RUNNING = auto()
    #: It accepts no clients, and lets open connections end.
    DRAINING = auto()
    #: Everything is closed, or about to be; further commands are ignored.
    ENDING = auto()


@define(eq=False)
class Worker:
    """Carries out the master's commands until the stream to the master ends."""

    _log = Logger()
    _reactor: Any
    _table: int = TABLE
    _fd_channel: socket.socket = Factory(lambda: socket.socket(fileno=FD_CHANNEL))
    channel: Channel = field(init=False)
    uplink: LogForwarder = field(init=False)
    _connection_limit: ConnectionLimit = field(init=False)
    _upstream_log: UpstreamLog = field(init=False)
    _extensions: Extensions = field(init=False)
    _counter: SharedCounter = field(init=False)
    _registry: Registry = field(init=False)
    _replica: CatalogReplica = field(init=False)
    _runtime: ProxyRuntime = field(init=False)
    _listeners: ListenerManager = field(init=False)
    _reporter: Reporter = field(init=False)
    _state: State = State.NEW
    _assignments: Assignments = field(init=False)
    _certificates: ReceivedCertificates = field(init=False)
    #: Corrects the counts of the shared table periodically.
    _recounting: LoopingCall = field(init=False)
    #: The exit status.
    status: int = 0

    def __attrs_post_init__(self) -> None:
        self.uplink = LogForwarder(
            self._reactor, lambda data: self.channel.sendString(data)
        )
        self.channel = Channel(
            self.on_command, self._lost, self.uplink.pause, self.uplink.resume
        )
        self._fd_channel.setblocking(False)
        self._assignments = Assignments(self._fd_channel)
        # Each process has its own limit of descriptors, though the master has set it.
        self._connection_limit = ConnectionLimit(
            self._reactor, connections(descriptor_limit())
        )
        self._upstream_log = UpstreamLog(self._reactor)
        self._extensions = Extensions(self._reactor)

    def on_command(self, data: bytes) -> None:
        """Called by the channel with a command; ignored once the worker is ending."""
        if self._state is State.ENDING:
            return
        try:
            command = read_command(data)
            if not isinstance(command, CatalogChunk | CertificatesChunk | UsePasswords):
                self._assignments.finish()
            self._handle(command)
        except Exception as error:
            self._fail(error)

    @singledispatchmethod
    def _handle(self, command: Command) -> None:
        """Carry out one command."""
        raise TypeError(f"not a command: {command!r}")

    @_handle.register
    def _set_up(self, setup: Setup) -> None:
        slots = KnownSlots()
        table = Table(self._table, setup.rows)
        self._counter = SharedCounter(table, setup.row, slots.find)
        self._registry = Registry(
            random.random,
            self._counter,
            seconds=self._reactor.seconds,
            on_event=self._on_event,
            policies=self._extensions.policy,
        )
        self._replica = CatalogReplica(self._registry, slots, self._counter.load)
        lines = setup.line_format
        self._runtime = ProxyRuntime(
            self._reactor,
            self._registry,
            connection_writer=None
            if lines is None
            else ConnectionLines(lines, self.uplink.write_line, setup.row),
            connection_limit=self._connection_limit,
            needed_elsewhere=lambda: self._assignments.needed,
            hooks=self._extensions.hooks,
            limiting=Limiting(
                lambda: table.rates,
                lambda row: table.requests.count(
                    self._assignments.number(row), setup.row
                ),
            ),
            credits=partial(self._credits, table, setup.row),
        )
        # The master forgets what it asks no more.
        self._runtime.asked = lambda: slots.queries
        self._listeners = ListenerManager(
            self._runtime, AT_ONCE, self._counter.is_overloaded
        )
        self._certificates = ReceivedCertificates(
            self._runtime.sweeper,
            WallClock(self._reactor.seconds),
            self._use_certificates,
        )
        self._reporter = Reporter(
            self._reactor, self.uplink, self._runtime, self._report
        )
        self._reporter.start()
        self._recounting = repeat(self._reactor, RECOUNT_EVERY, self._counter.recount)
        self._state = State.RUNNING

    @_handle.register
    def _serve(self, command: Serve) -> None:
        """Serve mappings with the sockets that were sent for this command."""
        if self._state is State.DRAINING:
            return  # it was sent before the master knew
        self._runtime.cookie_tokens.use(command.cookie_keys)
        self._assignments.receive(command)
        self._reporter.serve(self._assignments.rows)
        renew = command.connection_log != self._runtime.connection_log
        self._runtime.connection_log = command.connection_log
        self._assignments.serve(self._runtime, self._listeners, renew=renew)

    @_handle.register
    def _amend(self, command: Amend) -> None:
        """Have rows of a mapping come and go."""
        if self._state is State.DRAINING:
            return  # it was sent before the master knew
        self._assignments.amend(command)
        self._reporter.serve(self._assignments.rows)
        self._listeners.amend(command.changes)

    @_handle.register
    def _take_chunk(self, chunk: CatalogChunk) -> None:
        if self._replica.take(chunk):
            self._listeners.answered(chunk.query)
            self._reporter.report()

    @_handle.register
    def _take_certificates(self, chunk: CertificatesChunk) -> None:
        self._certificates.take(chunk)

    @_handle.register
    def _keep_certificates(self, command: KeepCertificates) -> None:
        self._runtime.acceptors.keep_only(command.wanted)

    @_handle.register
    def _use_passwords(self, command: UsePasswords) -> None:
        self._runtime.authenticators.use(command.path, command.passwords)

    @_handle.register
    def _keep_passwords(self, command: KeepPasswords) -> None:
        self._runtime.authenticators.keep_only(command.wanted)

    @_handle.register
    def _accept(self, command: SyncComplete) -> None:
        """Start accepting: the worker has the whole catalog."""
        if self._state is State.DRAINING:
            return  # it was sent before the master knew
        self._counter.serve()
        self._listeners.startService()
        self._reporter.report()

    @_handle.register
    def _set_drained(self, command: SetDrained) -> None:
        self._registry.set_drained(command.drained)

    @_handle.register
    def _set_check_results(self, command: SetCheckResults) -> None:
        for query in self._registry.set_check_results(command.changes):
            self._listeners.answered(query)

    @_handle.register
    def _eject(self, command: Eject) -> None:
        reason = self._registry.eject(command.identity)
        self._reporter.report_traffic()  # before the answer to the command
        self.uplink.say(write_answer(command.number, reason))

    @_handle.register
    def _drain(self, command: Drain) -> None:
        self._state = State.DRAINING
        self._reporter.report()
        self._listeners.drain().addCallback(lambda _: self._stop())

    @_handle.register
    def _handle_stop(self, command: Stop) -> None:
        self._stop()

    def _credits(self, table: Table, row: int, parts: Sequence[Mapping]) -> Credits:
        """The credits of the parts of a split, which all workers share."""
        slots = self._assignments.slots(parts)
        if slots is None:
            return LocalCredits.of(len(parts))
        return SharedCredits(table, row, slots)

    def _report(self) -> Report:
        """The worker's present state, for the master."""
        count = Count(self._runtime.accepted, self._runtime.open)
        leases = self._registry.open_connections()
        serves = bool(self._listeners.running) and self._state is not State.DRAINING
        full = tuple((each.reason, each.mapping) for each in self._listeners.full)
        counts = self._extensions.faults.counts
        faults = tuple((*fault, times) for fault, times in counts.items())
        return Report(self._replica.version, count, leases, serves, full, faults)

    def _on_event(self, event: RegistryEvent) -> None:
        """Called by the registry, for instance when an upstream is ejected."""
        self._upstream_log.tell(event)
        self._reporter.report_traffic_soon()

    def _use_certificates(self, tls: TLS, server: "TLSServer") -> None:
        self._runtime.acceptors.use(tls, server)
        self._listeners.certificates_loaded()

    def _stop(self) -> None:
        """Send the final report and exit."""
        if self._state is State.ENDING:
            return
        self._reporter.report_traffic()
        before = self._report()
        self.uplink.hurry()
        self._close()
        leases = self._registry.open_connections()
        self.uplink.report(evolve(before, leases=leases))
        self.channel.finish()

    def _fail(self, error: Exception) -> None:
        """Exit after a command that failed, and log the error in every way there is."""
        self.status = 1
        with suppress(OSError):
            print(f"a command failed: {error!r}", file=sys.stderr, flush=True)
        self._log.failure("a bug in lbconsul: a command failed, so this worker ends")
        self._close(Termination.WORKER_DIED)
        self.uplink.hurry()
        self.channel.finish()

    def _lost(self) -> None:
        """Called by the channel: the master is gone, or has read the last message."""
        self._close()
        self._reactor.stop()

    def _close(self, termination: Termination = Termination.HARD_STOP) -> None:
        """Stop accepting, and close what is open."""
        before, self._state = self._state, State.ENDING
        if before is State.ENDING:
            return
        self._assignments.close()
        if before is not State.NEW:
            self._reporter.stop()
            self._recounting.stop()
            self._listeners.stopService()
            self._listeners.close_connections(termination)
        self._upstream_log.stop()
        self._extensions.faults.stop()


def run() -> int:
    """Serve until the master stops this worker or is gone; return the exit status."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    # This clock is the same for all processes of a machine (clock_gettime(2)), so the
    # master can compare times across processes.
    use_monotonic_clock(reactor)
    worker = Worker(reactor)
    globalLogBeginner.beginLoggingTo(
        [worker.uplink], discardBuffer=True, redirectStandardIO=False
    )
    factory = ProtocolFactory.forProtocol(lambda: worker.channel)
    factory.noisy = False
    reactor.adoptStreamConnection(CONTROL, socket.AF_UNIX, factory)
    os.close(CONTROL)  # the reactor has its own copy
    ShortCollections().start()
    reactor.run(installSignalHandlers=False)
    return worker.status
