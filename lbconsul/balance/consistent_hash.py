"""``policy=hash``: connections with equal keys go to one upstream.

It is consistent hashing on a ring, with bounded loads (Mirrokni, Thorup and
Zadimoghaddam, 2018): no upstream gets more than a factor times its share of the open
connections.  The key of one that has them goes to another place on the ring, which is
the same for all gateways.
"""

from math import ceil

from attrs import Factory, define, field

from lbconsul.balance.hash_key import HashKey
from lbconsul.balance.hash_ring import POINTS, HashRing
from lbconsul.balance.policy import LeastConnections
from lbconsul.balance.upstream import Upstream
from lbconsul.balance.upstream_view import WHOLE

#: So many places on the ring are looked at for one key.  By then one was found, but
#: for one in a thousand keys: at least a fifth of the ring has room if each may have
#: 1.25 times its share.
_MOST_PLACES = 32

#: An upstream with fewer open connections is not full, however few there are in all:
#: one that is about to be over must not send the next of its client elsewhere.
_FEW = 2

#: From one place to the next: a linear congruential generator (Knuth's MMIX).
_FACTOR, _ADDEND, _MASK = 6364136223846793005, 1442695040888963407, (1 << 64) - 1

#: More points than these are too many, of a ring and of one upstream: each weighs less.
_MOST_POINTS, _MOST_OF_ONE = 1 << 20, 256 * POINTS

#: So many upstreams that are not placed keep their points, beside a quarter as many as
#: are placed: most of them come back.
_KEPT = 16


@define(eq=False)
class _Spot:
    """An upstream on the ring."""

    upstream: Upstream
    is_placed: bool = False
    #: Its open connections, and its weight, as far as they are summed up.
    load: int = 0
    weight: int = 0
    #: Its weight in Consul, without slow start.
    full_weight: int = 0
    #: Its number on the ring, and how many points it has there.
    number: int = 0
    points: int = 0


@define(eq=False)
class ConsistentHash(LeastConnections):
    """The upstream that a key belongs to; least connections without a key.

    A choice costs O(log n), and so does a change of load.  An upstream that joins or
    leaves, or changes its weight, costs as many steps as it has points.
    """

    #: How much of its share of the open connections an upstream may have, at most; 1.25
    #: is 125 %, and `inf` any.
    _bound: float = field(default=1.25, kw_only=True)
    _ring: HashRing[_Spot] = Factory(HashRing)
    _spots: dict[Upstream, _Spot] = Factory(dict)
    #: Those that are not placed but have points, the longest so first.
    _left: dict[_Spot, None] = Factory(dict)
    #: Over all that are placed: connections, weights, and full weights.
    _load: int = 0
    _weight: int = 0
    _full_weights: dict[int, int] = Factory(dict)
    _full_weight: int = 0
    #: The weight of which an upstream has `POINTS` points: a power of two.
    _unit: int = 1
    #: Those whose weight has changed since the last choice by a key.
    _moved: dict[_Spot, None] = Factory(dict)
    #: Whether there are any, or some have left.
    _is_untidy: bool = False

    def place(self, upstream: Upstream) -> None:
        # Each connection comes here twice.
        spot = self._spots.get(upstream)
        load = upstream.load.open
        if spot is None or not spot.is_placed:
            spot = self._join(upstream, spot)
        self._load += load - spot.load
        spot.load = load
        if (
            spot.weight != upstream.effective_weight
            or spot.full_weight != upstream.verdict.weight
        ):
            self._weigh(spot)
        LeastConnections.place(self, upstream)

    def withdraw(self, upstream: Upstream) -> None:
        spot = self._spots[upstream]
        self._load -= spot.load
        self._weight -= spot.weight
        self._count(spot.full_weight, -1)
        spot.load = spot.weight = spot.full_weight = 0
        spot.is_placed = False
        self._left[spot] = None
        self._is_untidy = True
        LeastConnections.withdraw(self, upstream)

    def choose_for(self, key: HashKey) -> Upstream | None:
        """The upstream for a connection with this key; None if none is placed."""
        if not self._weight:
            return None
        if self._is_untidy:
            self._tidy()
        find, number = self._ring.find, key.number
        most = self._bound * (self._load + 1) / self._weight
        for _ in range(_MOST_PLACES):
            spot = find(number)
            if spot.load < _FEW or spot.load < most * spot.weight:
                return spot.upstream
            number = (number * _FACTOR + _ADDEND) & _MASK
        return self.choose()  # the least loaded one always has room

    def _join(self, upstream: Upstream, spot: _Spot | None) -> _Spot:
        if spot is None:
            spot = self._spots[upstream] = _Spot(upstream)
            spot.number = self._ring.join(spot)
        self._left.pop(spot, None)
        spot.is_placed = True
        return spot

    def _weigh(self, spot: _Spot) -> None:
        """Follow a new weight."""
        upstream = spot.upstream
        self._weight += upstream.effective_weight - spot.weight
        spot.weight = upstream.effective_weight
        if upstream.verdict.weight != spot.full_weight:
            self._count(spot.full_weight, -1)
            spot.full_weight = upstream.verdict.weight
            self._count(spot.full_weight, 1)
        self._moved[spot] = None
        self._is_untidy = True

    def _count(self, weight: int, upstreams: int) -> None:
        """Count upstreams of this full weight."""
        self._full_weight += weight * upstreams
        count = self._full_weights.get(weight, 0) + upstreams
        if count > 0:
            self._full_weights[weight] = count
        else:
            self._full_weights.pop(weight, None)

    def _tidy(self) -> None:
        """See that all have their points on the ring.

        Of those that have left one is taken off it: a service can lose thousands of
        upstreams in a moment.
        """
        left, moved, self._moved = self._left, self._moved, {}
        if len(left) > _KEPT + (len(self._spots) - len(left)) // 4:
            spot = next(iter(left))
            del left[spot], self._spots[spot.upstream]
            self._set_points(spot)
            self._ring.leave(spot.number)
        else:
            self._is_untidy = False
        unit = self._fitting_unit()
        if unit != self._unit:
            self._unit, self._ring = unit, HashRing()
            moved = dict.fromkeys(self._spots.values())
            for each in moved:
                each.number, each.points = self._ring.join(each), 0
        for each in moved:
            if each.is_placed:
                self._set_points(each)

    def _fitting_unit(self) -> int:
        """The unit with which points are not too many; all gateways agree on it."""
        all, heaviest = self._full_weight, max(self._full_weights)
        least = max(all * POINTS / _MOST_POINTS, heaviest * POINTS / _MOST_OF_ONE)
        return 1 << (max(1, ceil(least)) - 1).bit_length()

    def _set_points(self, spot: _Spot) -> None:
        """Give an upstream the points that are due to it: none once it is gone."""
        points = 0
        if spot.is_placed:
            points = max(1, POINTS * spot.weight // (WHOLE * self._unit))
        if points != spot.points:
            name = spot.upstream.instance.identity.id.encode()
            self._ring.set_points(spot.number, name, spot.points, points)
            spot.points = points
