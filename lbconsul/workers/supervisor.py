"""The master's side: starts, restarts and stops worker processes."""

from typing import Any, Protocol

from attrs import Factory, define
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from lbconsul.errors import CannotListen
from lbconsul.logs.connection_lines import ConnectionLines
from lbconsul.workers.listeners import ListenerSet
from lbconsul.workers.messages import Setup
from lbconsul.workers.published_certificates import PublishedCertificates
from lbconsul.workers.restart_backoff import Backoff
from lbconsul.workers.shared_table import Table
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


class SupervisorObserver(Protocol):
    """Hears of each worker that starts or ends."""

    def on_started(self, worker: WorkerProcess) -> None:
        """A worker was started: it can be sent commands."""

    def on_ended(
        self, worker: WorkerProcess, termination: str, *, is_final: bool
    ) -> None:
        """A worker ended, and its connections with this termination.

        `is_final`: no other worker replaces it.
        """

    def on_ejections_changed(self) -> None:
        """A worker reports another set of ejected upstreams."""


@define(eq=False, repr=False)
class Supervisor(Service):
    """Runs `count` workers, each of which serves all mappings of `listeners`.

    :raises NoWorkers: at creation, it cannot be determined how to start workers.
    """

    _log = Logger()
    _reactor: Any
    count: int
    _listeners: ListenerSet
    _catalog: VersionedCatalog
    _table: Table
    _observer: SupervisorObserver
    #: Writes the access log; None: the workers send each connection as a log event.
    _lines: ConnectionLines | None = None
    _certificates: PublishedCertificates = Factory(PublishedCertificates)
    _program: Program = Factory(worker_program)
    _workers: dict[int, WorkerProcess] = Factory(dict)
    _backoff: Backoff = Factory(Backoff)
    #: The delayed calls that will restart workers, by number.
    _waiting: dict[int, IDelayedCall] = Factory(dict)
    #: Fired once the last worker has ended.
    _waiting_for_all: list[Deferred[None]] = Factory(list)
    _is_draining: bool = False

    @property
    def workers(self) -> list[WorkerProcess]:
        """The running workers."""
        return list(self._workers.values())

    @property
    def is_serving(self) -> bool:
        """Whether every worker accepts clients."""
        all_there = len(self._workers) == self.count
        return all_there and all(each.report.serves for each in self._workers.values())

    def altered(self) -> None:
        """Send all workers their mappings again, since these have changed."""
        for worker in self.workers:
            worker.altered()

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self._listeners.bind()

    def startService(self) -> None:
        super().startService()
        self._listeners.bind()
        for number in range(1, self.count + 1):
            self._start(number)

    def drain(self) -> Deferred[None]:
        """Drain the workers: they stop accepting and exit once nothing is open.

        The Deferred fires when all have exited.  A worker still alive `PATIENCE` after
        the longest drain timeout is killed.
        """
        self._is_draining = True
        self._halt()
        for worker in self._workers.values():
            worker.drain()
        return self._all_gone(self._listeners.longest_drain + PATIENCE)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self._halt()
        for worker in self._workers.values():
            worker.stop()
        return self._all_gone(PATIENCE)

    def _halt(self) -> None:
        """Start no further worker, and close the listening sockets."""
        for call in self._waiting.values():
            call.cancel()
        self._waiting.clear()
        self._listeners.close()  # each worker holds its own copies

    def _all_gone(self, patience: float) -> Deferred[None]:
        """Fires when the last worker has ended; kills the rest after `patience`
        seconds.
        """
        gone: Deferred[None] = Deferred()
        if not self._workers:
            gone.callback(None)
            return gone
        late = self._reactor.callLater(patience, self._kill)

        def in_time(result: None) -> None:
            if late.active():
                late.cancel()

        self._waiting_for_all.append(gone)
        return gone.addCallback(in_time)

    def _kill(self) -> None:
        for worker in self._workers.values():
            self._log.warn(
                "worker {worker} (process {pid}) did not exit in time: killed",
                worker=worker.number,
                pid=worker.pid,
            )
            worker.kill()

    def _start(self, number: int) -> None:
        self._waiting.pop(number, None)
        worker = WorkerProcess(
            self._reactor,
            number,
            self._catalog,
            self,
            self._listeners.of,
            self._lines,
            self._certificates,
            self._listeners.amends,
        )
        lines = self._lines
        setup = Setup(number, 1 + self.count, None if lines is None else lines.format)
        try:
            self._listeners.bind()
            worker.start(self._program, setup, self._table.descriptor)
        except (OSError, CannotListen) as error:
            wait = self._start_later(number, 0.0)
            self._log.warn(
                "worker {worker} could not be started: {error}; next try in {wait:.1f}"
                " s",
                worker=number,
                error=getattr(error, "strerror", None) or error,
                wait=wait,
            )
        else:
            self._workers[number] = worker
            self._observer.on_started(worker)

    def on_ejections_changed(self) -> None:
        """Called by a worker process: it has another set of ejected upstreams."""
        self._observer.on_ejections_changed()

    def on_ended(self, worker: WorkerProcess, how: str) -> None:
        """Called by a worker process when it has ended."""
        number = worker.number
        del self._workers[number]
        is_stopping = self._is_draining or not self.running
        termination = _HARD_STOP if is_stopping and how == _IN_ORDER else _WORKER_DIED
        self._observer.on_ended(worker, termination, is_final=is_stopping)
        if is_stopping:
            self._ended_for_good(worker, how)
            return
        wait = self._start_later(number, self._reactor.seconds() - worker.started)
        self._tell_death(worker, how, f"; restart in {wait:.1f} s")

    def _ended_for_good(self, worker: WorkerProcess, how: str) -> None:
        if self.running and how != _IN_ORDER:
            self._tell_death(worker, how, "")
        if not self._workers:
            waiting, self._waiting_for_all = self._waiting_for_all, []
            for each in waiting:
                each.callback(None)

    def _tell_death(self, worker: WorkerProcess, how: str, then: str) -> None:
        self._log.warn(
            "worker {worker} (process {pid}) died: {how}; {open} connections were"
            " open{then}",
            worker=worker.number,
            pid=worker.pid,
            how=how,
            open=worker.report.count.open,
            then=then,
        )

    def _start_later(self, number: int, lived: float) -> float:
        wait = self._backoff.wait(number, lived)
        self._waiting[number] = self._reactor.callLater(wait, self._start, number)
        return wait
