"""Periodic work over many connections, done in slices of the reactor's turns."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lbconsul.net.throttled_failures import ThrottledFailures

#: How long one slice of work may hold the reactor, in seconds.
SLICE = 0.002

#: Steps between two looks at the clock: each takes a microsecond, or some tens.
_STEPS = 16

#: Steps in one slice, at most, whatever the clock says.
_MOST_STEPS = 4096

#: Of the time while there is something to do, the slices take so much.
_SHARE = 1 / 2

#: Of all time the rounds of one sweeper take so much: with very many connections they
#: are less frequent.
_SHARE_OF_ROUNDS = 1 / 5

#: The shortest and the longest time between two rounds, in seconds.
_SHORTEST, _LONGEST = 0.05, 60.0

Work = Iterator[object]


@define(eq=False)
class TimeSlicer:
    """Does a process's periodic work in slices.

    A piece of work is an iterator, each step of which is short, or true if it was not.
    However many pieces there are, and however long, no slice holds the reactor for much
    longer than `SLICE`, and as long as it took passes before the next one.
    """

    _clock: IReactorTime
    _works: deque[Work] = Factory(deque)
    #: The piece of work that a slice is at.
    _current: Work | None = None
    _is_at_it: bool = False
    #: When the next slice may begin, by the reactor's clock.
    _not_before: float = float("-inf")
    _next: IDelayedCall | None = None
    _bugs: ThrottledFailures = Factory(
        lambda self: ThrottledFailures(self._clock), takes_self=True
    )

    def begin(self, work: Work) -> None:
        """Do this too, from now on, by and by; at once, if it can be done at once."""
        self._works.append(work)
        if self._is_at_it or self._next is not None:
            return
        wait = self._not_before - self._clock.seconds()
        if wait > 0:
            self._next = self._clock.callLater(wait, self._slice)
        else:
            self._slice()

    def drop(self, work: Work) -> None:
        """Do no more of this; nothing happens if it is over."""
        if work is self._current:
            self._current = None
        elif work in self._works:
            self._works.remove(work)
        if not self._works and self._next is not None:
            self._next.cancel()
            self._next = None

    def stop(self) -> None:
        """Do no more of anything, until something new begins."""
        self._current = None
        for work in tuple(self._works):
            self.drop(work)

    def _slice(self) -> None:
        self._next = None
        begun = now = self._clock.seconds()
        self._is_at_it = True
        steps = 0
        # The steps count as well: the clock may have been set back.
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
        """Some steps of the piece of work whose turn it is."""
        work = self._current = self._works.popleft()
        try:
            is_over = not self._steps(work)
        except Exception:
            # The others are to go on all the same.
            self._bugs.tell("a bug in lbconsul: periodic work failed")
            is_over = True
        if not is_over and self._current is work:
            self._works.append(work)
        self._current = None

    def _steps(self, work: Work) -> bool:
        """Take some; whether there may be more."""
        count = 0
        for was_long in islice(work, _STEPS):
            if was_long:
                return True
            count += 1
        return count == _STEPS


class Checkable(Protocol):
    """Something with a time limit."""

    def inspect(self, now: float) -> None:
        """A round has come to it, at this time of the reactor's clock."""


@define(eq=False)
class Sweeper:
    """Inspects everything on its list every `interval` seconds.

    In place of a timer for each connection, which would have to be moved with
    each byte: a limit of n intervals is kept to within one interval.  The list may be
    its owner's, who then calls `start` when something is on it.
    """

    _clock: IReactorTime
    interval: float
    _list: set[Checkable] = Factory(set)
    _sweeper: TimeSlicer = Factory(
        lambda self: TimeSlicer(self._clock), takes_self=True
    )
    _next: IDelayedCall | None = None
    #: The round that is under way.
    _round: Work | None = None
    _bugs: ThrottledFailures = Factory(
        lambda self: ThrottledFailures(self._clock), takes_self=True
    )

    @staticmethod
    def interval_for(limit: float, longest: float = _LONGEST) -> float:
        """How often to look, so that a limit of so many seconds is kept well enough."""
        return min(longest, max(_SHORTEST, limit / 8))

    @classmethod
    def for_deadline(
        cls, clock: IReactorTime, limit: float, longest: float = _LONGEST
    ) -> "Sweeper":
        """One that is frequent enough to keep a limit of so many seconds."""
        return cls(clock, cls.interval_for(limit, longest))

    def add(self, checkable: Checkable) -> None:
        """Inspect it from now on."""
        self._list.add(checkable)
        self.start()

    def start(self) -> None:
        """Inspect what is on the list from now on."""
        if self._next is None and self._round is None:
            self._next = self._clock.callLater(self.interval, self._begin)

    def discard(self, checkable: Checkable) -> None:
        """Inspect it no longer, if it was inspected."""
        self._list.discard(checkable)

    def stop(self) -> None:
        """Inspect nothing any more, until something is added."""
        self._list.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._round is not None:
            self._sweeper.drop(self._round)
            self._round = None

    def _begin(self) -> None:
        self._next = None
        if self._list:
            self._round = self._walk()
            self._sweeper.begin(self._round)

    def _walk(self) -> Iterator[None]:
        seconds, on_list = self._clock.seconds, self._list
        begun = seconds()
        # What comes later has its turn in the next round, what has gone has none; and
        # what has gone is not kept, to be freed together with all others.
        rest = list(on_list)
        while rest:
            checkable = rest.pop()
            if checkable in on_list:
                try:
                    checkable.inspect(seconds())
                except Exception:
                    # The others' limits are to be kept all the same.
                    self._bugs.tell("an inspection failed")
            yield
        self._round = None
        if on_list:
            taken = seconds() - begun
            pause = (1 / _SHARE_OF_ROUNDS - 1) * taken
            wait = max(self.interval - taken, pause, 0.0)
            self._next = self._clock.callLater(wait, self._begin)
