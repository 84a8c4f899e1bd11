"""Which connections to close so that clients that reconnect reach newcomers.

A long-lived connection stays where it is, so that whoever joins a pool of such
connections gets nothing for a long time.
"""

from collections.abc import Iterable
from math import ceil

from attrs import define

from lbconsul.balance.standing import Standing
from lbconsul.balance.upstream import Upstream

#: So much above its share is borne: chance alone does not spread evenly, and to
#: close what comes back to where it was would have no end.
_TOLERANCE = 0.05


def surplus(upstreams: Iterable[Upstream]) -> dict[Upstream, int]:
    """By how many connections each has notably more than its share, of those that do.

    Who may have no connection now, since it is ejected, has no share either: else
    others would be closed for it without end.
    """
    upstreams = [
        each
        for each in upstreams
        if each.tier is not None and each.standing is not Standing.EJECTED
    ]
    total = sum(each.load.open for each in upstreams)
    shares = sum(each.share for each in upstreams)
    fair = {each: total * each.share / shares for each in upstreams}
    return {
        each: each.load.open - ceil(due)
        for each, due in fair.items()
        if each.load.open > max(ceil(due), due * (1 + _TOLERANCE))
    }


@define
class Rebalance:
    """How many connections may be closed by now: `percent` of them each minute.

    From when somebody joined until nobody has more than the share.
    """

    percent: int
    #: How many had joined when it last began.
    _joins: int = 0
    _since: float | None = None
    _budget: float = 0.0

    def begin(self, joins: int, now: float) -> None:
        """So many have joined the pool by now; it begins if that is more."""
        if joins != self._joins:
            self._joins = joins
            if self._since is None:
                self._since, self._budget = now, 0.0

    @property
    def active(self) -> bool:
        """Whether there is anything to do."""
        return self._since is not None

    def end(self) -> None:
        """Nobody has more than the share."""
        self._since = None

    def allowance(self, count: int, now: float) -> int:
        """How many of `count` connections may be closed now."""
        assert self._since is not None
        per_second = count * self.percent / 100 / 60
        # What could not be used is not saved up.
        self._budget = min(
            self._budget + per_second * (now - self._since), max(1.0, per_second)
        )
        self._since = now
        whole = int(self._budget)
        self._budget -= whole
        return whole
