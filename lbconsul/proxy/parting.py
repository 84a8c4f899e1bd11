"""Which connections are to be closed, though both sides would go on.

Their instance left and the time for that is over, the gateway ends, or others
should have some of them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import define, field

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
    _rebalances: dict[Pool, Rebalance] = field(init=False)

    def __attrs_post_init__(self) -> None:
        percent = self._mapping.rebalance
        pools = self._chain.pools if percent else ()
        self._rebalances = {pool: Rebalance(percent, pool.joins) for pool in pools}

    def due(self, relays: Callable[[], Iterable[Relay]]) -> Due:
        """What is to be closed now of `relays`, which are only looked at if need be."""
        if any(pool.parts for pool in self._chain.all):
            yield from self._left(relays())
        for pool, rebalance in self._rebalances.items():
            yield from self._rebalanced(pool, rebalance, relays)

    def _left(self, relays: Iterable[Relay]) -> Due:
        """Those whose instance gets nothing any more."""
        by_leave = defaultdict(list)
        for relay in relays:
            upstream = relay.lease.upstream
            leave = None if upstream.serving else relay.lease.leave()
            if leave is not None:
                by_leave[leave].append(relay)
        for leave, theirs in by_leave.items():
            if not leave.critical:
                count = self.count(len(theirs), leave.since)
            else:
                count = len(theirs) if self._mapping.close_on_critical else 0
            for relay in idlest(theirs)[:count] if count else ():
                yield relay, Ending.LEFT

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
        theirs = [each for each in relays() if each.lease.upstream in over]
        allowance = rebalance.allowance(len(theirs), now)
        for relay in idlest(theirs) if allowance else ():
            upstream = relay.lease.upstream
            if allowance and over[upstream]:
                allowance -= 1
                over[upstream] -= 1
                yield relay, Ending.REBALANCED


def idlest(relays: Iterable[Relay]) -> Sequence[Relay]:
    """The same, first those on which nothing has moved for the longest time."""
    return sorted(relays, key=lambda relay: relay.moved_at)
