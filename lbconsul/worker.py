"""A worker process: serves mappings whose instances its master knows.

Run by `lbconsul.worker_main`, with the stream to the master, the table, and the
listening sockets as descriptors.
"""

import gc
import os
import random
import socket
import sys
from contextlib import suppress
from typing import Any

from attrs import Factory, define, evolve, field
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, globalLogBeginner

from lbconsul.balance.registry import Registry
from lbconsul.proxy.bind import LentSocket
from lbconsul.proxy.factory import ProxyFactory
from lbconsul.proxy.listener import Listener
from lbconsul.proxy.poller import Poller, open_poller
from lbconsul.proxy.selecting import selection_of
from lbconsul.proxy.splice import Pipes
from lbconsul.proxy.standings import tell
from lbconsul.workers.frames import Frames
from lbconsul.workers.logs import Uplink
from lbconsul.workers.messages import (
    Complete,
    Count,
    Order,
    Part,
    Place,
    Report,
    Setup,
    read_order,
)
from lbconsul.workers.repeat import repeat
from lbconsul.workers.replica import KnownSlots, Replica
from lbconsul.workers.spawn import CONTROL, TABLE
from lbconsul.workers.table import Table
from lbconsul.workers.tally import RECOUNT_EVERY, SharedTally

#: Clients accepted in one turn.  All workers accept from one queue: one that
#: takes few leaves the others some, and loses few if it hangs.
AT_ONCE = 4

#: How often the master is told how we are, if that has changed, in seconds.
REPORT_EVERY = 1.0


@define(eq=False)
class Served:
    """A mapping that is served; without a listener others have our share."""

    factory: ProxyFactory
    listener: Listener | None


@define(eq=False)
class Worker:
    """Does what its master says, for as long as there is one."""

    _log = Logger()
    _reactor: Any
    _table: int = TABLE
    frames: Frames = field(init=False)
    uplink: Uplink = field(init=False)
    _poller: Poller = field(init=False)
    _pipes: Pipes = Factory(Pipes)
    _tally: SharedTally = field(init=False)
    _registry: Registry = field(init=False)
    _replica: Replica = field(init=False)
    _served: list[Served] = Factory(list)
    _serves: bool = False
    _stopping: bool = False
    _reported: Report | None = None
    _calls: list[LoopingCall] = Factory(list)
    #: With which status to exit.
    status: int = 0

    def __attrs_post_init__(self) -> None:
        self.uplink = Uplink(lambda data: self.frames.sendString(data))
        self.frames = Frames(
            self.ordered, self._lost, self.uplink.pause, self.uplink.resume
        )
        self._poller = open_poller(self._reactor)

    def ordered(self, data: bytes) -> None:
        """The master says what is to be done; nothing counts after the end."""
        if self._stopping:
            return
        try:
            self._obey(read_order(data))
        except Exception as error:
            self._fail(error)

    def _obey(self, order: Order) -> None:
        if isinstance(order, Setup):
            self._set_up(order)
        elif isinstance(order, Part):
            if self._replica.take(order):
                self._report()
        elif isinstance(order, Complete):
            self._accept()
            self._report()
        else:
            self._stop()

    def _set_up(self, setup: Setup) -> None:
        slots = KnownSlots()
        table = Table(self._table, setup.rows)
        self._tally = SharedTally(table, setup.row, slots.find)
        self._registry = Registry(
            random.random, self._tally, seconds=self._reactor.seconds, told=tell
        )
        self._replica = Replica(self._registry, slots, self._tally.load)
        for place in setup.places:
            self._served.append(self._serve(place, setup.connection_log))
        self._calls += [
            repeat(self._reactor, REPORT_EVERY, self._report),
            repeat(self._reactor, RECOUNT_EVERY, self._tally.recount),
        ]

    def _serve(self, place: Place, connection_log: bool) -> Served:
        selection = selection_of(place.mapping)
        self._registry.pool(selection)
        factory = ProxyFactory(
            self._poller,
            self._reactor,
            self._registry,
            selection,
            place.mapping,
            connection_log,
            pipes=self._pipes,
        )
        if place.descriptor is None:
            return Served(factory, None)
        lent = LentSocket(socket.socket(fileno=place.descriptor))
        # Of a limit each worker has its share: to have many is no reason to wait.
        is_limited = place.mapping.max_connections > 0
        gives_way = None if is_limited else self._tally.is_ahead
        listener = Listener(
            self._reactor, self._reactor, factory, lent, AT_ONCE, gives_way
        )
        factory.ended = listener.connection_ended
        factory.starved = listener.starved
        return Served(factory, listener)

    def _accept(self) -> None:
        """Accept from now on: we know what there is to know."""
        self._serves = True
        self._tally.serve()
        for each in self._served:
            if each.listener:
                each.listener.startService()

    def _state(self) -> Report:
        counts = tuple(
            Count(each.factory.accepted, each.factory.open) for each in self._served
        )
        leases = self._registry.open_connections()
        return Report(self._replica.level, counts, leases, self._serves)

    def _report(self) -> None:
        report = self._state()
        if report != self._reported:
            self._reported = report
            self.uplink.report(report)

    def _stop(self) -> None:
        """End in order, and let the master know how it was."""
        self._stopping = True
        self._refuse()
        before = self._state()
        self.uplink.hurry()
        self._close_connections()
        leases = self._registry.open_connections()
        self.uplink.report(evolve(before, leases=leases))
        self.frames.finish()

    def _fail(self, error: Exception) -> None:
        """End, since we cannot do what we are told; say why in every way we have."""
        self._stopping, self.status = True, 1
        with suppress(OSError):
            print(f"cannot do what it is told: {error!r}", file=sys.stderr, flush=True)
        self._log.failure("a bug in lbconsul: a worker cannot do what it is told")
        self._refuse()
        self._close_connections()
        self.uplink.hurry()
        self.frames.finish()

    def _lost(self) -> None:
        """The master is gone, or has heard our last word."""
        self._refuse()
        self._close_connections()
        self._poller.stop()
        self._reactor.stop()

    def _refuse(self) -> None:
        for each in self._served:
            if each.listener and each.listener.running:
                each.listener.stopService()

    def _close_connections(self) -> None:
        for call in self._calls:
            call.stop()
        self._calls.clear()
        for each in self._served:
            each.factory.close_connections()


def run() -> int:
    """Serve until the master says so, or is gone; the exit status."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    worker = Worker(reactor)
    globalLogBeginner.beginLoggingTo(
        [worker.uplink], discardBuffer=True, redirectStandardIO=False
    )
    factory = ProtocolFactory.forProtocol(lambda: worker.frames)
    factory.noisy = False
    reactor.adoptStreamConnection(CONTROL, socket.AF_UNIX, factory)
    os.close(CONTROL)  # it is the reactor's now
    gc.freeze()  # what there is by now stays: no collection looks through it
    reactor.run(installSignalHandlers=False)
    return worker.status
