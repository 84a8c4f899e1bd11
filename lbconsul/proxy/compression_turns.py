"""How much is compressed in one turn of the reactor: other clients have theirs."""

from collections import deque
from typing import Protocol

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Bytes that are compressed in one turn, of all responses of a process; a single part
#: that is larger is not divided.  With the usual level it takes 3 ms.
IN_A_TURN = 128 << 10


class Waiting(Protocol):
    """A response of which a part waits."""

    def go_on(self) -> None:
        """Compress that part: it is this response's turn."""


@define(eq=False)
class CompressionTurns:
    """Lets responses compress so much in each turn; the others wait for a later one."""

    _clock: IReactorTime
    _left: int = IN_A_TURN
    _waiting: deque[Waiting] = Factory(deque)
    _next: IDelayedCall | None = None

    def take(self, size: int) -> bool:
        """Whether so many bytes may be compressed now; else `wait`."""
        if self._left <= 0 or self._waiting:
            return False
        self._use(size)
        return True

    def wait(self, response: Waiting) -> None:
        """Have ``go_on`` called when it is its turn, behind those that wait."""
        self._waiting.append(response)

    def go_on(self, size: int) -> None:
        """So many bytes are compressed by a response whose turn it is."""
        self._use(size)

    def stop(self) -> None:
        """Call none that waits."""
        self._waiting.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _use(self, size: int) -> None:
        self._left -= size
        if self._next is None:
            self._next = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        """The next turn of the reactor has begun."""
        self._next, self._left = None, IN_A_TURN
        waiting = self._waiting
        while waiting and self._left > 0:
            waiting.popleft().go_on()
        if waiting and self._next is None:  # none of them was still there
            self._next = self._clock.callLater(0, self._turn)
