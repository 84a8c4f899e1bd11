"""Starts a gateway that takes over from this one, on SIGUSR2."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from attrs import define
from twisted.internet.protocol import ProcessProtocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from lbconsul.config.model import Config
from lbconsul.process.service_manager import inheritable

#: What starts a successor and ends at once: so the successor becomes the child of the
#: service manager, which kills a main process that is another's child without waiting
#: for its end (unit_kill_context of systemd).
_STARTER = """
import os, sys
process = os.fork()
if process:
    os.write(3, b"%d" % process)
    sys.exit()
os.close(3)
try:
    os.execvp(sys.argv[1], sys.argv[1:])
except OSError as error:
    sys.exit(f"lbconsul: {sys.argv[1]}: {error.strerror}")
"""

#: How often to see whether a successor still runs, in seconds.
_EVERY = 0.5


class Gateway(Protocol):
    """A gateway, as its process sees it."""

    config: Config

    @property
    def is_settled(self) -> bool:
        """Whether no takeover from another gateway is in progress."""

    @property
    def is_draining(self) -> bool:
        """Whether the listeners are closed, or about to be."""


def command_again(command: Sequence[str]) -> list[str]:
    """The command line with which to start this program again.

    A script is started by itself, not with the Python that runs it: the new version
    may have another one.
    """
    is_script = len(command) > 1 and os.access(command[1], os.X_OK)
    return list(command[1:] if is_script else command)


@define(eq=False)
class Successors:
    """Starts this program again, for a gateway that takes over from this one.

    The new process has this one's command line, environment, directory and output, and
    so its service under a service manager.
    """

    _log = Logger()
    _reactor: Any
    _gateway: Gateway
    #: The process that is about to take over, or has; 0 while it is being started.
    _process: int | None = None

    def start_on_sigusr2(self) -> None:
        """Start a successor on each SIGUSR2, once the reactor runs."""
        signal.signal(signal.SIGUSR2, self._on_signal)

    def _on_signal(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self.start)

    def start(self) -> None:
        """Start a successor; the log has the reason if that is impossible."""
        if why := self._why_not():
            self._failed(why)
            return
        command = [sys.executable, "-I", "-S", "-c", _STARTER]
        command += command_again(sys.orig_argv)
        try:
            self._reactor.spawnProcess(
                _Starter(self._started),
                command[0],
                command,
                env=inheritable(os.environ),
                childFDs={0: 0, 1: 1, 2: 2, 3: "r"},
            )
        except OSError as error:
            self._failed(error.strerror)
            return
        self._process = 0

    def _failed(self, why: str | None) -> None:
        self._log.error("SIGUSR2: no gateway is started to take over: {why}", why=why)

    def _why_not(self) -> str:
        if not self._gateway.config.takeover:
            return "without --takeover none can"
        if os.getpid() == 1:
            return "a container ends with its process 1, which is this gateway"
        if self._gateway.is_draining:
            return "this one is about to end"
        if not self._gateway.is_settled:
            return "this one has not taken over yet"
        if self._process is None:
            return ""
        return f"process {self._process or 'another'} is about to"

    def _started(self, process: int | None) -> None:
        self._process = process
        if process is None:
            self._failed("the process could not be started")
            return
        self._log.info("SIGUSR2: process {process} is to take over", process=process)
        self._look()

    def _look(self) -> None:
        """See whether the successor runs, until it has taken over."""
        if self._gateway.is_draining:
            return
        try:
            os.kill(self._process or 0, 0)
        except (ProcessLookupError, PermissionError):
            # Permission: the number is by now that of another user's process.
            self._log.error(
                "process {process}, which was to take over, has ended: this gateway"
                " goes on",
                process=self._process,
            )
            self._process = None
        else:
            self._reactor.callLater(_EVERY, self._look)


class _Starter(ProcessProtocol):
    """Hears from a starter which process it has started."""

    def __init__(self, started: Callable[[int | None], None]) -> None:
        self._started = started
        self._said = b""

    def childDataReceived(self, childFD: int, data: bytes) -> None:  # noqa: N802, N803
        self._said += data

    def processEnded(self, reason: Failure = connectionDone) -> None:
        self._started(int(self._said) if self._said.isdigit() else None)
