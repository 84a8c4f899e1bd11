"""The wait queue: dials that wait for a free upstream, or for any upstream."""

from collections.abc import Collection
from typing import Protocol

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lbconsul.net.throttled_log import ThrottledFailures

#: Seconds between checks for a free upstream, beside the one at each connection's
#: end: an instance may join, and other workers and mappings connect to the same ones.
LOOK_EVERY = 0.02

_Awaited = Collection[object]


class Waiting(Protocol):
    """A dial that waits."""

    @property
    def waits_for(self) -> Collection[object]:
        """What it waits for, as a key; constant while the dial waits.

        That is any upstream but those in a set, the longer the more urgent, or one
        instance, by its identity.
        """

    def try_dial(self) -> bool:
        """Leave the queue and dial if an upstream is free; returns whether one was."""


#: Dials in the order in which they came: a dict keeps it, and a dial in the middle
#: leaves at once.
_Fifo = dict[Waiting, None]


@define(eq=False)
class WaitQueue:
    """A queue of at most `length` dials.

    Dials that wait for the same share one FIFO: if its first cannot dial, none of them
    can.  Dials that have already tried some upstreams go first.
    """

    _clock: IReactorTime
    _length: int
    #: The FIFOs that are not empty, by what they wait for; asked for each connection.
    queues: dict[_Awaited, _Fifo] = Factory(dict)
    _next: IDelayedCall | None = None
    _is_dispatching: bool = False
    _bugs: ThrottledFailures = Factory(
        lambda self: ThrottledFailures(self._clock), takes_self=True
    )

    def __len__(self) -> int:
        return sum(map(len, self.queues.values()))

    def join(self, dial: Waiting) -> bool:
        """Queue a dial; returns false if the queue is full."""
        if len(self) >= self._length:
            return False
        self.queues.setdefault(dial.waits_for, {})[dial] = None
        if self._next is None:
            self._look_later()
        return True

    def leave(self, dial: Waiting) -> None:
        """Remove a dial, if it waits."""
        self._drop(dial, dial.waits_for)

    def dispatch(self) -> None:
        """Let queued dials proceed while upstreams are free."""
        if self._is_dispatching:  # a dial that proceeds calls this again
            return
        self._is_dispatching = True
        try:
            for awaited in sorted(self.queues, key=len, reverse=True):
                while self._dispatches(awaited):
                    pass
        finally:
            self._is_dispatching = False

    def stop(self) -> None:
        """Empty the queue, and check no more until a dial joins."""
        self.queues.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _dispatches(self, awaited: _Awaited) -> bool:
        """Whether the first dial that waits for this could proceed."""
        queue = self.queues.get(awaited)
        if queue is None:
            return False
        first = next(iter(queue))
        try:
            return first.try_dial()
        except Exception:
            # A bug in one dial must not stop the others.
            self._bugs.tell("a bug in lbconsul: a queued dial failed")
            self._drop(first, awaited)
            return True

    def _drop(self, dial: Waiting, awaited: _Awaited) -> None:
        queue = self.queues.get(awaited)
        if queue is not None:
            queue.pop(dial, None)
            if not queue:
                del self.queues[awaited]

    def _look_later(self) -> None:
        self._next = self._clock.callLater(LOOK_EVERY, self._look)

    def _look(self) -> None:
        self._next = None
        self.dispatch()
        if self.queues and self._next is None:
            self._look_later()
