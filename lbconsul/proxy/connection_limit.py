"""The connection limit of one process, over all its proxies (HAProxy's maxconn)."""

from typing import Protocol

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

#: Most waiting clients to accept in one turn of the reactor.
_AT_ONCE = 64


class Waiting(Protocol):
    """A listener that waits for a connection slot."""

    def on_available(self) -> None:
        """Accept one client, if any is pending."""


@define(eq=False)
class ConnectionLimit:
    """Counts the connections of all proxies; at the limit, listeners wait in turn.

    Each connection that ends lets the longest-waiting listener accept one client.
    """

    _log = Logger()
    _clock: IReactorTime
    #: Most open connections; 0: no limit.
    limit: int = 0
    taken: int = 0
    #: Listeners that wait, longest first.
    _queue: dict[Waiting, None] = Factory(dict)
    _next: IDelayedCall | None = None

    def must_wait(self, listener: Waiting) -> bool:
        """Whether the limit is reached or other listeners wait already.

        If so the listener is queued, and `on_available` will call it.
        """
        if not self.limit or (self.taken < self.limit and not self._queue):
            return False
        self._queue.setdefault(listener)
        return True

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return bool(self.limit) and self.taken >= self.limit

    def forget(self, listener: Waiting) -> None:
        """Remove a listener from the queue, if it waits."""
        self._queue.pop(listener, None)
        if self._next is not None and not self._queue:
            self._next.cancel()
            self._next = None

    def acquire(self) -> None:
        """Count one more connection."""
        self.taken += 1

    def release(self) -> None:
        """Count one connection less; a waiting listener may accept."""
        self.taken -= 1
        self._go_on()

    def _go_on(self) -> None:
        # In the next turn: the caller is in the middle of ending a connection.
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
                # A bug in one listener must not stop the others.
                self._log.failure("a bug in lbconsul: a waiting listener failed")
        self._go_on()
