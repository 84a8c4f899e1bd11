"""When to eject an upstream that fails, for how long, and when to restore it.

What we see ourselves, beside what Consul says: a check may pass while nobody
can connect.  The rule is that of Envoy's outlier detection for consecutive
failures at the connection level, with a probe by one connection before the rest
follow.
https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier
"""

from collections.abc import Callable, Collection
from enum import Enum
from heapq import heappop, heappush
from itertools import count

from attrs import Factory, define, frozen

from lbconsul.balance.pool_spec import OutlierConfig
from lbconsul.balance.upstream import Lease, Outcome, OutlierRecord, Upstream
from lbconsul.balance.weighted import Chance

#: What a connection counts that the upstream ended at once, when one that it
#: refused counts 1: it may have its reasons.
_SPOILED = 0.5

#: One that is full when it is to be probed is looked at again so much later, in
#: seconds: others may be due that have room.
_PUT_OFF = 1.0


class Ruling(Enum):
    """What follows from an outcome."""

    EJECT = "eject"
    TRUST = "trust"
    NOTHING = "nothing"


@frozen
class Ejection:
    """Why an upstream is ejected, since when and until when, in seconds."""

    reason: str
    since: float
    until: float

    @property
    def seconds(self) -> float:
        """How long it lasts in all."""
        return self.until - self.since

    def in_words(self, now: float) -> str:
        """The same for people to read."""
        left = self.until - now
        ahead = f"back in {left:.0f} s" if left > 0 else "to be tried now"
        return f"ejected {now - self.since:.0f} s ago: {self.reason}, {ahead}"


