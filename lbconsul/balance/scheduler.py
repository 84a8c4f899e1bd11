"""Who of one pool may be chosen: those that serve, a reserve, a last resort."""

from collections.abc import Collection

from attrs import Factory, define

from lbconsul.balance.policy import Policy
from lbconsul.balance.upstream import Upstream, ignore


@define(eq=False)
class Placement:
    """Orders upstreams by load, and leaves those out that are full.

    Each stands in one rank: `serving`, `reserve`, `ejected`, or none.  `limit` is how
    many connections one may have; 0: as many as there are.
    """

    serving: Policy
    reserve: Policy
    ejected: Policy
    limit: int = 0
    _full: set[Upstream] = Factory(set)

    def put(self, upstream: Upstream, rank: Policy | None) -> None:
        """It stands in this rank now, or its weight has changed."""
        if upstream.rank is not rank:
            self._take_out(upstream)
            upstream.rank = rank
        if rank is not None:
            upstream.loaded = self._loaded if self.limit else rank.place
            upstream.loaded(upstream)

    def choose(
        self, rank: Policy, avoiding: Collection[Upstream] = ()
    ) -> Upstream | None:
        """The next one of a rank, which is none of `avoiding` and not full."""
        if not avoiding:
            return rank.choose()
        aside = [
            each
            for each in dict.fromkeys(avoiding)
            if each.rank is rank and each not in self._full
        ]
        for each in aside:
            rank.withdraw(each)
        chosen = rank.choose()
        for each in aside:
            rank.place(each)
        return chosen

    def is_full(self, upstream: Upstream) -> bool:
        """Whether it has as many connections as it may."""
        return 0 < self.limit <= upstream.load.open

    def waits(self, rank: Policy, avoiding: Collection[Upstream] = ()) -> bool:
        """Whether there is one of a rank, and none of `avoiding`, that is just full."""
        return any(each.rank is rank and each not in avoiding for each in self._full)

    def _take_out(self, upstream: Upstream) -> None:
        upstream.loaded = ignore
        if upstream in self._full:
            self._full.discard(upstream)
        elif upstream.rank is not None:
            upstream.rank.withdraw(upstream)

    def _loaded(self, upstream: Upstream) -> None:
        """Its load, or its weight, is another one."""
        rank = upstream.rank
        assert rank is not None
        if not self.is_full(upstream):
            self._full.discard(upstream)
            rank.place(upstream)
        elif upstream not in self._full:
            if upstream in rank:
                rank.withdraw(upstream)
            self._full.add(upstream)
