"""Bounds what the TLS handshakes of a process take from its other connections."""

from collections.abc import Callable
from typing import Protocol

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lbconsul.net.throttled_log import ThrottledFailures

#: How much handshakes may take before other connections are served, in seconds, and the
#: step of one of them more.  A step takes from 0.1 ms to some milliseconds, by the kind
#: of key.  Half the median latency that four times as much costs the relays beside a
#: flood; no fewer handshakes are completed.
BUDGET = 0.0005

#: How much of one turn of the reactor handshakes may take, in seconds: new clients and
#: Consul's answers wait, while connections are served in between.
LONGEST = 0.005

#: Most handshakes at a time that have begun: each holds some 50 KiB.
MOST = 1000

#: While that many have begun and others wait, the time after which one that waits for
#: its peer is timed out, in seconds: peers that stall must not keep others out.
STALLED = 1.0


class QueuedHandshake(Protocol):
    """A TLS handshake.  It calls `HandshakeQueue.leave` at its end."""

    def take_turn(self) -> None:
        """Go on with the bytes that have come."""

    def time_out(self) -> None:
        """End: the peer takes too long."""


@define(eq=False)
class HandshakeQueue:
    """Lets handshakes go on: now, while this turn has time for them, or in turn.

    Those that have begun come before those that have not, so that under a flood some
    are completed, and do not all time out.
    """

    _clock: IReactorTime
    #: Serves the connections that are ready, whatever else the reactor has to do.
    _serve_others: Callable[[], object]
    _most: int = MOST
    _longest: float = LONGEST
    #: Those that have begun, and when, the oldest first.
    _running: dict[QueuedHandshake, float] = Factory(dict)
    #: What waits, longest first: of those, and of others.
    _begun: dict[QueuedHandshake, None] = Factory(dict)
    _new: dict[QueuedHandshake, None] = Factory(dict)
    #: How many seconds of this turn were used.
    _used: float = 0.0
    #: The call in the next turn, and the one when the oldest can be timed out.
    _next: IDelayedCall | None = None
    _until_room: IDelayedCall | None = None
    _bugs: ThrottledFailures = Factory(
        lambda self: ThrottledFailures(self._clock), takes_self=True
    )

    def run(self, handshake: QueuedHandshake) -> bool:
        """Let a handshake take a turn, now or later; returns whether now."""
        if handshake in self._running:
            if self._used >= BUDGET:
                self._begun[handshake] = None
                self._look_next_turn()
                return False
        elif self._used >= BUDGET or self._new or not self._has_room():
            self._new[handshake] = None
            self._look_next_turn()
            return False
        else:
            self._running[handshake] = self._clock.seconds()
        self._give_turn(handshake)
        return True

    def leave(self, handshake: QueuedHandshake) -> None:
        """Forget a handshake, which is over."""
        self._new.pop(handshake, None)
        self._begun.pop(handshake, None)
        if self._running.pop(handshake, None) is not None and self._new:
            self._look_next_turn()

    def _has_room(self) -> bool:
        """Whether one more may begin; if not, it looks again when one may."""
        if len(self._running) < self._most:
            return True
        oldest, begun_at = next(iter(self._running.items()))
        left = begun_at + STALLED - self._clock.seconds()
        if left <= 0 and oldest not in self._begun:
            self._time_out(oldest)
            return True
        if self._until_room is None:
            self._until_room = self._clock.callLater(max(left, BUDGET), self._look_on)
        return False

    def _time_out(self, handshake: QueuedHandshake) -> None:
        try:
            handshake.time_out()
        except Exception:
            self._bugs.tell("a bug in lbconsul: a handshake could not be timed out")
            # It has not left, or not wholly: it must keep no others out.
            self.leave(handshake)

    def _look_on(self) -> None:
        self._until_room = None
        self._on_turn()

    def _look_next_turn(self) -> None:
        if self._next is None:
            self._next = self._clock.callLater(0, self._on_next_turn)

    def _on_next_turn(self) -> None:
        """Run handshakes, and serve other connections after each `BUDGET`.

        A turn of the reactor for each would cost a tenth of a handshake.
        """
        self._next, self._used = None, 0.0
        self._on_turn()
        total = self._used
        while (self._begun or self._new) and 0 < self._used >= BUDGET:
            if total >= self._longest:
                return
            self._serve_others()
            self._used = 0.0
            self._on_turn()
            total += self._used

    def _on_turn(self) -> None:
        while self._used < BUDGET:
            if self._begun:
                handshake = _first(self._begun)
            elif self._new and self._has_room():
                handshake = _first(self._new)
                self._running[handshake] = self._clock.seconds()
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
            if self._next is None:
                self._look_next_turn()


def _first(queue: dict[QueuedHandshake, None]) -> QueuedHandshake:
    handshake = next(iter(queue))
    del queue[handshake]
    return handshake
