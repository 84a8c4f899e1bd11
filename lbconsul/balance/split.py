"""Chooses among weighted parts, exactly: the share of each is kept by counting.

Each part has a credit.  With each choice every part gains its share of one choice, and
the chosen one pays a whole one, so the credits of all parts sum up to 0.  Of the parts
whose credit suffices the one whose credit would run over first is chosen (Tijdeman, The
chairman assignment problem, Discrete Mathematics 32, 1980): after any number of choices
with the same weights each part has had its exact share, to within 1 - 1/(2n - 2) for n
parts.  So between any two moments it is exact to within 1 for two parts, and to within
2 for more, where no sequence can do as well as for two.

Credits only ever have something added to them, so that several processes can choose
together: each adds to cells of its own, and decides by the sums.  A choice that another
process makes at the same moment is not seen; the next choice makes up for it.

A part that cannot be used is passed over: its credit stands still, and the others
share by their own weights.
"""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from attrs import Factory, define, field

#: The credit of one choice.  Shares in per mille and hundredths of that, and those of
#: up to 16 equal parts, are whole numbers of it.
WHOLE = 720_720 * 10**6


class Part(Protocol):
    """What can be chosen."""

    @property
    def is_usable(self) -> bool:
        """Whether it can be chosen now."""


T = TypeVar("T", bound=Part)


class Credits(Protocol):
    """Keeps the credits of the parts of one split."""

    def totals(self) -> list[int]:
        """The credit of each part, over all processes."""

    def charge(self, shares: Sequence[tuple[int, int]], chosen: int) -> None:
        """Add its share to the credit of each part of these, by number and share, and
        take a `WHOLE` from that of the chosen one.
        """


@define(eq=False)
class LocalCredits:
    """The credits of a process that chooses alone."""

    _credits: list[int]

    @classmethod
    def of(cls, count: int) -> "LocalCredits":
        """The credits of so many parts: none has any."""
        return cls([0] * count)

    def totals(self) -> list[int]:
        return self._credits

    def charge(self, shares: Sequence[tuple[int, int]], chosen: int) -> None:
        credits = self._credits
        for number, share in shares:
            credits[number] += share
        credits[chosen] -= WHOLE


@define(eq=False)
class Split(Generic[T]):
    """Parts with weights, of which each choice takes one.

    `weights` are numbers in any unit; a part with the weight 0 is never chosen.  They
    may be replaced at any time by `reweigh`: the shares are the new ones from the next
    choice on, and nothing of the old ones is made up for but a part of one choice.
    """

    parts: Sequence[T]
    _weights: Sequence[float]
    _credits: Credits = field(
        default=Factory(lambda self: LocalCredits.of(len(self.parts)), takes_self=True)
    )
    #: Which parts were usable at the last choice, a bit for each, and the share of
    #: each of those in `WHOLE`.
    _usable: int = 0
    _shares: list[tuple[int, int]] = field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self.reweigh(self._weights)

    @property
    def weights(self) -> Sequence[float]:
        """The weights, in the order of the parts."""
        return self._weights

    def reweigh(self, weights: Sequence[float]) -> None:
        """Choose by these weights from now on, which are in the order of the parts."""
        assert len(weights) == len(self.parts)
        assert min(weights, default=0) >= 0
        self._weights, self._usable = tuple(weights), 0

    def choose(self) -> T | None:
        """The part whose turn it is; None if none with a weight is usable."""
        usable, bit = 0, 1
        for part in self.parts:
            if part.is_usable:
                usable |= bit
            bit <<= 1
        if usable != self._usable:
            self._usable = usable
            self._shares = self._shares_of(usable)
        shares = self._shares
        if len(shares) < 2:  # no credit changes
            return self.parts[shares[0][0]] if shares else None
        number = self._next(shares)
        self._credits.charge(shares, number)
        return self.parts[number]

    def at(self, point: float, otherwise: float) -> T | None:
        """The part at this point between 0 and 1, of which each has its share.

        One point always has the same part while the weights are the same, and a part
        that grows at the cost of the first keeps all its points.  If its part is not
        usable, `otherwise`, another point, decides among those that are.
        """
        weighted = list(zip(self.parts, self._weights, strict=True))
        found = _at(point, weighted)
        if found is None or found.is_usable:
            return found
        return _at(otherwise, [each for each in weighted if each[0].is_usable])

    def _next(self, shares: list[tuple[int, int]]) -> int:
        """The number of the part that is next."""
        credits, least = self._credits.totals(), WHOLE // (2 * len(shares) - 2)
        most, chosen, first = WHOLE - least, -1, 0.0
        richest, greatest = -1, 0
        for number, share in shares:
            credit = credits[number] + share
            if credit >= least:
                runs_over = (most - credit) / share
                if chosen < 0 or runs_over < first:
                    chosen, first = number, runs_over
            if richest < 0 or credit > greatest:
                richest, greatest = number, credit
        # While parts that are passed over keep a credit, none may have as much.
        return richest if chosen < 0 else chosen

    def _shares_of(self, usable: int) -> list[tuple[int, int]]:
        """The shares of these parts, which are exactly one choice together."""
        weights = {
            number: weight
            for number, weight in enumerate(self._weights)
            if weight > 0 and usable >> number & 1
        }
        total, left, shares = sum(weights.values()), WHOLE, list[tuple[int, int]]()
        for number, weight in weights.items():
            share = max(1, round(WHOLE * (weight / total)))
            shares.append((number, share))
            left -= share
        if shares:
            heaviest = max(range(len(shares)), key=lambda each: shares[each][1])
            number, share = shares[heaviest]
            shares[heaviest] = number, share + left
        return shares


def _at(point: float, weighted: list[tuple[T, float]]) -> T | None:
    left = point * sum(weight for _, weight in weighted)
    found = None
    for part, weight in weighted:
        if weight > 0:
            found = part
            if left < weight:
                break
            left -= weight
    return found
