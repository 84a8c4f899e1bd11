"""Cooperative scheduling of admin answers: they never block proxied connections."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Cooperator, TaskFinished, TaskStopped
from twisted.python.failure import Failure

#: The longest time for which all long answers together block the reactor, in seconds.
SLICE = 0.002

#: Their largest share of the reactor's time while the reactor has other work.
SHARE = 0.25

#: The same two limits for short answers: each takes some 0.2 ms.
PROMPT_SLICE, PROMPT_SHARE = 0.001, 0.5

#: The most bytes written in one slice: the reactor sends them outside of the slice.
MOST_WRITTEN = 1 << 18

#: The longest pause between two slices, in seconds: on a busy machine a slice can take
#: long by the clock.
_LONGEST_PAUSE = 0.02


@define(eq=False)
class Part:
    """The work of one answer; pausing and resuming are idempotent."""

    _task: Any = None
    _is_paused: bool = False

    def pause(self) -> None:
        """Suspend the work."""
        if not self._is_paused and self._task is not None:
            self._is_paused = True
            self._task.pause()

    def resume(self) -> None:
        """Go on with suspended work."""
        if self._is_paused and self._task is not None:
            self._is_paused = False
            self._task.resume()

    def stop(self) -> None:
        """End the work, finished or not."""
        task, self._task = self._task, None
        if task is not None:
            with suppress(TaskFinished):
                task.stop()


@define(eq=False)
class Turns:
    """Runs all parts in slices of the reactor's time, one step of each in turn.

    Between two slices the reactor serves connections.  A part that fails does not
    affect the others.
    """

    _clock: IReactorTime
    _slice: float = SLICE
    _share: float = SHARE
    _cooperator: Cooperator = field(init=False)
    #: The time at which the last slice began, and at which its last step ended.
    _begun: float = 0.0
    _ended: float = 0.0
    #: Bytes written in this slice.
    _written: int = 0

    def __attrs_post_init__(self) -> None:
        self._cooperator = Cooperator(self._begin, self._schedule)

    def wrote(self, size: int) -> None:
        """Called by a part that wrote `size` bytes, for the limit of the slice."""
        self._written += size

    def take_part(
        self, work: Iterator[object], failed: Callable[[Failure], None]
    ) -> Part:
        """Run `work`, one step per turn; `failed` is called if a step raises.

        A step should take less than a millisecond.
        """
        task = self._cooperator.cooperate(work)

        def ended(failure: Failure) -> None:
            if failure.check(TaskStopped) is None:
                failed(failure)

        task.whenDone().addErrback(ended)
        return Part(task)

    def _begin(self) -> Callable[[], bool]:
        self._begun = self._ended = self._clock.seconds()
        self._written = 0
        return self._is_over

    def _is_over(self) -> bool:
        """Called by the cooperator after each step: whether the slice ends."""
        self._ended = self._clock.seconds()
        if self._written >= MOST_WRITTEN:
            return True
        return self._ended >= self._begun + self._slice

    def _schedule(self, tick: Callable[[], None]) -> IDelayedCall:
        """Called by the cooperator when there is work: schedule the next slice."""
        pause = (self._ended - self._begun) * (1 / self._share - 1)
        begin = self._ended + min(pause, _LONGEST_PAUSE)
        return self._clock.callLater(max(0.0, begin - self._clock.seconds()), tick)
