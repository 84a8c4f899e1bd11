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

    def take_turn(self, has_waited: bool) -> None:
        """Go on with the bytes that have come, some time ago if it has waited."""

    def time_out(self) -> None:
        """End: the peer takes too long."""


@define(eq=False)
class HandshakeQueue:
    """Lets handshakes go on: now, unless others have just done so, or in turn.

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
    #: How many seconds handshakes have used since they last left as long to others,
    #: and when the last step was over.
    _used: float = 0.0
    _ended_at: float = 0.0
    #: The call in the next turn, and the one when the oldest can be timed out.
    _next: IDelayedCall | None = None
    _until_room: IDelayedCall | None = None
    _bugs: ThrottledFailures = Factory(
        lambda self: ThrottledFailures(self._clock), takes_self=True
    )

    def run(self, handshake: QueuedHandshake) -> bool:
        """Let a handshake take a turn, now or later; returns whether now."""
        now = self._clock.seconds()
        # Others have had as much time since, or the clock was set back.  To learn it by
        # a call in the reactor's next turn would cost more than all else here.
        if not 0 <= now - self._ended_at < BUDGET:
            self._used = 0.0
        has_begun = handshake in self._running
        if self._used >= BUDGET or not (has_begun or self._lets_begin()):
            (self._begun if has_begun else self._new)[handshake] = None
            if self._next is None:
                self._look_next_turn()
            return False
        if not has_begun:
            self._running[handshake] = now
        try:
            handshake.take_turn(False)
        finally:
            self._note_end(now)
        return True

    def leave(self, handshake: QueuedHandshake) -> None:
        """Forget a handshake, which is over."""
        self._new.pop(handshake, None)
        self._begun.pop(handshake, None)
        if self._running.pop(handshake, None) is None or not self._new:
            return
        if self._next is None:
            self._look_next_turn()

    def _lets_begin(self) -> bool:
        """Whether one may begin that has not waited."""
        if self._new:
            return False
        return len(self._running) < self._most or self._has_room()

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
        if self._next is None:
            self._look_next_turn()

    def _look_next_turn(self) -> None:
        self._next = self._clock.callLater(0, self._on_next_turn)

    def _on_next_turn(self) -> None:
        try:
            has_time = self._take_turns()
        finally:
            self._next = None
        if not has_time:
            self._look_next_turn()

    def _take_turns(self) -> bool:
        """Run handshakes, and serve other connections after each `BUDGET`.

        A turn of the reactor for each would cost a tenth of a handshake.  Returns false
        if more of them wait than there was time for.
        """
        total = 0.0
        while True:
            self._used = 0.0
            self._on_turn()
            total += self._used
            if not (self._begun or self._new) or not 0 < self._used >= BUDGET:
                return True
            if total >= self._longest:
                return False
            self._serve_others()

    def _on_turn(self) -> None:
        now = self._clock.seconds()
        while self._used < BUDGET:
            if self._begun:
                handshake = _first(self._begun)
            elif self._new and self._has_room():
                handshake = _first(self._new)
                self._running[handshake] = now
            else:
                return
            try:
                handshake.take_turn(True)
            except Exception:
                # A bug in one handshake must not stop the others.
                self._bugs.tell("a bug in lbconsul: a handshake failed")
            now = self._note_end(now)

    def _note_end(self, begun: float) -> float:
        """Count the time of a turn; returns its end."""
        end = self._ended_at = self._clock.seconds()
        if end > begun:  # a clock may be set back
            self._used += end - begun
        return end


def _first(queue: dict[QueuedHandshake, None]) -> QueuedHandshake:
    handshake = next(iter(queue))
    del queue[handshake]
    return handshake
