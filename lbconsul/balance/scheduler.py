"""The scheduler: which upstreams of one pool may be chosen, in three tiers."""

from collections.abc import Collection

from attrs import Factory, define

from lbconsul.balance.hash_key import HashKey
from lbconsul.balance.upstream import TierPolicy, Upstream, ignore


@define(eq=False)
class Scheduler:
    """Orders the upstreams of each tier by load, and leaves out full ones.

    Each upstream is in one tier: `serving`, `reserve` (suspect), `ejected`, or none.
    `limit` is the most connections to one upstream; 0: no limit.
    """

    serving: TierPolicy
    reserve: TierPolicy
    ejected: TierPolicy
    limit: int = 0
    _full: set[Upstream] = Factory(set)

    def put(self, upstream: Upstream, tier: TierPolicy | None) -> None:
        """Move an upstream to this tier, or apply its new weight."""
        if upstream.tier is not tier:
            self._take_out(upstream)
            upstream.tier = tier
        if tier is not None:
            upstream.loaded = self._loaded if self.limit else tier.place
            upstream.loaded(upstream)

    def choose(
        self,
        tier: TierPolicy,
        avoiding: Collection[Upstream] = (),
        key: HashKey | None = None,
    ) -> Upstream | None:
        """The next upstream of a tier, not full and none of `avoiding`, or None.

        With a `key`, the one for this key.
        """
        if not avoiding:
            return tier.choose() if key is None else tier.choose_for(key)
        withdrawn = [
            each
            for each in dict.fromkeys(avoiding)
            if each.tier is tier and each not in self._full
        ]
        for each in withdrawn:
            tier.withdraw(each)
        chosen = tier.choose() if key is None else tier.choose_for(key)
        for each in withdrawn:
            tier.place(each)
        return chosen

    def is_full(self, upstream: Upstream) -> bool:
        """Whether an upstream is at its connection limit."""
        return 0 < self.limit <= upstream.load.open

    def waits(self, tier: TierPolicy, avoiding: Collection[Upstream] = ()) -> bool:
        """Whether an upstream of a tier, none of `avoiding`, is merely full."""
        return any(each.tier is tier and each not in avoiding for each in self._full)

    def _take_out(self, upstream: Upstream) -> None:
        upstream.loaded = ignore
        if upstream in self._full:
            self._full.discard(upstream)
        elif upstream.tier is not None:
            upstream.tier.withdraw(upstream)

    def _loaded(self, upstream: Upstream) -> None:
        """The load or the weight of an upstream changed."""
        tier = upstream.tier
        assert tier is not None
        if not self.is_full(upstream):
            self._full.discard(upstream)
            tier.place(upstream)
        elif upstream not in self._full:
            if upstream in tier:
                tier.withdraw(upstream)
            self._full.add(upstream)
