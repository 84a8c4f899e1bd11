"""Measures how late the reactor runs delayed calls: how busy or blocked it is."""

from collections import deque

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: The interval between measurements, in seconds, and how many of them are kept.
EVERY = 0.25
_KEPT = 40


@define(eq=False)
class Lag:
    """Measures the delay of a periodic call."""

    _clock: IReactorTime
    _latest: deque[float] = Factory(lambda: deque(maxlen=_KEPT))
    _next: IDelayedCall | None = None
    _due: float = 0.0

    @property
    def worst(self) -> float:
        """The longest delay of a call in the last ten seconds, in seconds."""
        return max(self._latest, default=0.0)

    @property
    def latest(self) -> float:
        """The delay of the last call, in seconds."""
        return self._latest[-1] if self._latest else 0.0

    def start(self) -> None:
        """Start measuring, unless it is started."""
        if self._next is None:
            self._due = self._clock.seconds() + EVERY
            self._next = self._clock.callLater(EVERY, self._look)

    def stop(self) -> None:
        """Stop measuring."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        self._next = None
        self._latest.append(max(0.0, self._clock.seconds() - self._due))
        self.start()
