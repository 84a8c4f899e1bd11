"""How late the reactor's calls come: how busy, or held up, the process is."""

from collections import deque

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: How often to look, in seconds, and how many looks count.
EVERY = 0.25
_KEPT = 40


@define(eq=False)
class Lag:
    """Looks at the clock at regular intervals."""

    _clock: IReactorTime
    _latest: deque[float] = Factory(lambda: deque(maxlen=_KEPT))
    _next: IDelayedCall | None = None
    _due: float = 0.0

    @property
    def worst(self) -> float:
        """By how much a call came too late, at most, in the last ten seconds."""
        return max(self._latest, default=0.0)

    def start(self) -> None:
        """Begin, unless it has."""
        if self._next is None:
            self._due = self._clock.seconds() + EVERY
            self._next = self._clock.callLater(EVERY, self._look)

    def stop(self) -> None:
        """End."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        self._next = None
        self._latest.append(max(0.0, self._clock.seconds() - self._due))
        self.start()
