"""When to eject an upstream that fails, for how long, and when to trust it again.

What we see ourselves, beside what Consul says: a check may pass while nobody
can connect.  The rule is that of Envoy's outlier detection for consecutive
failures at the connection level, with a trial by one connection before the rest
follow.
https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier
"""

from collections.abc import Callable, Collection
from enum import Enum
from heapq import heappop, heappush
from itertools import count

from attrs import Factory, define

from lbconsul.balance.lottery import Chance
from lbconsul.balance.selection import Patience
from lbconsul.balance.upstream import Outcome, Record, Upstream

#: What a connection counts that the upstream ended at once, when one that it
#: refused counts 1: it may have its reasons.
_SPOILED = 0.5

#: One that is full when it is to be tried is looked at again so much later, in
#: seconds: others may be due that have room.
_PUT_OFF = 1.0


class Ruling(Enum):
    """What follows from an outcome."""

    EJECT = "eject"
    TRUST = "trust"
    NOTHING = "nothing"


@define(eq=False)
class Outliers:
    """Who of one pool is ejected, until when, and who is tried out.

    Never more than half of the candidates are, and so never the only one.
    """

    _patience: Patience
    _chance: Chance
    _seconds: Callable[[], float]
    #: Whether an upstream has as many connections as it may, and cannot be tried.
    _is_full: Callable[[Upstream], bool] = lambda upstream: False
    _ejected: dict[Upstream, Record] = Factory(dict)
    #: A heap of (when it is over, number, upstream); one that does not agree
    #: with its record is outdated.
    _queue: list[tuple[float, int, Upstream]] = Factory(list)
    _numbers: "count[int]" = Factory(count)

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._ejected

    @property
    def ejected(self) -> Collection[Upstream]:
        """All who are."""
        return self._ejected.keys()

    def learn(
        self, upstream: Upstream, outcome: Outcome, on_trial: bool, candidates: int
    ) -> Ruling:
        """What follows for an upstream, one of so many that Consul lets serve."""
        record = upstream.record
        if upstream in self._ejected:
            # What is shown by others was begun before it was ejected.
            known = self._ejected[upstream]
            return self._tried(known, outcome) if on_trial else Ruling.NOTHING
        if record is None:
            record = upstream.record = Record()
        self._note(record, outcome)
        score = record.refused + _SPOILED * record.spoiled
        too_bad = 0 < self._patience.failures <= score
        if too_bad and self._others_suffice(candidates):
            return Ruling.EJECT
        return Ruling.NOTHING

    def _others_suffice(self, candidates: int) -> bool:
        return len(self._ejected) < candidates // 2

    def _note(self, record: Record, outcome: Outcome) -> None:
        if outcome is Outcome.REFUSED:
            record.refused += 1
        elif outcome is Outcome.CONNECTED:
            record.refused = 0
        elif outcome is Outcome.PROVED:
            record.spoiled = record.ejections = 0
        elif self._patience.spoiled:
            record.spoiled += 1

    def _tried(self, record: Record, outcome: Outcome) -> Ruling:
        """What follows from the trial of one that is ejected."""
        if outcome is Outcome.CONNECTED:
            return Ruling.NOTHING
        if outcome is Outcome.PROVED:
            return Ruling.TRUST
        self._note(record, outcome)
        return Ruling.EJECT

    def eject(self, upstream: Upstream) -> str:
        """It gets nothing for a while; why and for how long, for people to read."""
        record = upstream.record
        assert record is not None
        now = self._seconds()
        span = self._patience.span(record.ejections, self._chance())
        record.eject(now, now + span)
        self._ejected[upstream] = record
        self._enqueue(upstream, record)
        return f"{record.why()}; back in {span:.0f} s"

    def condemn(self, upstream: Upstream, candidates: int) -> str | None:
        """Eject it, since an operator wants it so; None if others do not suffice."""
        if upstream in self._ejected or not self._others_suffice(candidates):
            return None
        upstream.record = upstream.record or Record()
        upstream.record.by_hand = True
        return self.eject(upstream)

    def in_words(self, upstream: Upstream) -> str:
        """Why one is ejected, since when and until when, for people to read."""
        record, now = self._ejected[upstream], self._seconds()
        left = record.until - now
        ahead = f"back in {left:.0f} s" if left > 0 else "to be tried now"
        return f"ejected {now - record.since:.0f} s ago: {record.why()}, {ahead}"

    def due(self, avoiding: Collection[Upstream]) -> Upstream | None:
        """Whose time is over, to be tried by the connection that is to come."""
        now = self._seconds()
        while self._queue and self._queue[0][0] <= now:
            until, _, upstream = heappop(self._queue)
            record = self._ejected.get(upstream)
            if record is None or record.on_trial or record.until != until:
                continue
            if upstream in avoiding:
                self._enqueue(upstream, record)
                return None
            if self._is_full(upstream):
                record.until = now + _PUT_OFF
                self._enqueue(upstream, record)
                continue
            return upstream
        return None

    def last_resort(self, avoiding: Collection[Upstream]) -> Upstream | None:
        """Who is ejected, but still better than nobody."""
        for upstream in self._ejected:
            if upstream not in avoiding and not self._is_full(upstream):
                return upstream
        return None

    def begin_trial(self, upstream: Upstream) -> bool:
        """Whether the connection to come tries it: one at a time does."""
        record = self._ejected[upstream]
        begins, record.on_trial = not record.on_trial, True
        return begins

    def untried(self, upstream: Upstream) -> None:
        """The connection that tried it is over, and has shown nothing."""
        record = self._ejected.get(upstream)
        if record is not None and record.on_trial:
            record.on_trial = False
            self._enqueue(upstream, record)

    def trust(self, upstream: Upstream) -> None:
        """It is ejected no longer, and starts anew."""
        self._ejected.pop(upstream, None)
        upstream.record = None

    def surplus(self, candidates: int) -> list[Upstream]:
        """Who must be trusted again, since too many of the others left."""
        too_many = len(self._ejected) - candidates // 2
        return list(self._ejected)[:too_many] if too_many > 0 else []

    def _enqueue(self, upstream: Upstream, record: Record) -> None:
        heappush(self._queue, (record.until, next(self._numbers), upstream))
