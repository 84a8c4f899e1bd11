"""Signals that come before a gateway can handle them.

Loading takes a part of a second.  A signal that comes meanwhile has the kernel's
default action, which for SIGHUP is the end of the process; and for process 1 of a
container it is none: the signal is lost (pid_namespaces(7)).  So this is what is loaded
first, it loads nothing else, and the image blocks these signals until it is there.
"""

import os
import signal
from types import FrameType

#: The signals that a gateway handles.
_OURS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1})


class EarlySignals:
    """What came before there was a gateway."""

    def __init__(self) -> None:
        #: Whether a reload was asked for.
        self.hung_up = False

    def install(self) -> None:
        """Handle signals from now on, those too that were blocked so far."""
        for number, handler in (
            (signal.SIGTERM, self._terminate),
            (signal.SIGHUP, self._hang_up),
        ):
            if signal.getsignal(number) is signal.SIG_DFL:  # else somebody cares
                signal.signal(number, handler)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)
        # twistd handles SIGUSR1 only if it has the default action: let it wait.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS - {signal.SIGUSR1})

    def hand_over(self) -> bool:
        """There is a gateway; whether it was asked to reload before.

        SIGTERM is left to the reactor, which takes it when it runs; SIGINT, which it
        takes only from Python itself, is given back.
        """
        if signal.getsignal(signal.SIGINT) == self._interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        hung_up, self.hung_up = self.hung_up, False
        return hung_up

    def release(self) -> None:
        """It runs: SIGUSR1 has the log's file reopened, or does nothing."""
        if signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL:
            signal.signal(signal.SIGUSR1, _nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self.hung_up = True

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        # There is nothing to end in order, and imports may catch an exception.
        os._exit(0)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        os._exit(128 + number)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Not SIG_IGN, which programs that we start would inherit."""


#: Those of this process.
early_signals = EarlySignals()
