"""Which connections are to be closed, though both sides would go on.

Their instance left and the time for that is over, the gateway ends, or others
should have some of them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from heapq import merge

from attrs import define, field

from lbconsul.balance.departure import Drain, to_close
from lbconsul.balance.failover import Failover
from lbconsul.balance.pool import Pool
from lbconsul.balance.rebalance import Rebalance, surplus
from lbconsul.config.model import Mapping
from lbconsul.net.periodic import EVERY
from lbconsul.proxy.relay import Relay
from lbconsul.stats.termination import Termination

#: What is found to be closed, and how it ends; None for a step that found nothing.
Due = Iterator[tuple[Relay, Termination] | None]

#: So many are sorted in one step.
_RUN = 512


@define(eq=False)
class DrainManager:
    """Decides it for the connections of one mapping; asked each `EVERY` seconds."""

    _failover: Failover
    _mapping: Mapping
    _seconds: Callable[[], float]
    _rebalances: dict[Pool, Rebalance] = field(init=False)

    def __attrs_post_init__(self) -> None:
        percent = self._mapping.rebalance
        pools = self._failover.pools if percent else ()
        self._rebalances = {pool: Rebalance(percent, pool.joins) for pool in pools}

    @property
    def is_due(self) -> bool:
        """Whether there may be something to close now."""
        return bool(self._rebalances) or self._leaves()

    def _leaves(self) -> bool:
        return any(
            self._closes(leave) for pool in self._failover.all for leave in pool.leaves
        )

    def _closes(self, leave: Drain) -> bool:
        """Whether any connection to whoever left so is to be closed now."""
        if leave.critical:
            return self._mapping.close_on_critical
        return bool(self.count(1, leave.since))

    def due(self, relays: Callable[[], Iterable[Relay]]) -> Due:
        """What is to be closed now of `relays`, which are only looked at if need be."""
        if self._leaves():
            yield from self._left(relays())
        for pool, rebalance in self._rebalances.items():
            yield from self._rebalanced(pool, rebalance, relays)

    def _left(self, relays: Iterable[Relay]) -> Due:
        """Those whose instance gets nothing any more."""
        by_leave = defaultdict(list)
        for relay in relays:
            upstream = relay.lease.upstream
            leave = None if upstream.serving else relay.lease.leave()
            if leave is not None and self._closes(leave):
                by_leave[leave].append(relay)
            yield None
        for leave, theirs in by_leave.items():
            count = len(theirs)
            if not leave.critical:
                count = self.count(count, leave.since)
            for found in least_recently_active(theirs):
                if not count:
                    break
                if found is None:
                    yield None
                else:
                    count -= 1
                    yield found, Termination.LEFT

    def count(self, count: int, since: float) -> int:
        """How many of so many, that are to be drained since then, to close now."""
        timeout = self._mapping.drain_timeout
        return to_close(count, since, timeout, self._seconds(), EVERY)

    def _rebalanced(
        self, pool: Pool, rebalance: Rebalance, relays: Callable[[], Iterable[Relay]]
    ) -> Due:
        """Those that the ones who joined should have."""
        now = self._seconds()
        rebalance.begin(pool.joins, now)
        if not rebalance.active:
            return
        over = surplus(pool.candidates)
        if not over and not pool.warms:
            rebalance.end()
            return
        theirs = []
        for each in relays():
            if each.lease.upstream in over:
                theirs.append(each)
            yield None
        allowance = rebalance.allowance(len(theirs), now)
        for relay in least_recently_active(theirs) if allowance else ():
            if not allowance:
                return
            if relay is None:
                yield None
            elif over[upstream := relay.lease.upstream]:
                allowance -= 1
                over[upstream] -= 1
                yield relay, Termination.REBALANCED


def least_recently_active(relays: list[Relay]) -> Iterator[Relay | None]:
    """The same, first those on which nothing has moved for the longest time.

    None comes in between, for a step of the sorting.  They are taken out of `relays`:
    whoever is ended is not kept, to be freed together with all others.
    """
    runs = []
    while relays:
        run = sorted(relays[-_RUN:], key=_moved_at, reverse=True)
        del relays[-_RUN:]
        runs.append(_taken_from(run))
        yield None
    yield from merge(*runs, key=_moved_at)


def _taken_from(run: list[Relay]) -> Iterator[Relay]:
    while run:
        yield run.pop()


def _moved_at(relay: Relay) -> float:
    return relay.moved_at
