"""A line of dials that wait for an upstream with room, or for any upstream."""

from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lbconsul.balance.queue import Queue

#: How often to look whether the first one's turn has come, in seconds, beside at
#: the end of each connection: an instance may join, and other processes and
#: mappings have connections to the same ones.
LOOK_EVERY = 0.02


class Waiting(Protocol):
    """A dial that waits."""

    def proceed(self) -> bool:
        """Go on if there is an upstream now; whether there was."""


@define(eq=False)
class Line:
    """First come, first served."""

    _clock: IReactorTime
    _queue: Queue[Waiting]
    _next: IDelayedCall | None = None
    _is_advancing: bool = False

    def __len__(self) -> int:
        return len(self._queue)

    def join(self, dial: Waiting) -> bool:
        """Wait behind all others; whether there is room to."""
        if not self._queue.join(dial):
            return False
        self._look_later()
        return True

    def leave(self, dial: Waiting) -> None:
        """It waits no longer, if it did."""
        self._queue.leave(dial)

    def advance(self) -> None:
        """Let those go on for whom there is an upstream, as long as there is."""
        if self._is_advancing:  # it is their going on that calls us
            return
        self._is_advancing = True
        try:
            while (first := self._queue.first()) is not None and first.proceed():
                self._queue.leave(first)
        finally:
            self._is_advancing = False

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look_later(self) -> None:
        if self._next is None:
            self._next = self._clock.callLater(LOOK_EVERY, self._look)

    def _look(self) -> None:
        self._next = None
        try:
            self.advance()
        finally:
            if self._queue:
                self._look_later()
