"""Sweeps over many connections, in short slices between the reactor's turns."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lbconsul.net.throttled_log import ThrottledFailures

#: Longest slice of work in one turn of the reactor, in seconds.
SLICE = 0.002

#: Steps between two reads of the clock: a step takes from one to some tens of
#: microseconds.
_STEPS = 16

#: Most steps in one slice, whatever the clock says.
_MOST_STEPS = 4096

#: The fraction of time that slices take while there is work.
_SHARE = 1 / 2

#: The largest fraction of time that rounds of one sweeper take: with very many
#: connections rounds are less frequent.
_SHARE_OF_ROUNDS = 1 / 5

#: The most that one check counts of that, in seconds: one that ends nothing takes a few
#: microseconds.  What it takes to end a connection comes once, and a pause after it
#: would only make others' limits late.
_CHECK = 20e-6

#: The shortest and the longest time between two rounds, in seconds.
_SHORTEST, _LONGEST = 0.05, 60.0

Work = Iterator[object]


@define(eq=False)
class TimeSlicer:
    """Runs a process's periodic work in slices.

    Work is an iterator with short steps; a step that was long yields true.  No slice
    holds the reactor for much longer than `SLICE`, however much work there is, and
    the pause before the next slice is as long as the slice.
    """

    _clock: IReactorTime
    _works: deque[Work] = Factory(deque)
    #: The work whose steps a slice is running.
    _current: Work | None = None
    _is_at_it: bool = False
    #: When the next slice may begin, by the reactor's clock.
    _not_before: float = float("-inf")
    _next: IDelayedCall | None = None
    _bugs: ThrottledFailures = Factory(
        lambda self: ThrottledFailures(self._clock), takes_self=True
    )

    def begin(self, work: Work) -> None:
        """Add work; its first slice runs at once if no slice or pause is under way."""
        self._works.append(work)
        if self._is_at_it or self._next is not None:
            return
        wait = self._not_before - self._clock.seconds()
        if wait > 0:
            self._next = self._clock.callLater(wait, self._slice)
        else:
            self._slice()

    def drop(self, work: Work) -> None:
        """Remove work; nothing happens if it is done."""
        if work is self._current:
            self._current = None
        elif work in self._works:
            self._works.remove(work)
        if not self._works and self._next is not None:
            self._next.cancel()
            self._next = None

    def stop(self) -> None:
        """Remove all work.  `begin` starts the slicer again."""
        self._current = None
        for work in tuple(self._works):
            self.drop(work)

    def _slice(self) -> None:
        self._next = None
        begun = now = self._clock.seconds()
        self._is_at_it = True
        steps = 0
        # Bounded by steps as well: the clock may have been set back.
        while self._works and now - begun < SLICE and steps < _MOST_STEPS:
            self._go_on()
            steps += _STEPS
            now = self._clock.seconds()
        self._is_at_it = False
        pause = max(0.0, now - begun) * (1 / _SHARE - 1)
        self._not_before = now + pause
        if self._works:
            self._next = self._clock.callLater(pause, self._slice)

    def _go_on(self) -> None:
        """Run some steps of the next work in turn."""
        work = self._current = self._works.popleft()
        try:
            is_over = not self._steps(work)
        except Exception:
            # A bug in one work must not stop the others.
            self._bugs.tell("a bug in lbconsul: periodic work failed")
            is_over = True
        if not is_over and self._current is work:
            self._works.append(work)
        self._current = None

    def _steps(self, work: Work) -> bool:
        """Run up to `_STEPS` steps; returns whether there may be more."""
        count = 0
        for was_long in islice(work, _STEPS):
            if was_long:
                return True
            count += 1
        return count == _STEPS


class Checkable(Protocol):
    """Something with a time limit, such as a dial or a relay."""

    def check(self, now: float) -> None:
        """Check the limit; `now` is the reactor's time in seconds."""


@define(eq=False)
class Sweeper:
    """Checks every item on its list every `interval` seconds.

    It replaces a timer for each connection, which each byte would reset.  A limit
    fires at most one interval late, and the time that a round takes.
    """

    _clock: IReactorTime
    interval: float
    _sweeper: TimeSlicer = Factory(
        lambda self: TimeSlicer(self._clock), takes_self=True
    )
    #: What is checked.  To add to it, `start` unless the sweeper `runs`; to discard
    #: from it, nothing more is needed.
    items: set[Checkable] = Factory(set)
    #: Whether rounds are due, or one is under way.
    runs: bool = False
    _next: IDelayedCall | None = None
    #: The current round.
    _round: Work | None = None
    _bugs: ThrottledFailures = Factory(
        lambda self: ThrottledFailures(self._clock), takes_self=True
    )

    @staticmethod
    def interval_for(limit: float, longest: float = _LONGEST) -> float:
        """The seconds between rounds that suit a limit of so many seconds."""
        return min(longest, max(_SHORTEST, limit / 8))

    def add(self, checkable: Checkable) -> None:
        """Add an item, and start the rounds, unless they run."""
        self.items.add(checkable)
        if not self.runs:
            self.start()

    def start(self) -> None:
        """Start the rounds; they end once there are no items."""
        self.runs = True
        self._next = self._clock.callLater(self.interval, self._begin)

    def stop(self) -> None:
        """Empty the list and stop the rounds."""
        self.items.clear()
        self.runs = False
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._round is not None:
            self._sweeper.drop(self._round)
            self._round = None

    def _begin(self) -> None:
        self._next = None
        if self.items:
            self._round = self._walk()
            self._sweeper.begin(self._round)
        else:
            self.runs = False

    def _walk(self) -> Iterator[None]:
        seconds, on_list = self._clock.seconds, self.items
        begun = last = seconds()
        checking = 0.0
        # What comes later has its turn in the next round, what has gone has none; and
        # what has gone is not kept, to be freed together with all others.
        rest = list(on_list)
        while rest:
            checkable = rest.pop()
            if checkable in on_list:
                now = seconds()
                checking += min(now - last, _CHECK)
                last = now
                try:
                    checkable.check(now)
                except Exception:
                    # A bug in one item must not stop the others' limits.
                    self._bugs.tell("a bug in lbconsul: a check failed")
            yield
        self._round = None
        if on_list:
            taken = seconds() - begun
            # Slices alone would make a round of the checks take so long.
            pause = (1 / _SHARE_OF_ROUNDS - 1) * checking / _SHARE
            wait = max(self.interval - taken, pause, 0.0)
            self._next = self._clock.callLater(wait, self._begin)
        else:
            self.runs = False
