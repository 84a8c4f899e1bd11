"""Periodic work: what falls due without an event."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lbconsul.net.sweeper import TimeSlicer

_log = Logger()

#: Seconds between rounds.
EVERY = 0.25


class Tickable(Protocol):
    """Something with periodic work, such as the registry or a factory."""

    def tick(self) -> Iterable[object]:
        """Do what is due: returns its steps, empty if nothing is due.

        `tick` is not called again before all steps are done.
        """


@define(eq=False)
class Periodic:
    """Calls `tick` of each tickable every `EVERY` seconds, in the order of `add`.

    Long work of one tickable does not delay the others.
    """

    _log = Logger()
    _clock: IReactorTime
    _sweeper: TimeSlicer = Factory(
        lambda self: TimeSlicer(self._clock), takes_self=True
    )
    _tickables: dict[Tickable, None] = Factory(dict)
    #: Tickables whose steps are not all done.
    _busy: set[Tickable] = Factory(set)
    _runs: bool = False
    _next: IDelayedCall | None = None

    def add(self, tickable: Tickable) -> None:
        """Call `tick` of this from now on."""
        self._tickables[tickable] = None

    def discard(self, tickable: Tickable) -> None:
        """Remove this, if it was added."""
        self._tickables.pop(tickable, None)

    def start(self) -> None:
        """Start the rounds, unless they run."""
        if not self._runs:
            self._runs = True
            self._next = self._clock.callLater(EVERY, self._begin)

    def stop(self) -> None:
        """Stop the rounds, until `start`."""
        self._runs = False
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _begin(self) -> None:
        self._next = None
        self._sweeper.begin(self._round())

    def _round(self) -> Iterator[None]:
        begun = self._clock.seconds()
        for each in tuple(self._tickables):
            if not self._runs:
                return
            if each in self._tickables and each not in self._busy:
                self._tick(each)
            yield
        if self._next is None:
            wait = max(0.0, begun + EVERY - self._clock.seconds())
            self._next = self._clock.callLater(wait, self._begin)

    def _tick(self, each: Tickable) -> None:
        try:
            steps = each.tick()
        except Exception:
            self._failed()
            return
        if steps:
            self._busy.add(each)
            self._sweeper.begin(self._steps(each, steps))

    def _steps(self, each: Tickable, steps: Iterable[object]) -> Iterator[None]:
        try:
            for _ in steps:
                yield
                if not self._runs or each not in self._tickables:
                    return
        except Exception:
            self._failed()
        finally:
            self._busy.discard(each)

    def _failed(self) -> None:
        # A bug in one tickable must not stop the others.
        self._log.failure("a bug in lbconsul: a periodic task failed")


def repeat(
    clock: IReactorTime, seconds: float, what: Callable[[], object]
) -> LoopingCall:
    """Call `what` every `seconds`; an exception is logged and does not end it."""

    def call() -> None:
        try:
            what()
        except Exception:
            _log.failure("a bug in lbconsul: a periodic task failed; it is tried again")

    loop = LoopingCall(call)
    loop.clock = clock
    loop.start(seconds, now=False)
    return loop