@define(eq=False)
class Outliers:
    """Which upstreams of one pool are ejected, until when, and which are probed.

    At most half of the candidates are ejected, and so never the only one; all of
    them where the connections have another pool to go to.
    """

    _patience: OutlierConfig
    _chance: Chance
    _seconds: Callable[[], float]
    #: Whether an upstream has as many connections as it may, and cannot be probed.
    _is_full: Callable[[Upstream], bool] = lambda upstream: False
    #: Whether connections have another pool to go to.
    _has_elsewhere: Callable[[], bool] = lambda: False
    _ejected: dict[Upstream, OutlierRecord] = Factory(dict)
    #: A heap of (when it is over, number, upstream); one that does not agree
    #: with its record is outdated.
    _queue: list[tuple[float, int, Upstream]] = Factory(list)
    _numbers: "count[int]" = Factory(count)

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._ejected

    @property
    def ejected(self) -> Collection[Upstream]:
        """All that are."""
        return self._ejected.keys()

    def learn(self, lease: Lease, outcome: Outcome, candidates: int) -> Ruling:
        """What follows for its upstream, one of so many that Consul lets serve."""
        upstream = lease.upstream
        known = self._ejected.get(upstream)
        if known is not None:
            # What is shown by others was begun before it was ejected.
            return self._tried(known, lease, outcome) if lease.on_trial else _NOTHING
        record = upstream.record
        if record is None:
            record = upstream.record = OutlierRecord()
        self._note(record, outcome)
        score = record.refused + _SPOILED * record.spoiled
        too_bad = 0 < self._patience.failures <= score
        if too_bad and self.others_suffice(candidates):
            return Ruling.EJECT
        return _NOTHING

    def others_suffice(self, candidates: int) -> bool:
        """Whether one more of so many may be ejected."""
        return len(self._ejected) < candidates // 2 or self._has_elsewhere()

    def _note(self, record: OutlierRecord, outcome: Outcome) -> None:
        if outcome is Outcome.REFUSED:
            record.refused += 1
        elif outcome is Outcome.CONNECTED:
            record.refused = record.missed = 0
        elif outcome is Outcome.SUCCESS:
            record.spoiled = record.ejections = 0
        elif outcome is Outcome.EARLY_CLOSE and self._patience.spoiled:
            record.spoiled += 1

    def _tried(self, record: OutlierRecord, lease: Lease, outcome: Outcome) -> Ruling:
        """What follows from a connection that was begun after the ejection."""
        if outcome is Outcome.CONNECTED:
            return _NOTHING
        # Where an early end is no failure, to accept is all that one can ask for.
        is_usual = outcome is Outcome.EARLY_CLOSE and not self._patience.spoiled
        if outcome is Outcome.SUCCESS or is_usual:
            return Ruling.TRUST
        if record.probe is not lease:
            return _NOTHING  # a last resort: its failure is no news
        if outcome is Outcome.EMPTY:
            span = self._patience.span(0, self._chance())
            self._put_off(lease.upstream, record, span)
            return _NOTHING
        self._note(record, outcome)
        return Ruling.EJECT

    def eject(self, upstream: Upstream) -> Ejection:
        """It gets nothing for a while; why, and for how long."""
        record = upstream.record
        assert record is not None
        now = self._seconds()
        span = self._patience.span(record.ejections, self._chance())
        record.eject(now, now + span)
        self._ejected[upstream] = record
        self._enqueue(upstream, record)
        return self.ejection(upstream)

    def eject_manually(self, upstream: Upstream) -> Ejection:
        """Eject it, since an operator wants it so."""
        upstream.record = upstream.record or OutlierRecord()
        upstream.record.by_hand = True
        return self.eject(upstream)

    def ejection(self, upstream: Upstream) -> Ejection:
        """Why one is ejected, since when and until when."""
        record = self._ejected[upstream]
        return Ejection(record.why(), record.since, record.until)

    def in_words(self, upstream: Upstream) -> str:
        """The same for people to read."""
        return self.ejection(upstream).in_words(self._seconds())

    def due(self) -> Upstream | None:
        """One whose time is over, to be probed by the connection that is to come."""
        if not self._queue:
            return None
        now = self._seconds()
        while self._queue and self._queue[0][0] <= now:
            until, _, upstream = heappop(self._queue)
            record = self._ejected.get(upstream)
            if record is None or record.probe is not None or record.until != until:
                continue
            if self._is_full(upstream):
                record.until = now + _PUT_OFF
                self._enqueue(upstream, record)
                continue
            return upstream
        return None

    def begin(self, lease: Lease) -> None:
        """A connection to an ejected one begins: it is the probe, if one is due."""
        record = self._ejected[lease.upstream]
        if record.probe is None and record.until <= self._seconds():
            record.probe = lease

    def abandon_probe(self, lease: Lease) -> None:
        """A connection has shown nothing: if it was the probe, the next one is later.

        Each time twice as long, as if it had failed: were it due again at once, all
        connections would go to one that accepts and never answers.
        """
        record = self._ejected.get(lease.upstream)
        if record is not None and record.probe is lease:
            span = self._patience.span(record.inconclusive, self._chance())
            record.inconclusive += 1
            self._put_off(lease.upstream, record, span)

    def _put_off(self, upstream: Upstream, record: OutlierRecord, span: float) -> None:
        record.probe = None
        record.until = self._seconds() + span
        self._enqueue(upstream, record)

    def hasten(self) -> None:
        """One of those that failed together is well: probe the others soon.

        Else all that comes would be its alone for as long as they are ejected.
        """
        now = self._seconds()
        for upstream, record in self._ejected.items():
            if record.until > now:
                record.until = now
                self._enqueue(upstream, record)

    def trust(self, upstream: Upstream) -> None:
        """It is ejected no longer, and starts anew."""
        self._ejected.pop(upstream, None)
        upstream.record = None

    def surplus(self, candidates: int) -> list[Upstream]:
        """Which must be restored, since too many of the others left."""
        too_many = len(self._ejected) - candidates // 2
        if too_many <= 0 or self._has_elsewhere():
            return []
        return list(self._ejected)[:too_many]

    def _enqueue(self, upstream: Upstream, record: OutlierRecord) -> None:
        heappush(self._queue, (record.until, next(self._numbers), upstream))


_NOTHING = Ruling.NOTHING
