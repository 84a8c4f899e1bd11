"""A worker process: serves mappings with the instances that its master sends.

Run by `lbconsul.workers.__main__`, with three descriptors: the stream to the master,
the shared table, and the channel on which listening sockets are passed.
"""

import os
import random
import socket
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from attrs import Factory, define, evolve, field
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, globalLogBeginner

from lbconsul.balance.events import RegistryEvent
from lbconsul.balance.pool_spec import FailoverSpec
from lbconsul.balance.registry import Registry
from lbconsul.config.model import Mapping
from lbconsul.net.fd_passing import receive_sockets
from lbconsul.net.listening_socket import BorrowedSocket
from lbconsul.net.periodic import repeat
from lbconsul.process.clock import use_monotonic_clock
from lbconsul.process.fd_limit import connections, descriptor_limit
from lbconsul.process.garbage import ShortCollections
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.listener_manager import ListenerManager
from lbconsul.proxy.runtime import ProxyRuntime
from lbconsul.proxy.targets import failover_spec
from lbconsul.proxy.upstream_log import UpstreamLog
from lbconsul.stats.termination import Termination
from lbconsul.workers.catalog_replica import CatalogReplica, KnownSlots
from lbconsul.workers.channel import Channel
from lbconsul.workers.log_forwarder import LogForwarder
from lbconsul.workers.messages import (
    CatalogChunk,
    Command,
    Count,
    Drain,
    Eject,
    Report,
    Serve,
    SetDrained,
    Setup,
    SyncComplete,
    read_order,
    write_answer,
)
from lbconsul.workers.shared_counter import RECOUNT_EVERY, SharedTally
from lbconsul.workers.shared_table import Table
from lbconsul.workers.spawn import CONTROL, LANE, TABLE
from lbconsul.workers.traffic_messages import write_traffic

#: Clients accepted in one turn.  All workers accept from one queue: a worker that takes
#: few leaves some to the others, and loses few if it hangs.
AT_ONCE = 4

#: How often a changed report is sent to the master, in seconds.
REPORT_EVERY = 1.0

#: A change of an upstream's standing is reported sooner: after this many seconds, which
#: batches several.
REPORT_SOON = 0.1


