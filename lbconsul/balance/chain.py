"""A chain: the pools that one mapping's connections may go to, in their order."""

from collections.abc import Callable, Collection, Sequence

from attrs import Factory, define, field

from lbconsul.balance.pool import Pool
from lbconsul.balance.tally import Tally
from lbconsul.balance.upstream import Lease, Upstream
from lbconsul.errors import AllFull, NoUpstream


@define(eq=False)
class Chain:
    """One pool for each datacenter, and a fallback for when none is of use.

    Connections go to the first pool that has an upstream.  Once it had none, it
    must have one for `failback_after` seconds before they go there again.
    """

    name: str
    pools: tuple[Pool, ...]
    _fallback: Pool | None
    _failback_after: float
    _tally: Tally
    _seconds: Callable[[], float]
    #: The number of the pool that is in use.
    _current: int = 0
    #: Since when each pool has an upstream; None while it has none.
    _well_since: list[float | None] = field(init=False)
    #: The pools that ever had one.
    _proven: set[int] = Factory(set)

    def __attrs_post_init__(self) -> None:
        self._well_since = [None] * len(self.pools)

    @property
    def current(self) -> Pool | None:
        """Where connections go now, if anybody is there."""
        for pool in (self.pools[self._current], *self.all):
            if pool.candidates:
                return pool
        return None

    @property
    def all(self) -> tuple[Pool, ...]:
        """Every pool of it."""
        return self.pools + (() if self._fallback is None else (self._fallback,))

    def lease(self, avoiding: Collection[Upstream] = ()) -> Lease:
        """Count a connection to the upstream that is to have it.

        :raises AllFull: it has to wait until one has room.
        :raises NoUpstream: none is serving, or all that are stand in `avoiding`.
        """
        self._tally.catch_up()
        if len(self.pools) > 1:
            self._turn()
        lease = self.pools[self._current].lease(avoiding)
        return lease or self._lease_elsewhere(avoiding)

    def _lease_elsewhere(self, avoiding: Collection[Upstream]) -> Lease:
        lease = _lease_of(self._by_preference(), avoiding, self.name)
        if lease is None and self._fallback is not None:
            name = f"{self.name}'s fallback"
            lease = _lease_of([self._fallback], avoiding, name)
        if lease is None:
            raise NoUpstream(f"no upstream of {self.name} is left")
        return lease

    def _by_preference(self) -> list[Pool]:
        current = self.pools[self._current]
        return [current, *(each for each in self.pools if each is not current)]

    def tend(self) -> None:
        """Do what has become due by now; to be called a few times a second."""
        self._tally.catch_up()
        self._turn()

    def _turn(self) -> None:
        """See which pool is to be used now."""
        now = self._seconds()
        for number, pool in enumerate(self.pools):
            if not pool.candidates:
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


def _lease_of(
    pools: Sequence[Pool], avoiding: Collection[Upstream], name: str
) -> Lease | None:
    """One of the first pool that has one; of those in doubt only if none has.

    :raises AllFull: the first one that has any has just no room.
    """
    for reserve in (False, True):
        for pool in pools:
            lease = pool.lease_reserve(avoiding) if reserve else pool.lease(avoiding)
            if lease is not None:
                return lease
            if pool.waits(avoiding, reserve=reserve):
                raise AllFull(f"every upstream of {name} is full")
    return None
