"""What signals ask of a gateway: SIGTERM to end, SIGHUP to read everything again."""

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

#: How often to look whether a gateway has taken another one's place, in seconds.
_LOOK_AGAIN = 0.1


class Signalled(Protocol):
    """A gateway."""

    config: Config

    @property
    def is_settled(self) -> bool:
        """Whether it is not about to take another one's place."""

    def retire(self, grace: float) -> Deferred[None]:
        """Accept nobody any more after so many seconds; fires when all is over."""

    def reload_gradually(self, config: Config) -> Deferred[Any]:
        """Do this from now on; fires when it does."""


@define(eq=False)
class Signals:
    """Handles the signals of a gateway's process.

    `read` gives its configuration, or a Deferred of it.
    """

    _log = Logger()
    _reactor: Any
    _gateway: Signalled
    _read: Callable[[], Config | Deferred[Config]]
    #: Writes what is left of the log.
    _close_log: Callable[[], None] = lambda: None
    #: Whether a reload was asked for that has not begun.
    _is_due: bool = False
    #: Whether one is under way.
    _is_reloading: bool = False

    def reload_on_sighup(self) -> None:
        """From now on; what came before the reactor runs is done once it does."""
        signal.signal(signal.SIGHUP, self._hang_up)
        if early_signals.hand_over():
            self._hang_up(signal.SIGHUP, None)

    def end_on_sigterm(self) -> None:
        """Let SIGTERM end us with status 0; a second one ends us at once.

        Twisted's own handler has twistd die of the signal in the end, which service
        managers and containers take for a crash.
        """
        signal.signal(signal.SIGTERM, self._terminate)
        early_signals.release()

    def end_on_sigint(self) -> None:
        """Let SIGINT stop us in order, and then end us; a second one ends us at once.

        With Twisted's own handler twistd dies before the rest of the log is written.
        """
        # Else somebody has it ignored, or debugs.
        if signal.getsignal(signal.SIGINT) == getattr(self._reactor, "sigInt", None):
            signal.signal(signal.SIGINT, self._interrupt)

    def leave(self, status: int) -> None:
        """Let the process end, with this status."""
        if status:
            # The reactor's end is twistd's with status 0.
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
        os._exit(128 + number)  # process 1 does not die of it

    def _terminate(self, number: int, frame: object) -> None:
        # Not SIG_DFL: the kernel keeps that from process 1 of a container.
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(1))
        self._reactor.callFromThread(self._end)

    def _end(self) -> None:
        ended = self._gateway.retire(self._gateway.config.shutdown_grace)
        ended.addCallback(lambda _: self._stop())

    def _stop(self) -> None:
        with suppress(ReactorNotRunning):  # SIGINT may have been faster
            self._reactor.stop()

    def _hang_up(self, number: int, frame: object) -> None:
        # Those that come before the next turn are one.
        if not self._is_due:
            self._is_due = True
            self._reactor.callFromThread(self._reload)

    def _reload(self) -> None:
        if self._is_reloading or not self._gateway.is_settled:
            # What is removed, and then added again, the other one would hold.
            self._reactor.callLater(_LOOK_AGAIN, self._reload)
            return
        self._is_due, self._is_reloading = False, True
        reading: Deferred[Any] = maybeDeferred(self._read)
        reading.addCallback(self._gateway.reload_gradually)
        reading.addBoth(self._reloaded)

    def _reloaded(self, result: object) -> None:
        self._is_reloading = False
        if not isinstance(result, Failure):
            return
        error = result.value
        if isinstance(error, CannotReload):
            self._log.info("SIGHUP changes nothing: {error}", error=str(error))
        elif isinstance(error, LBConsulError):
            self._log.error("not reloaded: {error}", error=str(error))
        else:
            self._log.failure("not reloaded: a bug in lbconsul", result)
