"""How answers share the reactor's time, so that connections never wait for them."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Cooperator, TaskFinished, TaskStopped
from twisted.python.failure import Failure

#: How long all long answers together may hold the reactor at a time, in seconds.
SLICE = 0.002

#: The part of the reactor's time that they may have, as long as it has other work.
SHARE = 0.25

#: The same for short answers, of which each takes some 0.2 ms.
PROMPT_SLICE, PROMPT_SHARE = 0.001, 0.5

#: Bytes written in one slice, at most: they are sent outside of it.
MOST_WRITTEN = 1 << 18

#: The longest pause between two slices, in seconds: a slice takes long on a busy
#: machine, too.
_LONGEST_PAUSE = 0.02


@define(eq=False)
class Part:
    """The work of one answer; to pause it twice is to pause it once."""

    _task: Any = None
    _is_paused: bool = False

    def pause(self) -> None:
        """Leave the others more time."""
        if not self._is_paused and self._task is not None:
            self._is_paused = True
            self._task.pause()

    def resume(self) -> None:
        """Go on, unless it does."""
        if self._is_paused and self._task is not None:
            self._is_paused = False
            self._task.resume()

    def stop(self) -> None:
        """Do no more of it, if there is more to do."""
        task, self._task = self._task, None
        if task is not None:
            with suppress(TaskFinished):
                task.stop()


@define(eq=False)
class Turns:
    """Gives all who take part one slice of the reactor's time together, in turn.

    Between two slices the reactor has its time for connections.  What fails harms
    no other.
    """

    _clock: IReactorTime
    _slice: float = SLICE
    _share: float = SHARE
    _cooperator: Cooperator = field(init=False)
    #: When the last slice began, and when its last step ended.
    _begun: float = 0.0
    _ended: float = 0.0
    #: Bytes written in this slice.
    _written: int = 0

    def __attrs_post_init__(self) -> None:
        self._cooperator = Cooperator(self._begin, self._schedule)

    def wrote(self, size: int) -> None:
        """Called by those who take part."""
        self._written += size

    def take_part(
        self, work: Iterator[object], failed: Callable[[Failure], None]
    ) -> Part:
        """Do `work`, a step each turn; `failed` is called if a step raises.

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
        """Called after each step."""
        self._ended = self._clock.seconds()
        if self._written >= MOST_WRITTEN:
            return True
        return self._ended >= self._begun + self._slice

    def _schedule(self, tick: Callable[[], None]) -> IDelayedCall:
        """Called when there is something to do, and no slice is to come."""
        pause = (self._ended - self._begun) * (1 / self._share - 1)
        begin = self._ended + min(pause, _LONGEST_PAUSE)
        return self._clock.callLater(max(0.0, begin - self._clock.seconds()), tick)
