"""Starts a gateway that takes over from this one, on SIGUSR2."""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Protocol

from attrs import define
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from lbconsul.config.model import Config
from lbconsul.process.service_manager import inheritable


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
    #: The process that is about to take over, or has; None if none is.
    _process: int | None = None

    def start_on_sigusr2(self) -> None:
        """Start a successor on each SIGUSR2, once the reactor runs."""
        signal.signal(signal.SIGUSR2, self._on_signal)

    def _on_signal(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self.start)

    def start(self) -> None:
        """Start a successor; the log has the reason if that is impossible."""
        if why := self._why_not():
            self._log.error(
                "SIGUSR2: no gateway is started to take over: {why}", why=why
            )
            return
        command = command_again(sys.orig_argv)
        try:
            process = self._reactor.spawnProcess(
                _Watcher(self._ended),
                command[0],
                command,
                env=inheritable(os.environ),
                childFDs={0: 0, 1: 1, 2: 2},
            )
        except OSError as error:
            self._log.error(
                "SIGUSR2: no gateway is started to take over: {error}",
                error=error.strerror,
            )
            return
        self._process = process.pid
        self._log.info(
            "SIGUSR2: process {process} is to take over", process=process.pid
        )

    def _why_not(self) -> str:
        if not self._gateway.config.takeover:
            return "without --takeover none can"
        if os.getpid() == 1:
            return "a container ends with its process 1, which is this gateway"
        if self._gateway.is_draining:
            return "this one is about to end"
        if not self._gateway.is_settled:
            return "this one has not taken over yet"
        return f"process {self._process} is about to" if self._process else ""

    def _ended(self, reason: Failure) -> None:
        process, self._process = self._process, None
        if not reason.check(ProcessDone):
            self._log.error(
                "process {process}, which was to take over, ended with {how}: this"
                " gateway goes on",
                process=process,
                how=_how(reason.value),
            )


class _Watcher(ProcessProtocol):
    """Waits for the end of a successor."""

    def __init__(self, ended: Any) -> None:
        self._ended = ended

    def processEnded(self, reason: Failure = connectionDone) -> None:
        self._ended(reason)


def _how(error: Any) -> str:
    if isinstance(error, ProcessTerminated) and error.signal is not None:
        return f"signal {error.signal}"
    return f"status {error.exitCode}"
