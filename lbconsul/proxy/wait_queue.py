"""A line of dials that wait for an upstream with room, or for any upstream."""

from collections.abc import Collection
from typing import Protocol

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lbconsul.balance.queue import Queue
from lbconsul.balance.upstream import Upstream
from lbconsul.net.throttled_failures import ThrottledFailures

#: How often to look whether the first one's turn has come, in seconds, beside at
#: the end of each connection: an instance may join, and other processes and
#: mappings have connections to the same ones.
LOOK_EVERY = 0.02

_Avoided = frozenset[Upstream]


class Waiting(Protocol):
    """A dial that waits."""

    @property
    def tried(self) -> Collection[Upstream]:
        """Whom it does not want; the same ones for as long as it waits."""

    def proceed(self) -> bool:
        """Leave and go on if there is an upstream now; whether there was."""


@define(eq=False)
class WaitQueue:
    """First come, first served, of at most `length`.

    Those who avoid the same upstreams queue up behind each other: if the first of
    them cannot go on, none of them can.  Whoever avoids some has been here before,
    and goes first.
    """

    _clock: IReactorTime
    _length: int
    #: Those that somebody is in.
    _queues: dict[_Avoided, Queue[Waiting]] = Factory(dict)
    _next: IDelayedCall | None = None
    _is_advancing: bool = False
    _bugs: ThrottledFailures = Factory(
        lambda self: ThrottledFailures(self._clock), takes_self=True
    )

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __bool__(self) -> bool:
        return bool(self._queues)  # asked for each connection

    def join(self, dial: Waiting) -> bool:
        """Wait behind all others; whether there is room to."""
        if len(self) >= self._length:
            return False
        queue = self._queues.setdefault(frozenset(dial.tried), Queue(self._length))
        queue.join(dial)
        if self._next is None:
            self._look_later()
        return True

    def leave(self, dial: Waiting) -> None:
        """It waits no longer, if it did."""
        self._drop(dial, frozenset(dial.tried))

    def advance(self) -> None:
        """Let those go on for whom there is an upstream, as long as there is."""
        if self._is_advancing:  # it is their going on that calls us
            return
        self._is_advancing = True
        try:
            for avoided in sorted(self._queues, key=len, reverse=True):
                while self._goes_on(avoided):
                    pass
        finally:
            self._is_advancing = False

    def stop(self) -> None:
        """Forget all, until somebody joins."""
        self._queues.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _goes_on(self, avoided: _Avoided) -> bool:
        """Whether there was an upstream for the first of those who avoid these."""
        queue = self._queues.get(avoided)
        first = queue.first() if queue else None
        if first is None:
            return False
        try:
            return first.proceed()
        except Exception:
            # The others are to have their turn all the same.
            self._bugs.tell("a dial that waited failed")
            self._drop(first, avoided)
            return True

    def _drop(self, dial: Waiting, avoided: _Avoided) -> None:
        queue = self._queues.get(avoided)
        if queue is not None:
            queue.leave(dial)
            if not queue:
                del self._queues[avoided]

    def _look_later(self) -> None:
        self._next = self._clock.callLater(LOOK_EVERY, self._look)

    def _look(self) -> None:
        self._next = None
        self.advance()
        if self._queues and self._next is None:
            self._look_later()
