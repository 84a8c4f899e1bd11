"""The connection limit of one process, over all its proxies (HAProxy's maxconn)."""

import sys
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
    #: How many are open; when one ends, `serve` is called if there is a `queue`.
    taken: int = 0
    #: Listeners that wait, longest first.
    queue: dict[Waiting, None] = Factory(dict)
    _next: IDelayedCall | None = None

    def must_wait(self, listener: Waiting) -> bool:
        """Whether the limit is reached or other listeners wait already.

        If so the listener is queued, and `on_available` will call it.
        """
        if not self.limit or (self.taken < self.limit and not self.queue):
            return False
        self.queue.setdefault(listener)
        return True

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return bool(self.limit) and self.taken >= self.limit

    def forget(self, listener: Waiting) -> None:
        """Remove a listener from the queue, if it waits."""
        self.queue.pop(listener, None)
        if self._next is not None and not self.queue:
            self._next.cancel()
            self._next = None

    @property
    def free(self) -> int:
        """How many more connections may be opened."""
        return self.limit - self.taken if self.limit else sys.maxsize

    def serve(self) -> None:
        """Let waiting listeners accept, if there is room."""
        # In the next turn: the caller is in the middle of ending a connection.
        if self.queue and self._next is None and self.taken < self.limit:
            self._next = self._clock.callLater(0, self._let_in)

    def _let_in(self) -> None:
        self._next = None
        for _ in range(_AT_ONCE):
            if not self.queue or self.taken >= self.limit:
                return
            listener = next(iter(self.queue))
            del self.queue[listener]
            try:
                listener.on_available()
            except Exception:
                # A bug in one listener must not stop the others.
                self._log.failure("a bug in lbconsul: a waiting listener failed")
        self.serve()
