"""A ring of consistent hashing: whose is a number (Karger et al., 1997).

Each owner has points on a circle of 64-bit numbers, as many as its weight says.  A
number belongs to the owner of the next point.  Where the points of an owner lie depends
on its name alone, so that all rings with the same owners say the same, and an owner
that joins or leaves moves its own numbers and no others.
"""

from bisect import bisect_left, insort
from hashlib import shake_128
from struct import unpack
from typing import Generic, Protocol, TypeVar

from attrs import Factory, define

#: The points of an owner of weight 1: shares differ by some 12 %.
POINTS = 64

#: The bits of a point behind its place on the circle: the number of its owner.
_OWNER = 24
_IS_OWNER = (1 << _OWNER) - 1

#: The circle lies in so many lists: one that is short takes a new point at once, and
#: 10,000 owners have 2,500 points in each.
_LISTS, _SHIFT = 256, 56

#: After so many changes without a look-up, lists are sorted at the next one instead.
_MANY = 32


class Owner(Protocol):
    """What has points on a ring."""

    #: Whether numbers belong to it: it keeps its points meanwhile if not.
    is_placed: bool


Some = TypeVar("Some", bound=Owner)


@define(eq=False)
class HashRing(Generic[Some]):
    """Owners, each with a number of points."""

    #: The points of each part of the circle, with the numbers of their owners.
    _lists: list[list[int]] = Factory(lambda: [[] for _ in range(_LISTS)])
    _unsorted: set[int] = Factory(set)
    #: By their numbers; None: the number is free.
    _owners: list[Some | None] = Factory(list)
    _free: list[int] = Factory(list)
    #: Changes since the last look-up.
    _changes: int = 0

    def join(self, owner: Some) -> int:
        """Add an owner without points; returns its number."""
        if self._free:
            number = self._free.pop()
            self._owners[number] = owner
        else:
            number = len(self._owners)
            self._owners.append(owner)
        return number

    def leave(self, number: int) -> None:
        """Remove an owner, which has no points any more."""
        self._owners[number] = None
        self._free.append(number)

    def set_points(self, number: int, name: bytes, before: int, after: int) -> None:
        """Give the owner with this number and name so many points instead of `before`.

        The first ones are always the same.
        """
        most = max(before, after)
        # The output of SHAKE (FIPS 202) for a shorter length is a part of this one.
        points = unpack(f">{most}Q", shake_128(name).digest(8 * most))
        self._changes += 1
        if after < before:
            self._remove(number, points[after:])
        else:
            self._add(number, points[before:])

    def _add(self, number: int, points: tuple[int, ...]) -> None:
        lists, is_bulk = self._lists, self._changes > _MANY
        for point in points:
            at = point >> _SHIFT
            if is_bulk or at in self._unsorted:
                lists[at].append(point << _OWNER | number)
                self._unsorted.add(at)
            else:
                insort(lists[at], point << _OWNER | number)

    def _remove(self, number: int, points: tuple[int, ...]) -> None:
        for point in points:
            some = self._sorted(point >> _SHIFT)
            del some[bisect_left(some, point << _OWNER | number)]

    def _sorted(self, at: int) -> list[int]:
        some = self._lists[at]
        if at in self._unsorted:
            some.sort()
            self._unsorted.discard(at)
        return some

    def find(self, number: int) -> Some:
        """The owner of a number: of the next point whose owner is placed.

        There must be one.
        """
        self._changes = 0
        at, owners, unsorted = number >> _SHIFT, self._owners, self._unsorted
        some = self._sorted(at) if at in unsorted else self._lists[at]
        index = bisect_left(some, number << _OWNER)
        while True:
            while index < len(some):
                owner = owners[some[index] & _IS_OWNER]
                if owner is not None and owner.is_placed:
                    return owner
                index += 1
            at = (at + 1) % _LISTS
            some = self._sorted(at) if at in unsorted else self._lists[at]
            index = 0
