"""The signals of a gateway's process: SIGTERM and SIGINT end it, SIGHUP reloads."""

import atexit
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from attrs import define
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger
from twisted.python.failure import Failure

from lbconsul.config.model import Config
from lbconsul.errors import CannotReload, LBConsulError
from lbconsul.process.early_signals import early_signals

#: The interval of checks whether a takeover or reload is over, in seconds.
_LOOK_AGAIN = 0.1


class Gateway(Protocol):
    """A gateway, as its process sees it."""

    config: Config

    @property
    def is_settled(self) -> bool:
        """Whether no takeover from another gateway is in progress."""

    def drain(self, grace: float) -> Deferred[None]:
        """Stop accepting after `grace` seconds; fires when all connections ended."""

    def reload_gradually(self, config: Config) -> Deferred[Any]:
        """Apply this configuration; fires when it is in effect."""


@define(eq=False)
class Signals:
    """Handles the signals of a gateway's process.

    `read` returns the configuration for a reload, or a Deferred of it.
    """

    _log = Logger()
    _reactor: Any
    _gateway: Gateway
    _read: Callable[[], Config | Deferred[Config]]
    #: Writes what is left of the log.
    _close_log: Callable[[], None] = lambda: None
    #: Called when a reload begins, and when it is over.
    on_reload: Callable[[], None] = lambda: None
    on_reloaded: Callable[[], None] = lambda: None
    #: Whether a reload is requested that has not begun.
    _is_due: bool = False
    #: Whether a reload is in progress.
    _is_reloading: bool = False

    def reload_on_sighup(self) -> None:
        """Reload on SIGHUP; one before the reactor runs takes effect once it does."""
        signal.signal(signal.SIGHUP, self._hang_up)
        if early_signals.hand_over():
            self._hang_up(signal.SIGHUP, None)

    def end_on_sigterm(self) -> None:
        """SIGTERM drains and ends the process with status 0; a second ends it at once.

        With Twisted's own handler twistd finally dies of the signal, which service
        managers and containers take for a crash.
        """
        signal.signal(signal.SIGTERM, self._terminate)
        early_signals.release()

    def end_on_sigint(self) -> None:
        """SIGINT stops the reactor, then ends the process; a second ends it at once.

        With Twisted's own handler twistd dies before the rest of the log is written.
        """
        # With another handler, SIGINT is ignored on purpose or used by a debugger.
        if signal.getsignal(signal.SIGINT) == getattr(self._reactor, "sigInt", None):
            signal.signal(signal.SIGINT, self._interrupt)

    def leave(self, status: int) -> None:
        """Stop the reactor, and end the process with this status."""
        if status:
            # twistd ends with status 0 after the reactor.
            atexit.register(self._exit, status)
        self._stop()

    def _exit(self, status: int) -> None:
        self._close_log()
        os._exit(status)

    def _interrupt(self, number: int, frame: object) -> None:
        signal.signal(number, lambda number, frame: os._exit(128 + number))
        atexit.register(self._die_of, number)
        self._reactor.callFromThread(self._stop)

    def _die_of(self, number: int) -> None:
        self._close_log()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        os._exit(128 + number)  # process 1 does not die of the signal

    def _terminate(self, number: int, frame: object) -> None:
        # Not SIG_DFL: the kernel withholds such signals from a container's process 1.
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(1))
        self._reactor.callFromThread(self._end)

    def _end(self) -> None:
        ended = self._gateway.drain(self._gateway.config.shutdown_grace)
        ended.addCallback(lambda _: self._stop())

    def _stop(self) -> None:
        with suppress(ReactorNotRunning):  # SIGINT may have stopped it already
            self._reactor.stop()

    def _hang_up(self, number: int, frame: object) -> None:
        # Several SIGHUPs before the reload make one reload.
        if not self._is_due:
            self._is_due = True
            self._reactor.callFromThread(self._reload)

    def _reload(self) -> None:
        if self._is_reloading or not self._gateway.is_settled:
            # During a takeover the other gateway would still hold the socket of a
            # mapping that a reload removes and the next one adds again.
            self._reactor.callLater(_LOOK_AGAIN, self._reload)
            return
        self._is_due, self._is_reloading = False, True
        self.on_reload()
        reading: Deferred[Any] = maybeDeferred(self._read)
        reading.addCallback(self._gateway.reload_gradually)
        reading.addBoth(self._reloaded)

    def _reloaded(self, result: object) -> None:
        self._is_reloading = False
        self.on_reloaded()
        if not isinstance(result, Failure):
            return
        error = result.value
        if isinstance(error, CannotReload):
            self._log.info("SIGHUP ignored: {error}", error=str(error))
        elif isinstance(error, LBConsulError):
            self._log.error(
                "not reloaded: {error}; the old configuration stays", error=str(error)
            )
        else:
            self._log.failure("not reloaded: a bug in lbconsul", result)
