"""Who of one pool may be chosen: those that serve, a reserve, a last resort."""

from collections.abc import Collection

from attrs import Factory, define

from lbconsul.balance.policy import Policy
from lbconsul.balance.upstream import Upstream, ignore


@define(eq=False)
class Scheduler:
    """Orders upstreams by load, and leaves those out that are full.

    Each stands in one rank: `serving`, `reserve`, `ejected`, or none.  `limit` is how
    many connections one may have; 0: as many as there are.
    """

    serving: Policy
    reserve: Policy
    ejected: Policy
    limit: int = 0
    _full: set[Upstream] = Factory(set)

    def put(self, upstream: Upstream, tier: Policy | None) -> None:
        """It stands in this rank now, or its weight has changed."""
        if upstream.tier is not tier:
            self._take_out(upstream)
            upstream.tier = tier
        if tier is not None:
            upstream.loaded = self._loaded if self.limit else tier.place
            upstream.loaded(upstream)

    def choose(
        self, tier: Policy, avoiding: Collection[Upstream] = ()
    ) -> Upstream | None:
        """The next one of a rank, which is none of `avoiding` and not full."""
        if not avoiding:
            return tier.choose()
        aside = [
            each
            for each in dict.fromkeys(avoiding)
            if each.tier is tier and each not in self._full
        ]
        for each in aside:
            tier.withdraw(each)
        chosen = tier.choose()
        for each in aside:
            tier.place(each)
        return chosen

    def is_full(self, upstream: Upstream) -> bool:
        """Whether it has as many connections as it may."""
        return 0 < self.limit <= upstream.load.open

    def waits(self, tier: Policy, avoiding: Collection[Upstream] = ()) -> bool:
        """Whether there is one of a rank, and none of `avoiding`, that is just full."""
        return any(each.tier is tier and each not in avoiding for each in self._full)

    def _take_out(self, upstream: Upstream) -> None:
        upstream.loaded = ignore
        if upstream in self._full:
            self._full.discard(upstream)
        elif upstream.tier is not None:
            upstream.tier.withdraw(upstream)

    def _loaded(self, upstream: Upstream) -> None:
        """Its load, or its weight, is another one."""
        tier = upstream.tier
        assert tier is not None
        if not self.is_full(upstream):
            self._full.discard(upstream)
            tier.place(upstream)
        elif upstream not in self._full:
            if upstream in tier:
                tier.withdraw(upstream)
            self._full.add(upstream)
