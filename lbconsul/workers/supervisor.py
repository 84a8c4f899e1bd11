"""The master's side: keeps worker processes running and sends them the catalog."""

from collections.abc import Callable, Iterable
from collections.abc import Mapping as AbstractMapping
from typing import Any

from attrs import Factory, define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lbconsul.balance.events import Change
from lbconsul.balance.instance import Identity
from lbconsul.balance.outlier import Ejection
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.model import Mapping
from lbconsul.errors import CannotListen
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.net.periodic import repeat
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.workers.listeners import ListenerSet
from lbconsul.workers.messages import SetDrained, Setup
from lbconsul.workers.restart_backoff import Backoff
from lbconsul.workers.shared_counter import RECOUNT_EVERY, SharedTally
from lbconsul.workers.shared_table import SLOTS, Table
from lbconsul.workers.slots import Slots
from lbconsul.workers.spawn import Program, worker_program
from lbconsul.workers.versioned_catalog import VersionedCatalog
from lbconsul.workers.worker_process import WorkerProcess

#: The terminations of connections whose worker dies, and of those open at a hard stop:
#: `lbconsul.stats.termination`.
_WORKER_DIED, _HARD_STOP = "KW", "KH"

#: How a worker ends that was ordered to.
_IN_ORDER = "exit status 0"

#: How long workers may take to exit when stopped before they are killed, in seconds.
PATIENCE = 10.0


