"""A chain: the pools that one mapping's connections may go to, in their order."""

from collections.abc import Callable, Collection, Iterator

from attrs import Factory, define, field

from lbconsul.balance.counter import ConnectionCounter
from lbconsul.balance.pool import Pool
from lbconsul.balance.upstream import Lease, Upstream
from lbconsul.errors import AllFull, NoUpstream

#: For callers that try as many upstreams as there are.
_UNLIMITED = 1 << 30


@define(eq=False)
class Failover:
    """One pool for each datacenter, and a fallback for when none is of use.

    Connections go to the first pool that is usable, which is: has an upstream that
    Consul lets serve and that is not ejected.  Once it was not, it must be usable for
    `failback_after` seconds before they go there again.

    Where no pool is usable, suspect upstreams are taken before the fallback, and
    ejected ones after everything else.
    """

    name: str
    pools: tuple[Pool, ...]
    _fallback: Pool | None
    _failback_after: float
    _counter: ConnectionCounter
    _seconds: Callable[[], float]
    #: Every pool of it, in the order of preference.
    all: tuple[Pool, ...] = field(init=False)
    #: The number of the pool that is in use.
    _current: int = 0
    #: Since when each pool is usable; None while it is not.
    _well_since: list[float | None] = field(init=False)
    #: The pools that ever were.
    _proven: set[int] = Factory(set)

    def __attrs_post_init__(self) -> None:
        fallback = () if self._fallback is None else (self._fallback,)
        self.all = self.pools + fallback
        self._well_since = [None] * len(self.pools)

    @property
    def current(self) -> Pool | None:
        """The pool that new connections go to, if there is any."""
        return next(iter(self._order_of_use()), None)

    def _order_of_use(self) -> Iterator[Pool]:
        for pools in self._groups(self._by_preference()):
            yield from (pool for pool in pools if pool.is_usable)
            yield from (pool for pool in pools if pool.doubts)
        yield from (pool for pool in self._by_preference() if pool.candidates)

    def has_other_than(self, pool: Pool) -> bool:
        """Whether connections have a usable pool beside this one."""
        return any(each.is_usable for each in self.all if each is not pool)

    def lease(
        self, avoiding: Collection[Upstream] = (), attempts: int = _UNLIMITED
    ) -> Lease:
        """Count a connection to the upstream that is to have it.

        After so many `attempts` in one pool, which are in `avoiding`, it goes to the
        next: a pool of which nothing can be reached is not to use up all of them.

        :raises AllFull: it has to wait until one has room.
        :raises NoUpstream: none is serving, or all that are stand in `avoiding`.
        """
        self._counter.sync()
        if len(self.pools) > 1:
            self._turn()
        lease = None
        if not avoiding:
            current = self._current
            lease = self._probe(current) if current else None
            lease = lease or self.pools[current].lease()
        return lease or self._lease_elsewhere(avoiding, attempts)

    def _probe(self, current: int) -> Lease | None:
        """The next connection, if it is to find out that an earlier pool is well."""
        for pool in self.pools[:current]:
            lease = pool.probe()
            if lease is not None:
                return lease
        return None

    def _lease_elsewhere(self, avoiding: Collection[Upstream], attempts: int) -> Lease:
        left = self._with_attempts_left(avoiding, attempts)
        for pools in self._groups(left):
            lease = self._lease_of(pools, avoiding)
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
            return ()  # some of them are members no longer
        return tuple(
            pool for pool in pools if sum(map(pool.holds, avoiding)) < attempts
        )

    def _by_preference(self) -> tuple[Pool, ...]:
        if not self._current:
            return self.all
        current = self.pools[self._current]
        return (current, *(each for each in self.all if each is not current))

    def _groups(self, pools: tuple[Pool, ...]) -> tuple[tuple[Pool, ...], ...]:
        """The same pools, the fallback apart from the others."""
        if self._fallback is None:
            return (pools,)
        others = tuple(each for each in pools if each is not self._fallback)
        return others, pools[len(others) :]

    def _lease_of(
        self, pools: tuple[Pool, ...], avoiding: Collection[Upstream]
    ) -> Lease | None:
        """One of the first pool that has one; of suspect ones only if none has.

        :raises AllFull: the first one that has any has just no room.
        """
        for reserve in (False, True):
            for pool in pools:
                take = pool.lease_reserve if reserve else pool.lease
                lease = take(avoiding)
                if lease is not None:
                    return lease
                if pool.waits(avoiding, reserve=reserve):
                    name = self.name
                    name += "'s fallback" if pool is self._fallback else ""
                    raise AllFull(f"every upstream of {name} is full")
        return None

    def tend(self) -> None:
        """Do what has become due by now; to be called a few times a second."""
        if len(self.pools) > 1:
            self._turn()

    def _turn(self) -> None:
        """See which pool is to be used now."""
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
