"""A member: one worker process, as its master sees it."""

import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from attrs import Factory, define, field
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.process import reapAllProcesses
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure

from lbconsul.workers.catalog import Catalog, Delta
from lbconsul.workers.frames import Frames
from lbconsul.workers.logs import read_event
from lbconsul.workers.messages import (
    LOG,
    REPORT,
    Report,
    Setup,
    Stop,
    read_report,
    write_order,
)
from lbconsul.workers.outbox import Outbox
from lbconsul.workers.spawn import spawn

#: How often to look whether a worker whose stream has ended is gone, in seconds.
#: Not every program lets Twisted hear of it by itself (SIGCHLD).
_LOOK = 0.05


@define(eq=False)
class Member(ProcessProtocol):
    """One worker.  `ended` is called once, when its process is gone."""

    _log = Logger()
    _reactor: Any
    number: int
    _catalog: Catalog
    _ended: Callable[["Member", str], None]
    #: What it said last.
    report: Report = Factory(Report)
    #: When it was started, by the reactor's clock.
    started: float = 0.0
    pid: int | None = None
    _process: IProcessTransport | None = None
    _frames: Frames = field(init=False)
    _outbox: Outbox = field(init=False)
    _stopping: bool = False
    _is_cut_off: bool = False
    #: How it ended.
    _how: str = ""

    def __attrs_post_init__(self) -> None:
        self._outbox = Outbox(self._catalog, self._write)
        self._frames = Frames(
            self._heard, self._lost, self._outbox.pause, self._outbox.resume
        )

    def start(
        self,
        environ: dict[str, str],
        setup: Setup,
        table: int,
        sockets: Sequence[int],
    ) -> None:
        """Start it, and tell it what it has to know.

        :raises OSError: the machine has no room for it.
        """
        self.started = self._reactor.seconds()
        self._process, stream = spawn(self._reactor, self, environ, table, sockets)
        self.pid = self._process.pid
        with stream:
            factory = ProtocolFactory.forProtocol(lambda: self._frames)
            factory.noisy = False
            self._reactor.adoptStreamConnection(
                stream.fileno(), socket.AF_UNIX, factory
            )
        self._write(write_order(setup))
        self._outbox.begin()

    def changed(self, delta: Delta) -> None:
        """The catalog has changed so."""
        self._outbox.changed(delta)

    def stop(self) -> None:
        """Ask it to end in order."""
        self._stopping = True
        self._write(write_order(Stop()))

    def kill(self) -> None:
        """End it at once, if it is there."""
        if self._process is not None:
            with suppress(ProcessExitedAlready):
                self._process.signalProcess(signal.SIGKILL)

    def processExited(self, reason: Failure) -> None:
        """Called by the reactor: it is gone, and writes nowhere any more."""
        self._how = _how(reason)
        if self._is_cut_off:
            self._ended(self, self._how)

    def _write(self, data: bytes) -> None:
        self._frames.sendString(data)

    def _heard(self, data: bytes) -> None:
        kind, said = data[:1], data[1:]
        try:
            if kind == LOG:
                globalLogPublisher({**read_event(said), "worker": self.number})
            elif kind == REPORT:
                self._reported(read_report(said))
            else:
                raise ValueError(f"neither log nor report: {kind!r}")
        except ValueError:
            self._log.failure("worker {worker} talks nonsense", worker=self.number)
            self.kill()

    def _reported(self, report: Report) -> None:
        if report.level and not self.report.level:
            self._log.info(
                "worker {worker} (process {pid}) serves",
                worker=self.number,
                pid=self.pid,
            )
        self.report = report

    def _lost(self) -> None:
        """The stream has ended, so that it is of no use any more."""
        self._is_cut_off = True
        if not self._stopping:
            self.kill()
        if self._how:  # and all that it said before is read
            self._ended(self, self._how)
        else:
            self._look()

    def _look(self) -> None:
        if not self._how:
            reapAllProcesses()
            self._reactor.callLater(_LOOK, self._look)


def _how(reason: Failure) -> str:
    """How a process ended, in words."""
    error = reason.value
    if isinstance(error, ProcessTerminated) and error.signal is not None:
        return f"signal {error.signal}"
    return f"exit status {getattr(error, 'exitCode', 0)}"
