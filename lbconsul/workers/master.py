"""The master's side: keep so many workers, and let them know what we know."""

import socket
from typing import Any, Protocol

from attrs import Factory, define, evolve, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lbconsul.balance.registry import Change
from lbconsul.balance.selection import Question
from lbconsul.config.model import Mapping
from lbconsul.errors import CannotListen
from lbconsul.workers.backoff import Backoff
from lbconsul.workers.ledger import Ledger
from lbconsul.workers.member import Member
from lbconsul.workers.messages import Place, Setup
from lbconsul.workers.repeat import repeat
from lbconsul.workers.slots import Slots
from lbconsul.workers.spawn import FIRST_SOCKET, Program, worker_program
from lbconsul.workers.table import SLOTS, Table
from lbconsul.workers.tally import RECOUNT_EVERY, SharedTally

#: How long workers may take to end in order before they are killed, in seconds.
PATIENCE = 10.0


class Socket(Protocol):
    """A listening socket that the master owns."""

    mapping: Mapping

    def open(self) -> socket.socket:
        """The socket, opened unless it is open."""

    def close(self) -> None:
        """Give it back."""


def share(limit: int, workers: int, number: int) -> int:
    """The part of a limit that worker `number` has; the first ones get the rest."""
    return limit // workers + (number <= limit % workers)


@define(eq=False, repr=False)
class Workers(Service):
    """So many workers, each of which serves all mappings.

    To make one is an OSError if the machine has no room for their table, and
    NoWorkers if there is no telling how to start them.
    """

    _log = Logger()
    _reactor: Any
    count: int
    _connection_log: bool
    tally: SharedTally = field(init=False)
    _table: Table = field(init=False)
    _ledger: Ledger = field(init=False)
    _program: Program = Factory(worker_program)
    _sockets: list[Socket] = Factory(list)
    _members: dict[int, Member] = Factory(dict)
    _backoff: Backoff = Factory(Backoff)
    #: The calls that will start another one.
    _waiting: dict[int, Any] = Factory(dict)
    #: Connections accepted by workers that are gone; and at the end, how many
    #: that closed, and how many leases were left.
    accepted: int = 0
    closed: int = 0
    leases: int = 0
    _stopped: Deferred[None] | None = None
    _is_full: bool = False
    _recounting: LoopingCall | None = None

    def __attrs_post_init__(self) -> None:
        self._table = Table.create(1 + self.count)
        self._ledger = Ledger(Slots(SLOTS))
        self.tally = SharedTally(self._table, 0, self._ledger.slots.take)

    @property
    def mappings(self) -> list[Mapping]:
        """What is served."""
        return [each.mapping for each in self._sockets]

    def serve(self, sock: Socket) -> None:
        """Serve a socket's mapping from the start on."""
        self._sockets.append(sock)

    def changed(self, question: Question, change: Change) -> None:
        """An answer changed so: let the workers know."""
        delta = self._ledger.change(question, change)
        if delta is None:
            return
        for member in self._members.values():
            member.changed(delta)
        find = self._ledger.slots.find
        if not self._is_full and any(find(each.identity) is None for each in delta.put):
            self._is_full = True
            self._log.warn(
                "there are more than {slots} instances: each worker balances for"
                " itself over the further ones",
                slots=SLOTS,
            )

    def bind(self) -> None:
        """Open every listening socket; CannotListen if one is not to be had."""
        for each in self._sockets:
            each.open()

    def close(self) -> None:
        """Give back what `bind` opened."""
        for each in self._sockets:
            each.close()

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self.bind()

    def startService(self) -> None:
        super().startService()
        self.bind()
        for number in range(1, self.count + 1):
            self._start(number)
        self._recounting = repeat(self._reactor, RECOUNT_EVERY, self._recount)

    async def _stop(self) -> None:
        if self._recounting is not None:  # else the start went wrong
            self._recounting.stop()
            self._recounting = None
        for call in self._waiting.values():
            call.cancel()
        self._waiting.clear()
        for member in self._members.values():
            member.stop()
        self.close()  # each worker has its own copies
        if self._members:
            self._stopped = Deferred()
            late = self._reactor.callLater(PATIENCE, self._kill)
            await self._stopped
            if late.active():
                late.cancel()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

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
        member = Member(self._reactor, number, self._ledger, self._ended)
        try:
            setup, sockets = self._setup(number)
            member.start(self._program, setup, self._table.descriptor, sockets)
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

    def _setup(self, number: int) -> tuple[Setup, list[int]]:
        """What worker `number` has to know, and the sockets it gets."""
        places: list[Place] = []
        sockets: list[int] = []
        for each in self._sockets:
            mapping, descriptor = each.mapping, None
            part = share(mapping.max_connections, self.count, number)
            if part or not mapping.max_connections:
                descriptor = FIRST_SOCKET + len(sockets)
                sockets.append(each.open().fileno())
            places.append(Place(evolve(mapping, max_connections=part), descriptor))
        rows = 1 + self.count
        return Setup(number, rows, tuple(places), self._connection_log), sockets

    def _ended(self, member: Member, how: str) -> None:
        """A worker's process is gone."""
        number, report = member.number, member.report
        del self._members[number]
        self._table.clear(number, self._ledger.slots.end)
        self.accepted += sum(each.accepted for each in report.counts)
        if not self.running:
            self.closed += sum(each.open for each in report.counts)
            self.leases += report.leases
            if self._stopped is not None and not self._members:
                self._stopped.callback(None)
            return
        wait = self._start_later(number, self._reactor.seconds() - member.started)
        self._log.warn(
            "worker {worker} (process {pid}) died: {how}; {open} connections were"
            " open; another one starts in {wait:.1f} s",
            worker=number,
            pid=member.pid,
            how=how,
            open=sum(each.open for each in report.counts),
            wait=wait,
        )

    def _start_later(self, number: int, lived: float) -> float:
        wait = self._backoff.wait(number, lived)
        self._waiting[number] = self._reactor.callLater(wait, self._start, number)
        return wait

    def _recount(self) -> None:
        """What is only needed now and then."""
        self.tally.recount()
        known = min((each.report.level for each in self._members.values()), default=0)
        self._ledger.slots.reclaim(known, lambda slot: not self._table.total(slot))