@define(eq=False)
class Worker:
    """Carries out the master's commands until the stream to the master ends."""

    _log = Logger()
    _reactor: Any
    _table: int = TABLE
    _lane: socket.socket = Factory(lambda: socket.socket(fileno=LANE))
    frames: Channel = field(init=False)
    uplink: LogForwarder = field(init=False)
    _connection_limit: ConnectionLimit = field(init=False)
    _upstream_log: UpstreamLog = field(init=False)
    _counter: SharedTally = field(init=False)
    _registry: Registry = field(init=False)
    _replica: CatalogReplica = field(init=False)
    _runtime: ProxyRuntime | None = None
    _serving: ListenerManager = field(init=False)
    #: The listening sockets by number.
    _sockets: dict[int, BorrowedSocket] = Factory(dict)
    #: Sockets received but not used yet: numbers and descriptors.
    _received: deque[tuple[int, int]] = Factory(deque)
    #: What only other workers serve.
    _others: set[FailoverSpec] = Factory(set)
    #: The mappings served, by the number of the assignment.
    _listeners: dict[int, Mapping] = Factory(dict)
    #: What was last sent to the master, by assignment.
    _told: dict[int, bytes] = Factory(dict)
    #: The pools last reported as used, by assignment.
    _told_used: dict[int, set[int]] = Factory(dict)
    #: Assignments last reported with queued connections or ejected upstreams: these can
    #: end without any other change, so they are compared each time.
    _passing: set[int] = Factory(set)
    #: The current round of statistics, sent a few mappings at a time.
    _telling: Iterator[None] | None = None
    #: The steps still to do of the last `Serve` command.
    _replacing: Iterator[object] | None = None
    _draining: bool = False
    _stopping: bool = False
    _reported: Report | None = None
    _calls: list[LoopingCall] = Factory(list)
    #: The delayed call of the next early report about upstreams.
    _soon: Any = None
    #: The exit status.
    status: int = 0

    def __attrs_post_init__(self) -> None:
        self.uplink = LogForwarder(lambda data: self.frames.sendString(data))
        self.frames = Channel(
            self.ordered, self._lost, self.uplink.pause, self.uplink.resume
        )
        self._lane.setblocking(False)
        # Each process has its own limit of descriptors, though the master has set it.
        self._connection_limit = ConnectionLimit(
            self._reactor, connections(descriptor_limit())
        )
        self._upstream_log = UpstreamLog(self._reactor)

    def ordered(self, data: bytes) -> None:
        """Called by the channel with a command; ignored once the worker is ending."""
        if self._stopping:
            return
        try:
            self._obey(read_order(data))
        except Exception as error:
            self._fail(error)

    def _obey(self, order: Command) -> None:
        if not isinstance(order, CatalogChunk):
            self._finish_replacing()
        if self._draining and isinstance(order, Serve | SyncComplete):
            return  # it was sent before the master knew
        if isinstance(order, Setup):
            self._set_up(order)
        elif isinstance(order, Serve):
            self._serve(order)
        elif isinstance(order, CatalogChunk):
            if self._replica.take(order):
                self._serving.answered(order.question)
                self._report()
        elif isinstance(order, SyncComplete):
            self._accept()
            self._report()
        elif isinstance(order, SetDrained):
            self._registry.set_drained(order.drained)
        elif isinstance(order, Eject):
            reason = self._registry.eject(order.identity)
            self._tell_all()  # before the answer to the command
            self.uplink.say(write_answer(order.number, reason))
        elif isinstance(order, Drain):
            self._draining = True
            self._report()
            self._serving.drain().addCallback(lambda _: self._stop())
        else:
            self._stop()

    def _set_up(self, setup: Setup) -> None:
        slots = KnownSlots()
        table = Table(self._table, setup.rows)
        self._counter = SharedTally(table, setup.row, slots.find)
        self._registry = Registry(
            random.random,
            self._counter,
            seconds=self._reactor.seconds,
            on_event=self._on_event,
        )
        self._replica = CatalogReplica(self._registry, slots, self._counter.load)
        runtime = self._runtime = ProxyRuntime(
            self._reactor, self._registry, connection_limit=self._connection_limit
        )
        self._serving = ListenerManager(
            runtime, AT_ONCE, self._counter.is_overloaded, self._let_go
        )
        self._calls += [
            repeat(self._reactor, REPORT_EVERY, self._report),
            repeat(self._reactor, REPORT_EVERY, self._report_stats),
            repeat(self._reactor, RECOUNT_EVERY, self._counter.recount),
        ]

    def _serve(self, order: Serve) -> None:
        """Carry out a `Serve` command with the sockets that were sent for it."""
        assert self._runtime is not None
        self._received += receive_sockets(self._lane)
        for _ in range(order.sent):  # further ones belong to later commands
            number, descriptor = self._received.popleft()
            self._sockets[number] = BorrowedSocket(socket.socket(fileno=descriptor))
        anew = order.connection_log != self._runtime.connection_log
        self._runtime.connection_log = order.connection_log
        self._others = {failover_spec(each) for each in order.others}
        wanted = {each.number: each.mapping for each in order.places}
        self._listeners = wanted
        self._told = {each: self._told[each] for each in wanted if each in self._told}
        self._replacing = self._replace(wanted, anew=anew)
        self._runtime.sweeper.begin(self._replacing)

    def _replace(self, wanted: dict[int, Mapping], *, anew: bool) -> Iterator[object]:
        yield from self._serving.replacing(
            [(mapping, self._sockets[each]) for each, mapping in wanted.items()],
            anew=anew,
        )
        for number in self._sockets.keys() - wanted.keys():
            self._sockets.pop(number).close()
        self._replacing = None

    def _finish_replacing(self) -> None:
        """Finish the last `Serve` command at once."""
        steps = self._replacing
        if steps is not None:
            assert self._runtime is not None
            self._runtime.sweeper.drop(steps)
            for _ in steps:
                pass

    def _let_go(self) -> None:
        assert self._runtime is not None
        # Instances may have been sent for mappings that are not served yet.
        told = {failover_spec(each) for each in self._listeners.values()}
        self._registry.keep_only(self._runtime.routes | told | self._others)

    def _accept(self) -> None:
        """Start accepting: the worker has the whole catalog."""
        self._counter.serve()
        self._serving.startService()

    def _state(self) -> Report:
        assert self._runtime is not None
        count = Count(self._runtime.accepted, self._runtime.open)
        leases = self._registry.open_connections()
        serves = bool(self._serving.running) and not self._draining
        full = tuple((each.reason, each.mapping) for each in self._serving.full)
        return Report(self._replica.level, count, leases, serves, full)

    def _report(self) -> None:
        report = self._state()
        if report != self._reported:
            self._reported = report
            self.uplink.report(report)

    def _on_event(self, event: RegistryEvent) -> None:
        """Called by the registry, for instance when an upstream is ejected."""
        self._upstream_log.tell(event)
        if self._soon is None and not self._stopping:
            self._soon = self._reactor.callLater(REPORT_SOON, self._report_soon)

    def _report_soon(self) -> None:
        self._soon = None
        if self._telling is None:
            self._report_stats()
        else:  # a round may have passed its mapping
            self._soon = self._reactor.callLater(REPORT_SOON, self._report_soon)

    def _report_stats(self) -> None:
        """Start sending changed statistics to the master, a few mappings at a time."""
        assert self._runtime is not None
        if self._telling is None:
            self._telling = self._tell_stats()
            self._runtime.sweeper.begin(self._telling)

    def _tell_all(self) -> None:
        """Send all changed statistics to the master at once."""
        for _ in self._tell_stats():
            pass

    def _tell_stats(self) -> Iterator[None]:
        for number in tuple(self._listeners):
            if not self.uplink.is_free:  # an unread delta would be lost
                break
            mapping = self._listeners.get(number)
            if mapping is not None:
                self._tell_news(number, mapping)
            yield
        self._telling = None

    def _tell_news(self, number: int, mapping: Mapping) -> None:
        runtime = self._runtime
        assert runtime is not None
        used = runtime.used(mapping)
        is_old = number in self._told and number not in self._passing
        if (
            is_old
            and used == self._told_used.get(number)
            and not runtime.has_news(mapping)
        ):
            return
        told, self._told_used[number] = runtime.traffic(mapping), used
        if told.queued or told.ejected:
            self._passing.add(number)
        else:
            self._passing.discard(number)
        said = write_traffic(number, told)
        if said != self._told.get(number):
            self._told[number] = said
            self.uplink.say(said)

    def _stop(self) -> None:
        """Send the final report and exit."""
        if self._stopping:
            return
        self._stopping = True
        self._tell_all()
        before = self._state()
        self.uplink.hurry()
        self._close()
        leases = self._registry.open_connections()
        self.uplink.report(evolve(before, leases=leases))
        self.frames.finish()

    def _fail(self, error: Exception) -> None:
        """Exit after a command that failed, and log the error in every way there is."""
        self._stopping, self.status = True, 1
        with suppress(OSError):
            print(f"a command failed: {error!r}", file=sys.stderr, flush=True)
        self._log.failure("a bug in lbconsul: a command failed, so this worker ends")
        self._close(Termination.WORKER_DIED)
        self.uplink.hurry()
        self.frames.finish()

    def _lost(self) -> None:
        """Called by the channel: the master is gone, or has read the last message."""
        self._stopping = True
        self._close()
        self._reactor.stop()

    def _close(self, ending: Termination = Termination.HARD_STOP) -> None:
        """Stop accepting, and close what is open."""
        for call in self._calls:
            call.stop()
        self._calls.clear()
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._lane.close()
        if self._runtime is not None:
            self._serving.stopService()
            self._serving.close_connections(ending)
        self._upstream_log.stop()


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
    factory = ProtocolFactory.forProtocol(lambda: worker.frames)
    factory.noisy = False
    reactor.adoptStreamConnection(CONTROL, socket.AF_UNIX, factory)
    os.close(CONTROL)  # the reactor has its own copy
    ShortCollections().start()
    reactor.run(installSignalHandlers=False)
    return worker.status