@define(eq=False, repr=False)
class Supervisor(Service):
    """Runs `count` workers, each of which serves all mappings.

    :raises OSError: at creation, the machine lacks memory for the shared table.
    :raises NoWorkers: at creation, it cannot be determined how to start workers.
    """

    _log = Logger()
    _reactor: Any
    count: int
    _connection_log: bool
    _listeners: ListenerSet = field(init=False)
    counter: SharedTally = field(init=False)
    _table: Table = field(init=False)
    _catalog: VersionedCatalog = field(init=False)
    _program: Program = Factory(worker_program)
    _members: dict[int, WorkerProcess] = Factory(dict)
    _backoff: Backoff = Factory(Backoff)
    #: The delayed calls that will restart workers, by number.
    _waiting: dict[int, Any] = Factory(dict)
    #: Connections accepted by workers that have ended; and at the end, how many were
    #: closed and how many leases were left.
    accepted: int = 0
    closed: int = 0
    leases: int = 0
    #: The traffic that ended workers had reported, by assignment.
    _past: dict[int, MappingStats] = Factory(dict)
    #: Called when the workers' set of ejected upstreams changes.
    learned: Callable[[], None] = lambda: None
    #: The registrations that an operator has drained, with their CreateIndex.
    _drained: AbstractMapping[Identity, int] = Factory(dict)
    #: Fired once the last worker has ended.
    _waiting_for_all: list[Deferred[None]] = Factory(list)
    _draining: bool = False
    _is_full: bool = False
    _recounting: LoopingCall | None = None

    def __attrs_post_init__(self) -> None:
        self._listeners = ListenerSet(self.count, self._connection_log)
        self._table = Table.create(1 + self.count)
        self._catalog = VersionedCatalog(Slots(SLOTS))
        self.counter = SharedTally(self._table, 0, self._catalog.slots.take)

    @property
    def mappings(self) -> list[Mapping]:
        """The served mappings."""
        return self._listeners.mappings

    def serve(self, sock: OwnedSocket) -> None:
        """Serve a socket's mapping in addition to the others."""
        self._listeners.add(sock)
        self._altered()

    def replace(self, sockets: Iterable[OwnedSocket], *, connection_log: bool) -> None:
        """Serve the mappings of these sockets, in their current form, and no others."""
        self._listeners.replace(sockets, connection_log)
        self._altered()

    def forget(self, question: ServiceQuery) -> None:
        """Send the workers that a query is no longer asked."""
        delta = self._catalog.forget(question)
        if delta is not None:
            for member in self._members.values():
                member.changed(delta)

    def changed(
        self, question: ServiceQuery, change: Change, *, pending: bool = False
    ) -> None:
        """Send the workers a change of an answer, which may be `pending`."""
        delta = self._catalog.change(question, change, pending=pending)
        if delta is None:
            return
        for member in self._members.values():
            member.changed(delta)
        find = self._catalog.slots.find
        if not self._is_full and any(find(each.identity) is None for each in delta.put):
            self._is_full = True
            self._log.warn(
                "there are more than {slots} instances: each worker balances for"
                " itself over the further ones",
                slots=SLOTS,
            )

    def traffic(self, mapping: Mapping) -> MappingTraffic:
        """A mapping's traffic over all workers, ended ones included."""
        number = self._listeners.number(mapping)
        if number is None:
            return MappingTraffic()
        past = [MappingTraffic(self._past[number])] if number in self._past else []
        told = [each.traffic.get(number) for each in self._members.values()]
        return MappingTraffic.sum(past + [each for each in told if each is not None])

    def ejected(
        self, mapping: Mapping
    ) -> dict[tuple[int, Identity], tuple[Ejection, float]]:
        """A mapping's upstreams that workers have ejected, as in `MappingTraffic`."""
        number = self._listeners.number(mapping)
        if number is None:
            return {}
        told = [each.traffic.get(number) for each in self._members.values()]
        return {k: v for each in told if each for k, v in each.ejected.items()}

    @property
    def accepted_by_now(self) -> int:
        """Connections accepted, as last reported by the workers."""
        told = (each.report.count.accepted for each in self._members.values())
        return self.accepted + sum(told)

    @property
    def members(self) -> list[WorkerProcess]:
        """The running workers."""
        return list(self._members.values())

    def set_drained(self, drained: AbstractMapping[Identity, int]) -> None:
        """Set the registrations that an operator has drained; all others are not
        drained.
        """
        self._drained = drained
        for member in self._members.values():
            member.order(SetDrained(drained))

    def eject(self, identity: Identity) -> Deferred[str]:
        """Eject an upstream in each worker; fires with "" if one did, else with the
        reason.
        """
        answers = [member.eject(identity) for member in self._members.values()]
        return gatherResults(answers).addCallback(_first_reason)

    def bind(self) -> None:
        """Open every listening socket; CannotListen if one cannot be opened."""
        self._listeners.bind()

    def close(self) -> None:
        """Close what `bind` opened."""
        self._listeners.close()

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self.bind()

    def startService(self) -> None:
        super().startService()
        self.bind()
        for number in range(1, self.count + 1):
            self._start(number)
        self._recounting = repeat(self._reactor, RECOUNT_EVERY, self._recount)

    def drain(self) -> Deferred[None]:
        """Drain the workers: they stop accepting and exit once nothing is open.

        The Deferred fires when all have exited.  A worker still alive `PATIENCE` after
        the longest drain timeout is killed.
        """
        self._draining = True
        self._halt()
        for member in self._members.values():
            member.drain()
        return self._all_gone(self.longest_drain + PATIENCE)

    @property
    def is_serving(self) -> bool:
        """Whether every worker accepts clients."""
        all_there = len(self._members) == self.count
        return all_there and all(each.report.serves for each in self._members.values())

    @property
    def open(self) -> int:
        """The workers' connections that have an upstream or dial one."""
        return sum(self._table.sums[1:].tolist())

    @property
    def longest_drain(self) -> float:
        """The longest time in seconds that a draining worker lets connections live."""
        return self._listeners.longest_drain

    def stopService(self) -> Deferred[None]:
        super().stopService()
        if self._recounting is not None:  # it is None if the start failed
            self._recounting.stop()
            self._recounting = None
        self._halt()
        for member in self._members.values():
            member.stop()
        return self._all_gone(PATIENCE)

    def _halt(self) -> None:
        """Start no further worker, and close the listening sockets."""
        for call in self._waiting.values():
            call.cancel()
        self._waiting.clear()
        self.close()  # each worker holds its own copies

    def _all_gone(self, patience: float) -> Deferred[None]:
        """Fires when the last worker has ended; kills the rest after `patience`
        seconds.
        """
        gone: Deferred[None] = Deferred()
        if not self._members:
            gone.callback(None)
            return gone
        late = self._reactor.callLater(patience, self._kill)

        def in_time(result: None) -> None:
            if late.active():
                late.cancel()

        self._waiting_for_all.append(gone)
        return gone.addCallback(in_time)

    def _altered(self) -> None:
        for member in tuple(self._members.values()):
            member.altered()

    def _kill(self) -> None:
        for member in self._members.values():
            self._log.warn(
                "worker {worker} (process {pid}) does not end, and is killed",
                worker=member.number,
                pid=member.pid,
            )
            member.kill()

    def _start(self, number: int) -> None:
        self._waiting.pop(number, None)
        member = WorkerProcess(
            self._reactor, number, self._catalog, self._ended, self._listeners.of
        )
        member.learned = self.learned
        setup = Setup(number, 1 + self.count)
        try:
            self.bind()
            member.start(self._program, setup, self._table.descriptor)
        except (OSError, CannotListen) as error:
            wait = self._start_later(number, 0.0)
            self._log.warn(
                "worker {worker} could not be started: {error}; once more in"
                " {wait:.1f} s",
                worker=number,
                error=getattr(error, "strerror", None) or error,
                wait=wait,
            )
        else:
            self._members[number] = member
            if self._drained:
                member.order(SetDrained(self._drained))

    def _ended(self, member: WorkerProcess, how: str) -> None:
        """Called by a worker process when it has ended."""
        number, report = member.number, member.report
        del self._members[number]
        self._table.clear(number, self._catalog.slots.end)
        self.accepted += report.count.accepted
        is_stopping = self._draining or not self.running
        ending = _HARD_STOP if is_stopping and how == _IN_ORDER else _WORKER_DIED
        for place, told in member.traffic.items():
            self._past.setdefault(place, MappingStats()).add(told.close(ending))
        if any(each.ejected for each in member.traffic.values()):
            self.learned()
        if is_stopping:
            self._ended_for_good(member, how)
            return
        wait = self._start_later(number, self._reactor.seconds() - member.started)
        self._tell_death(member, how, f"; another one starts in {wait:.1f} s")

    def _ended_for_good(self, member: WorkerProcess, how: str) -> None:
        self.closed += member.report.count.open
        self.leases += member.report.leases
        if self.running and how != _IN_ORDER:
            self._tell_death(member, how, "")
        if not self._members:
            waiting, self._waiting_for_all = self._waiting_for_all, []
            for each in waiting:
                each.callback(None)

    def _tell_death(self, member: WorkerProcess, how: str, then: str) -> None:
        self._log.warn(
            "worker {worker} (process {pid}) died: {how}; {open} connections were"
            " open{then}",
            worker=member.number,
            pid=member.pid,
            how=how,
            open=member.report.count.open,
            then=then,
        )

    def _start_later(self, number: int, lived: float) -> float:
        wait = self._backoff.wait(number, lived)
        self._waiting[number] = self._reactor.callLater(wait, self._start, number)
        return wait

    def _tidy(self) -> None:
        """Drop statistics of assignments and instances that no longer exist."""
        places, knows = self._listeners.numbers, self._catalog.knows
        for gone in self._past.keys() - places:
            del self._past[gone]
        for figures in self._past.values():
            figures.tidy(knows)
        for member in self._members.values():
            for gone in member.traffic.keys() - places:
                del member.traffic[gone]
            for told in member.traffic.values():
                told.figures.tidy(knows)

    def _recount(self) -> None:
        """Periodic: recount, drop stale statistics and reclaim slots."""
        self.counter.recount()
        self._tidy()
        known = min((each.report.level for each in self._members.values()), default=0)
        self._catalog.slots.reclaim(known, lambda slot: not self._table.total(slot))


def _first_reason(reasons: list[str]) -> str:
    if "" in reasons:
        return ""
    return reasons[0] if reasons else "no worker runs"
