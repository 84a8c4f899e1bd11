"""Chooses established connections to close: drain deadline, critical, rebalance.

Connections to a draining upstream end by the drain timeout, or at once with
`close-on-critical`; connections of a draining gateway end by the drain timeout;
rebalancing closes some in favour of instances that joined.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from typing import Protocol

from attrs import define, field

from lbconsul.balance.draining import to_close
from lbconsul.balance.failover import Failover
from lbconsul.balance.pool import Pool
from lbconsul.balance.rebalance import Rebalance, surplus
from lbconsul.balance.standing import Drain
from lbconsul.balance.upstream import Lease
from lbconsul.config.model import Mapping
from lbconsul.net.periodic import EVERY
from lbconsul.stats.termination import Termination


class Session(Protocol):
    """A client's connection, as its mapping sees it."""

    #: The client's address, and whether access control counts it.
    address: object
    is_admitted: bool

    @property
    def lease(self) -> Lease:
        """The use of an upstream, while `is_relaying`."""

    @property
    def row(self) -> object:
        """The proxy of the mapping or route that serves it, while `is_relaying`."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""

    @property
    def is_relaying(self) -> bool:
        """Whether it moves bytes between the client and the upstream of `lease`."""

    @property
    def moved_at(self) -> float:
        """When bytes last moved, in the reactor's time; only once it was relaying."""

    def end(self, termination: Termination) -> None:
        """Close the connection, unless it is over."""


class StartingSession(Session, Protocol):
    """A session that has just been made."""

    def start(self) -> None:
        """Begin to serve the client."""


#: A session to close and its termination; None for a step that found none.
Due = Iterator[tuple[Session, Termination] | None]

#: Sessions sorted in one step.
_RUN = 512


@define(eq=False)
class DrainManager:
    """Chooses for the connections of one mapping; asked each `EVERY` seconds."""

    _failover: Failover
    _mapping: Mapping
    _seconds: Callable[[], float]
    _rebalances: dict[Pool, Rebalance] = field(init=False)

    def __attrs_post_init__(self) -> None:
        # Requests are balanced each: their clients have nothing to be moved for.
        is_http = self._mapping.mode == "http"
        percent = 0 if is_http else self._mapping.drain.rebalance
        pools = self._failover.pools if percent else ()
        self._rebalances = {pool: Rebalance(percent, pool.joins) for pool in pools}

    @property
    def is_due(self) -> bool:
        """Whether there may be a connection to close now."""
        return bool(self._rebalances) or self._leaves()

    def _leaves(self) -> bool:
        return any(
            self._closes(leave) for pool in self._failover.all for leave in pool.leaves
        )

    def _closes(self, leave: Drain) -> bool:
        """Whether to close any connection of an upstream that drains like this now."""
        if leave.critical:
            return self._mapping.drain.close_on_critical
        return bool(self.count(1, leave.since))

    def due(self, sessions: Callable[[], Iterable[Session]]) -> Due:
        """Which sessions to close now; `sessions` is only called if any may be due."""
        if self._leaves():
            yield from self._left(sessions())
        for pool, rebalance in self._rebalances.items():
            yield from self._rebalanced(pool, rebalance, sessions)

    def _left(self, sessions: Iterable[Session]) -> Due:
        """Sessions to close whose upstream is draining, or failed its checks."""
        by_leave = defaultdict(list)
        for session in sessions:
            upstream = session.lease.upstream
            leave = None if upstream.serving else session.lease.leave()
            if leave is not None and self._closes(leave):
                by_leave[leave].append(session)
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
        """How many of `count` connections, draining since `since`, to close now."""
        timeout = self._mapping.drain.timeout
        return to_close(count, since, timeout, self._seconds(), EVERY)

    def _rebalanced(
        self,
        pool: Pool,
        rebalance: Rebalance,
        sessions: Callable[[], Iterable[Session]],
    ) -> Due:
        """Sessions to close in favour of upstreams that joined."""
        now = self._seconds()
        rebalance.begin(pool.joins, now)
        if not rebalance.active:
            return
        over = surplus(pool.candidates)
        if not over and not pool.warms:
            rebalance.end()
            return
        theirs = []
        for each in sessions():
            if each.lease.upstream in over:
                theirs.append(each)
            yield None
        allowance = rebalance.allowance(len(theirs), now)
        for session in least_recently_active(theirs) if allowance else ():
            if not allowance:
                return
            if session is None:
                yield None
            elif over[upstream := session.lease.upstream]:
                allowance -= 1
                over[upstream] -= 1
                yield session, Termination.REBALANCED


def least_recently_active(sessions: list[Session]) -> Iterator[Session | None]:
    """`sessions`, the one longest without traffic first.

    None comes in between, for a step of the sorting.  Sessions are taken out of the
    list: one that is ended is freed at once, not together with all others.
    """
    runs = []
    while sessions:
        run = sorted(sessions[-_RUN:], key=_moved_at, reverse=True)
        del sessions[-_RUN:]
        runs.append(_taken_from(run))
        yield None
    yield from merge(*runs, key=_moved_at)


def _taken_from(run: list[Session]) -> Iterator[Session]:
    while run:
        yield run.pop()


def _moved_at(session: Session) -> float:
    return session.moved_at
