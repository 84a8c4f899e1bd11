"""Upkeep: what is to be done now and then, though nothing happens."""

from typing import Protocol

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

#: How often, in seconds.
EVERY = 0.25


class Tended(Protocol):
    """A registry, or a factory."""

    def tend(self) -> None:
        """Do what has become due by now."""


@define(eq=False)
class Upkeep:
    """Tends what it is given, a few times a second, in the order in which it came."""

    _log = Logger()
    _clock: IReactorTime
    _tended: dict[Tended, None] = Factory(dict)
    _next: IDelayedCall | None = None

    def add(self, tended: Tended) -> None:
        """Tend it from now on."""
        self._tended[tended] = None

    def discard(self, tended: Tended) -> None:
        """Tend it no longer, if it was tended."""
        self._tended.pop(tended, None)

    def start(self) -> None:
        """Begin, unless it has."""
        if self._next is None:
            self._next = self._clock.callLater(EVERY, self._round)

    def stop(self) -> None:
        """End, until it is started again."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _round(self) -> None:
        self._next = self._clock.callLater(EVERY, self._round)
        for each in tuple(self._tended):
            try:
                each.tend()
            except Exception:
                # The others are to be tended all the same.
                self._log.failure("a bug in lbconsul: tending failed")
