"""Failover: the pools that one mapping's connections may go to, by priority."""

from collections.abc import Callable, Collection, Iterator

from attrs import Factory, define, field

from lbconsul.balance.counter import ConnectionCounter
from lbconsul.balance.hash_key import HashKey
from lbconsul.balance.instance import Identity
from lbconsul.balance.pool import Pool
from lbconsul.balance.upstream import Lease, Upstream
from lbconsul.errors import AllFull, NoUpstream

#: The default of `attempts`: every upstream of a pool may be tried.
_UNLIMITED = 1 << 30


@define(eq=False)
class Failover:
    """One pool per datacenter, and a fallback for when none of them is usable.

    Connections go to the first usable pool: one with an upstream that Consul lets
    serve and that is not ejected.  After an outage a pool must be usable for
    `failback_after` seconds before connections return to it.

    If no pool is usable, suspect upstreams are chosen before the fallback, and
    ejected ones after everything else.
    """

    name: str
    pools: tuple[Pool, ...]
    _fallback: Pool | None
    _failback_after: float
    _counter: ConnectionCounter
    _seconds: Callable[[], float]
    #: Every pool in order of preference, the fallback last.
    all: tuple[Pool, ...] = field(init=False)
    #: The index of the pool in use.
    _current: int = 0
    #: Since when each pool is usable, in seconds; None while it is not.
    _well_since: list[float | None] = field(init=False)
    #: The indexes of the pools that have been usable before.
    _proven: set[int] = Factory(set)
    #: The pool if there is only one: then no other can come into use.
    only: Pool | None = field(init=False)
    #: Reads the counts of other processes; None if no other process counts.
    _sync: Callable[[], None] | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        fallback = () if self._fallback is None else (self._fallback,)
        self.all = self.pools + fallback
        self._well_since = [None] * len(self.pools)
        self.only = self.pools[0] if len(self.pools) == 1 else None
        self._sync = self._counter.sync if self._counter.is_shared else None

    @property
    def current(self) -> Pool | None:
        """The pool that new connections go to; None if no pool can take any."""
        return next(iter(self._order_of_use()), None)

    def _order_of_use(self) -> Iterator[Pool]:
        for pools in self._groups(self._by_preference()):
            yield from (pool for pool in pools if pool.is_usable)
            yield from (pool for pool in pools if pool.has_suspects)
        yield from (pool for pool in self._by_preference() if pool.candidates)

    @property
    def takes_share(self) -> bool:
        """Whether any pool but the fallback has something for connections."""
        if self.only is not None:
            return self.only.takes_share
        return any(pool.takes_share for pool in self.pools)

    def has_other_than(self, pool: Pool) -> bool:
        """Whether connections have a usable pool other than `pool`."""
        return any(each.is_usable for each in self.all if each is not pool)

    def lease(
        self,
        avoiding: Collection[Upstream] = (),
        attempts: int = _UNLIMITED,
        key: HashKey | None = None,
    ) -> Lease:
        """Choose an upstream for the next connection, and count the connection.

        `avoiding` holds the upstreams already tried.  After `attempts` of them in one
        pool the next pool follows: an unreachable pool must not use up all attempts.
        With a `key`, the policy may choose by it.

        :raises AllFull: the connection must wait until an upstream has room.
        :raises NoUpstream: no upstream serves, or all that do are in `avoiding`.
        """
        # An ordinary connection: no probe, other tier or other pool has its turn.
        pool = self.only
        if pool is not None and pool.choose is not None and not avoiding:
            if self._sync is not None:
                self._sync()
            chosen = pool.choose() if key is None else pool.choose_for(key)
            if chosen is not None:
                return Lease(chosen, pool, False)
        return self._lease_by_rank(avoiding, attempts, key)

    def lease_instance(self, identity: Identity) -> Lease | None:
        """Lease the upstream of this instance; None if it does not serve, or is full.

        It may be in a pool that is not in use now.
        """
        if self._sync is not None:
            self._sync()
        for pool in self.all:
            lease = pool.lease_instance(identity)
            if lease is not None:
                return lease
        return None

    def pick(self, key: HashKey | None = None) -> Upstream | None:
        """Choose an upstream and count a use of it, without the object of a lease.

        None if `lease` has more to consider, or there is none.  The use ends with
        ``Load.add(-1)``, or becomes the lease that `lease_of` makes of it.
        """
        pool = self.only
        if pool is None or pool.choose is None:
            return None
        if self._sync is not None:
            self._sync()
        chosen = pool.choose() if key is None else pool.choose_for(key)
        if chosen is not None:
            load = chosen.load
            if load.is_shared:
                load.add(1)
            else:
                # `Load.add`, without the call: each request pays for it twice.
                load.open += 1
                for each in load.upstreams:
                    each.loaded(each)
        return chosen

    def pick_kept(self, identity: Identity, since: float) -> Upstream | None:
        """As `pick`, this instance for a client of its own; None if it gets none now.

        `since` is that of `Pool.keeps`.
        """
        pool = self.only
        if pool is None:
            return None
        if self._sync is not None:
            self._sync()
        kept = pool.keeps(identity, since)
        if kept is None or pool.is_full(kept):
            return None
        kept.load.add(1)
        return kept

    def keeps(self, identity: Identity, since: float) -> bool:
        """Whether an instance may have further clients of its own, full or not."""
        return any(pool.keeps(identity, since) is not None for pool in self.pools)

    def lease_kept(self, identity: Identity, since: float) -> Lease | None:
        """Lease this instance for a client of its own; None if it may have none.

        :raises AllFull: it is at its connection limit.
        """
        self._counter.sync()
        for pool in self.pools:
            kept = pool.keeps(identity, since)
            if kept is not None:
                if pool.is_full(kept):
                    raise AllFull(f"{kept.instance} is full")
                return Lease(kept, pool, False)
        return None

    def is_fallback(self, upstream: Upstream) -> bool:
        """Whether an upstream is one of the fallback's."""
        return self._fallback is not None and self._fallback.holds(upstream)

    def lease_of(self, picked: Upstream) -> Lease:
        """The lease of a use that `pick` counted."""
        assert self.only is not None
        return Lease.counted(picked, self.only)

    def _lease_by_rank(
        self, avoiding: Collection[Upstream], attempts: int, key: HashKey | None
    ) -> Lease:
        """A lease where a probe, another pool or another tier may have its turn."""
        self._counter.sync()
        if len(self.pools) > 1:
            self._turn()
        lease = None
        if self.pools and not avoiding:
            current = self._current
            lease = self._probe(current) if current else None
            lease = lease or self.pools[current].lease((), key)
        return lease or self._lease_elsewhere(avoiding, attempts, key)

    def _probe(self, current: int) -> Lease | None:
        """A lease that probes an ejected upstream of an earlier pool, if one is due."""
        for pool in self.pools[:current]:
            lease = pool.probe()
            if lease is not None:
                return lease
        return None

    def _lease_elsewhere(
        self, avoiding: Collection[Upstream], attempts: int, key: HashKey | None
    ) -> Lease:
        left = self._with_attempts_left(avoiding, attempts)
        for pools in self._groups(left):
            lease = self._lease_of(pools, avoiding, key)
            if lease is not None:
                return lease
        for pool in left:
            lease = pool.lease_ejected(avoiding)
            if lease is not None:
                return lease
        raise NoUpstream(f"no upstream of {self.name} is left")

    def _with_attempts_left(
        self, avoiding: Collection[Upstream], attempts: int
    ) -> tuple[Pool, ...]:
        pools = self._by_preference()
        if len(avoiding) < attempts:
            return pools
        if len(avoiding) >= attempts * len(pools):
            return ()  # the count below would miss upstreams that have left
        return tuple(
            pool for pool in pools if sum(map(pool.holds, avoiding)) < attempts
        )

    def _by_preference(self) -> tuple[Pool, ...]:
        if not self._current:
            return self.all
        current = self.pools[self._current]
        return (current, *(each for each in self.all if each is not current))

    def _groups(self, pools: tuple[Pool, ...]) -> tuple[tuple[Pool, ...], ...]:
        """The same pools, with the fallback in a group of its own."""
        if self._fallback is None:
            return (pools,)
        others = tuple(each for each in pools if each is not self._fallback)
        return others, pools[len(others) :]

    def _lease_of(
        self,
        pools: tuple[Pool, ...],
        avoiding: Collection[Upstream],
        key: HashKey | None,
    ) -> Lease | None:
        """A lease from the first pool that has one; suspect upstreams come last.

        :raises AllFull: all upstreams of that pool are at their connection limit.
        """
        for reserve in (False, True):
            for pool in pools:
                take = pool.lease_reserve if reserve else pool.lease
                lease = take(avoiding, key)
                if lease is not None:
                    return lease
                if pool.waits(avoiding, reserve=reserve):
                    name = self.name
                    name += "'s fallback" if pool is self._fallback else ""
                    raise AllFull(f"every upstream of {name} is full")
        return None

    def tick(self) -> None:
        """Switch to another pool if that is due; called a few times a second."""
        if len(self.pools) > 1:
            self._turn()

    def _turn(self) -> None:
        """Determine which pool is in use."""
        now = self._seconds()
        for number, pool in enumerate(self.pools):
            if not pool.is_usable:
                self._well_since[number] = None
            elif self._well_since[number] is None:
                first = number not in self._proven
                self._well_since[number] = float("-inf") if first else now
                self._proven.add(number)
        for number, since in enumerate(self._well_since):
            if since is not None and self._is_next(number, since, now):
                self._current = number
                return

    def _is_next(self, number: int, since: float, now: float) -> bool:
        if number >= self._current or self._well_since[self._current] is None:
            return True
        return now - since >= self._failback_after
