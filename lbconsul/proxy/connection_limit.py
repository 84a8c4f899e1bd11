"""Room: how many connections one process may have open, over all its factories."""

from typing import Protocol

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

#: Clients let in, at most, before the reactor has its turn again.
_AT_ONCE = 64


class Waiting(Protocol):
    """A listener that waits for room."""

    def on_available(self) -> None:
        """It is its turn: take one client, if there is one."""


@define(eq=False)
class ConnectionLimit:
    """Counts the connections of all factories; listeners wait in turn when it is full.

    Each that is over lets in one client of whoever has waited longest.
    """

    _log = Logger()
    _clock: IReactorTime
    #: How many connections there may be; 0: any number.
    limit: int = 0
    taken: int = 0
    #: A queue: who is asked next comes first.
    _queue: dict[Waiting, None] = Factory(dict)
    _next: IDelayedCall | None = None

    def must_wait(self, listener: Waiting) -> bool:
        """Whether there is no room, or others wait for it already.

        Then the listener waits as well, until it is called.
        """
        if not self.limit or (self.taken < self.limit and not self._queue):
            return False
        self._queue.setdefault(listener)
        return True

    @property
    def is_full(self) -> bool:
        """Whether there are as many connections as there may be."""
        return bool(self.limit) and self.taken >= self.limit

    def forget(self, listener: Waiting) -> None:
        """The listener waits no longer, if it did."""
        self._queue.pop(listener, None)
        if self._next is not None and not self._queue:
            self._next.cancel()
            self._next = None

    def enter(self) -> None:
        """There is one connection more."""
        self.taken += 1

    def leave(self) -> None:
        """A connection is over."""
        self.taken -= 1
        self._go_on()

    def _go_on(self) -> None:
        # In the next turn: what ends a connection is in the middle of something.
        if self._queue and self._next is None and self.taken < self.limit:
            self._next = self._clock.callLater(0, self._let_in)

    def _let_in(self) -> None:
        self._next = None
        for _ in range(_AT_ONCE):
            if not self._queue or self.taken >= self.limit:
                return
            listener = next(iter(self._queue))
            del self._queue[listener]
            try:
                listener.on_available()
            except Exception:
                # The others are to have their turn all the same.
                self._log.failure("a bug in lbconsul: a listener that waited is lost")
        self._go_on()
