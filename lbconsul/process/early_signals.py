"""Handles signals that arrive while the gateway is still being loaded.

Loading takes a part of a second.  A signal that arrives meanwhile has the kernel's
default action, which for SIGHUP ends the process.  For process 1 of a container there
is no default action: the signal is lost (pid_namespaces(7)).  So this module is loaded
first and imports nothing else of lbconsul; the image blocks these signals until then.
"""

import os
import signal
from types import FrameType

#: The signals that a gateway handles.
_OURS = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
)


class EarlySignals:
    """The signal handlers of the process until the gateway has its own."""

    def __init__(self) -> None:
        #: Whether SIGHUP asked for a reload.
        self.hung_up = False

    def install(self) -> None:
        """Install the handlers, and unblock the signals except SIGUSR1."""
        for number, handler in (
            (signal.SIGTERM, self._terminate),
            (signal.SIGHUP, self._hang_up),
            (signal.SIGUSR2, _nothing),  # there is nothing to take over from yet
        ):
            if signal.getsignal(number) is signal.SIG_DFL:  # keep another's handler
                signal.signal(number, handler)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)
        # twistd handles SIGUSR1 only if it has the default action: block it until then.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS - {signal.SIGUSR1})

    def hand_over(self) -> bool:
        """The gateway takes over; return whether SIGHUP came before.

        SIGTERM keeps its handler until the running reactor replaces it.  SIGINT gets
        Python's default handler back, the only one that the reactor replaces.
        """
        if signal.getsignal(signal.SIGINT) == self._interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        hung_up, self.hung_up = self.hung_up, False
        return hung_up

    def release(self) -> None:
        """The reactor runs: unblock SIGUSR1, which reopens the log or does nothing."""
        if signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL:
            signal.signal(signal.SIGUSR1, _nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self.hung_up = True

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        # Nothing needs an orderly end yet, and imports may catch an exception.
        os._exit(0)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        os._exit(128 + number)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Ignore a signal; child processes would inherit SIG_IGN."""


#: The early signals of this process.
early_signals = EarlySignals()
