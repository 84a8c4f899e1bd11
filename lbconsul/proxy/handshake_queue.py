"""Bounds what the TLS handshakes of a process take from its other connections."""

from typing import Protocol

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lbconsul.net.throttled_log import ThrottledFailures

#: How much of one turn of the reactor handshakes may take, in seconds, and the step of
#: one of them more.  A step takes from 0.1 ms to some milliseconds, by the kind of key.
#: Half the median latency that four times as much costs the relays beside a flood; no
#: fewer handshakes are completed.
BUDGET = 0.0005

#: Most handshakes at a time that have begun: each holds some 50 KiB.
MOST = 1000


class QueuedHandshake(Protocol):
    """A TLS handshake."""

    def take_turn(self) -> None:
        """Go on with the bytes that have come."""


@define(eq=False)
class HandshakeQueue:
    """Lets handshakes go on: now, while this turn has time for them, or in turn.

    Those that have begun come before those that have not, so that under a flood some
    are completed rather than all given up.
    """

    _clock: IReactorTime
    _most: int = MOST
    #: What waits, longest first: handshakes that have begun, and those that have not.
    _begun: dict[QueuedHandshake, None] = Factory(dict)
    _new: dict[QueuedHandshake, None] = Factory(dict)
    #: How many have begun and are not over.
    _count: int = 0
    #: How many seconds of this turn were used.
    _used: float = 0.0
    #: The call in the next turn.
    _next: IDelayedCall | None = None
    _bugs: ThrottledFailures = Factory(
        lambda self: ThrottledFailures(self._clock), takes_self=True
    )

    def begin(self, handshake: QueuedHandshake) -> bool:
        """Let a handshake take its first turn, now or later; returns whether now."""
        if self._used >= BUDGET or self._new or self._count >= self._most:
            self._new[handshake] = None
            self._look_next_turn()
            return False
        self._count += 1
        self._give_turn(handshake)
        return True

    def go_on(self, handshake: QueuedHandshake) -> bool:
        """Let one that has begun take a turn, now or later; returns whether now."""
        if self._used >= BUDGET:
            self._begun[handshake] = None
            self._look_next_turn()
            return False
        self._give_turn(handshake)
        return True

    def leave(self, handshake: QueuedHandshake, *, has_begun: bool) -> None:
        """Forget a handshake, which is over."""
        self._new.pop(handshake, None)
        self._begun.pop(handshake, None)
        if has_begun:
            self._count -= 1
            if self._new:
                self._look_next_turn()

    def _look_next_turn(self) -> None:
        if self._next is None:
            self._next = self._clock.callLater(0, self._on_next_turn)

    def _on_next_turn(self) -> None:
        self._next, self._used = None, 0.0
        while self._used < BUDGET:
            if self._begun:
                handshake = _first(self._begun)
            elif self._new and self._count < self._most:
                handshake = _first(self._new)
                self._count += 1
            else:
                return
            try:
                self._give_turn(handshake)
            except Exception:
                # A bug in one handshake must not stop the others.
                self._bugs.tell("a bug in lbconsul: a handshake failed")

    def _give_turn(self, handshake: QueuedHandshake) -> None:
        begun = self._clock.seconds()
        try:
            handshake.take_turn()
        finally:
            # A clock may be set back.
            self._used += max(0.0, self._clock.seconds() - begun)
            self._look_next_turn()


def _first(queue: dict[QueuedHandshake, None]) -> QueuedHandshake:
    handshake = next(iter(queue))
    del queue[handshake]
    return handshake
