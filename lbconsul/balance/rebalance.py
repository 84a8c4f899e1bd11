"""Rebalancing: which connections to close for clients to reach new upstreams.

Long-lived connections stay where they are: an upstream that joins a pool of such
connections gets none for a long time.
"""

from collections.abc import Iterable
from math import ceil

from attrs import define

from lbconsul.balance.standing import Standing
from lbconsul.balance.upstream import Upstream

#: How far an upstream may exceed its share: chance alone does not spread evenly, and
#: clients that return to the same upstream would be closed without end.
_TOLERANCE = 0.05


def surplus(upstreams: Iterable[Upstream]) -> dict[Upstream, int]:
    """By how many connections each overloaded upstream exceeds its share.

    An ejected upstream has no share, since it gets no connections: otherwise other
    upstreams' connections would be closed for it without end.
    """
    upstreams = [
        each
        for each in upstreams
        if each.tier is not None and each.standing is not Standing.EJECTED
    ]
    total = sum(each.load.open for each in upstreams)
    shares = sum(each.effective_weight for each in upstreams)
    fair = {each: total * each.effective_weight / shares for each in upstreams}
    return {
        each: each.load.open - ceil(due)
        for each, due in fair.items()
        if each.load.open > max(ceil(due), due * (1 + _TOLERANCE))
    }


@define
class Rebalance:
    """Limits rebalancing to `percent` of the connections per minute.

    It begins when an upstream joins, and ends when none exceeds its share.
    """

    percent: int
    #: How many upstreams had joined at the last call of `begin`.
    _joins: int = 0
    _since: float | None = None
    _budget: float = 0.0

    def begin(self, joins: int, now: float) -> None:
        """Begin if more upstreams have joined; `joins` counts all of them so far."""
        if joins != self._joins:
            self._joins = joins
            if self._since is None:
                self._since, self._budget = now, 0.0

    @property
    def active(self) -> bool:
        """Whether rebalancing has begun and not ended."""
        return self._since is not None

    def end(self) -> None:
        """No upstream exceeds its share."""
        self._since = None

    def allowance(self, count: int, now: float) -> int:
        """How many of `count` connections may be closed now."""
        assert self._since is not None
        per_second = count * self.percent / 100 / 60
        # An unused allowance is not saved up.
        self._budget = min(
            self._budget + per_second * (now - self._since), max(1.0, per_second)
        )
        self._since = now
        whole = int(self._budget)
        self._budget -= whole
        return whole
