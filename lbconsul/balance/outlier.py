"""When to eject an upstream that fails, for how long, and when to restore it.

Connections are evidence beside Consul's checks: a check may pass while no client
can connect.  The rule is that of Envoy's outlier detection for consecutive
failures at the connection level, and for consecutive 5xx where that is wanted; one
connection or request probes the upstream before the rest follow.
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

#: An early close counts as this part of a refused connection: the upstream may have
#: a good reason to close.
_EARLY_CLOSE = 0.5

#: If an upstream is full when its probe is due, the probe is postponed by this many
#: seconds: other upstreams may be due that have room.
_PUT_OFF = 1.0


class Ruling(Enum):
    """What the outlier detection decides after an outcome."""

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
        """The length of the whole ejection, in seconds."""
        return self.until - self.since

    def in_words(self, now: float) -> str:
        """The ejection as text for the operator."""
        left = self.until - now
        ahead = f"back in {left:.0f} s" if left > 0 else "a probe is due"
        return f"ejected {now - self.since:.0f} s ago: {self.reason}, {ahead}"


@define(eq=False)
class Outliers:
    """The outlier detection of one pool: which upstreams are ejected or probed.

    At most half of the candidates are ejected, hence never the only one.  All of them
    may be ejected if the connections have another pool to go to.
    """

    _patience: OutlierConfig
    _chance: Chance
    _seconds: Callable[[], float]
    #: Whether an upstream is at its connection limit, and so cannot be probed.
    _is_full: Callable[[Upstream], bool] = lambda upstream: False
    #: Whether connections have another pool to go to.
    _has_elsewhere: Callable[[], bool] = lambda: False
    _ejected: dict[Upstream, OutlierRecord] = Factory(dict)
    #: A heap of (end of the ejection, number, upstream); an entry that differs from
    #: the upstream's record is outdated.
    _queue: list[tuple[float, int, Upstream]] = Factory(list)
    _numbers: "count[int]" = Factory(count)

    def __contains__(self, upstream: Upstream) -> bool:
        return upstream in self._ejected

    @property
    def ejected(self) -> Collection[Upstream]:
        """The ejected upstreams."""
        return self._ejected.keys()

    def learn(self, lease: Lease, outcome: Outcome, candidates: int) -> Ruling:
        """Count an outcome, and decide what follows for the upstream.

        `candidates` is the number of upstreams that Consul lets serve.
        """
        upstream = lease.upstream
        known = self._ejected.get(upstream)
        if known is not None:
            # Leases that began before the ejection do not count.
            return self._tried(known, lease, outcome) if lease.probing else _NOTHING
        record = upstream.record
        if record is None:
            record = upstream.record = OutlierRecord()
        self._note(record, outcome)
        score = record.refused + _EARLY_CLOSE * record.early_closes
        too_bad = (
            0 < self._patience.failures <= score
            or 0 < self._patience.errors <= record.errors
        )
        if too_bad and self.others_suffice(candidates):
            return Ruling.EJECT
        return _NOTHING

    def others_suffice(self, candidates: int) -> bool:
        """Whether one more of this many candidates may be ejected."""
        return len(self._ejected) < candidates // 2 or self._has_elsewhere()

    def _note(self, record: OutlierRecord, outcome: Outcome) -> None:
        if outcome is Outcome.REFUSED:
            record.refused += 1
        elif outcome is Outcome.CONNECTED:
            record.refused = record.missed = 0
        elif outcome is Outcome.SUCCESS:
            record.early_closes = record.errors = record.ejections = 0
        elif outcome is Outcome.ERROR:
            record.errors += 1
        elif outcome is Outcome.EARLY_CLOSE and self._patience.early_close:
            record.early_closes += 1

    def _tried(self, record: OutlierRecord, lease: Lease, outcome: Outcome) -> Ruling:
        """Decide after an outcome of a connection that began after the ejection."""
        if outcome is Outcome.CONNECTED:
            return _NOTHING
        # If an early close is no failure, accepting is enough to be restored.
        is_usual = outcome is Outcome.EARLY_CLOSE and not self._patience.early_close
        if outcome is Outcome.SUCCESS or is_usual:
            return Ruling.TRUST
        if record.probe is not lease:
            return _NOTHING  # used as the last resort: its failure changes nothing
        if outcome is Outcome.EMPTY:
            span = self._patience.span(0, self._chance())
            self._put_off(lease.upstream, record, span)
            return _NOTHING
        self._note(record, outcome)
        return Ruling.EJECT

    def eject(self, upstream: Upstream) -> Ejection:
        """Eject an upstream for a time that grows with its consecutive ejections."""
        record = upstream.record
        assert record is not None
        now = self._seconds()
        span = self._patience.span(record.ejections, self._chance())
        record.eject(now, now + span)
        self._ejected[upstream] = record
        self._enqueue(upstream, record)
        return self.ejection(upstream)

    def eject_unasked(
        self, upstream: Upstream, slow: str = "", times: int = 0
    ) -> Ejection:
        """Eject an upstream that did not fail: on an operator's order.

        Or since it is `slow`, for which it was ejected so many `times` in a row.
        """
        record = upstream.record = upstream.record or OutlierRecord()
        record.by_hand, record.slow = not slow, slow
        record.ejections = max(record.ejections, times)
        return self.eject(upstream)

    def ejection(self, upstream: Upstream) -> Ejection:
        """Why an ejected upstream is ejected, since when and until when."""
        record = self._ejected[upstream]
        return Ejection(record.why(), record.since, record.until)

    def in_words(self, upstream: Upstream) -> str:
        """The ejection of an ejected upstream as text for the operator."""
        return self.ejection(upstream).in_words(self._seconds())

    def due(self) -> Upstream | None:
        """An ejected upstream for the next connection to probe, if one is due."""
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

    @property
    def may_probe(self) -> bool:
        """Whether a probe of an ejected upstream is probably due: `due` says which."""
        return bool(self._queue) and self._queue[0][0] <= self._seconds()

    def begin(self, lease: Lease) -> None:
        """Make a new connection to an ejected upstream its probe, if one is due."""
        record = self._ejected[lease.upstream]
        if record.probe is None and record.until <= self._seconds():
            record.probe = lease

    def abandon_probe(self, lease: Lease) -> None:
        """A connection proved nothing: if it was the probe, postpone the next one.

        The delay doubles each time, as after a failure: were the probe due at once,
        all connections would go to an upstream that accepts and never answers.
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
        """The first of several ejected upstreams recovered: probe the others now.

        Otherwise it would get all connections until the other ejections end.
        """
        now = self._seconds()
        for upstream, record in self._ejected.items():
            if record.until > now:
                record.until = now
                self._enqueue(upstream, record)

    def trust(self, upstream: Upstream) -> None:
        """Restore an upstream, if it is ejected, and clear its record."""
        self._ejected.pop(upstream, None)
        upstream.record = None

    def surplus(self, candidates: int) -> list[Upstream]:
        """The upstreams to restore because too few other candidates are left."""
        too_many = len(self._ejected) - candidates // 2
        if too_many <= 0 or self._has_elsewhere():
            return []
        return list(self._ejected)[:too_many]

    def _enqueue(self, upstream: Upstream, record: OutlierRecord) -> None:
        heappush(self._queue, (record.until, next(self._numbers), upstream))


_NOTHING = Ruling.NOTHING
