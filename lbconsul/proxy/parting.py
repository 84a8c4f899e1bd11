"""Which connections are to be closed, though both sides would go on.

Their instance left and the time for that is over, the gateway ends, or others
should have some of them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import Factory, define

from lbconsul.balance.chain import Chain
from lbconsul.balance.departure import to_close
from lbconsul.balance.pool import Pool
from lbconsul.balance.rebalance import Rebalance, surplus
from lbconsul.config.model import Mapping
from lbconsul.proxy.ending import Ending
from lbconsul.proxy.relay import Relay
from lbconsul.proxy.upkeep import EVERY

Due = Iterator[tuple[Relay, Ending]]


@define(eq=False)
class Parting:
    """Decides it for the connections of one mapping; asked each `EVERY` seconds."""

    _chain: Chain
    _mapping: Mapping
    _seconds: Callable[[], float]
    _rebalances: dict[Pool, Rebalance] = Factory(dict)

    def due(self, relays: Callable[[], Iterable[Relay]]) -> Due:
        """What is to be closed now of `relays`, which are only looked at if need be."""
        if any(pool.parts for pool in self._chain.all):
            yield from self._left(relays())
        if self._mapping.rebalance:
            for pool in self._chain.pools:
                yield from self._rebalanced(pool, relays)

    def _left(self, relays: Iterable[Relay]) -> Due:
        """Those whose instance gets nothing any more."""
        by_leave = defaultdict(list)
        for relay in relays:
            leave = relay.lease.leave()
            if leave is not None:
                by_leave[relay.lease.upstream.load, leave].append(relay)
        for (_, leave), theirs in by_leave.items():
            if not leave.critical:
                count = self.count(len(theirs), leave.since)
            else:
                count = len(theirs) if self._mapping.close_on_critical else 0
            for relay in idlest(theirs)[:count]:
                yield relay, Ending.LEFT

    def count(self, count: int, since: float) -> int:
        """How many of so many, that are to be drained since then, to close now."""
        timeout = self._mapping.drain_timeout
        return to_close(count, since, timeout, self._seconds(), EVERY)

    def _rebalanced(self, pool: Pool, relays: Callable[[], Iterable[Relay]]) -> Due:
        """Those that the ones who joined should have."""
        known = self._rebalances.get(pool)
        if known is None:
            known = Rebalance(self._mapping.rebalance, pool.joins)
            self._rebalances[pool] = known
        now = self._seconds()
        known.begin(pool.joins, now)
        if not known.active:
            return
        over = surplus(pool.candidates)
        if not over and not pool.warms:
            known.end()
        theirs = [each for each in relays() if each.lease.upstream in over]
        allowance = known.allowance(len(theirs), now) if known.active else 0
        for relay in idlest(theirs):
            upstream = relay.lease.upstream
            if allowance and over[upstream]:
                allowance -= 1
                over[upstream] -= 1
                yield relay, Ending.REBALANCED


def idlest(relays: Iterable[Relay]) -> Sequence[Relay]:
    """The same, first those on which nothing has moved for the longest time."""
    return sorted(relays, key=lambda relay: relay.moved_at)
