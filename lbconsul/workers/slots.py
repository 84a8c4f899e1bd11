"""Assigns slots of the shared table to instances; only the master does."""

from collections.abc import Callable
from heapq import heappop, heappush

from attrs import Factory, define

from lbconsul.balance.instance import Identity


@define(eq=False)
class Slots:
    """Slots from 0 to `size` - 1; the lowest free slot is assigned first."""

    _size: int
    _slots: dict[Identity, int] = Factory(dict)
    #: Identities that left, with the catalog version in which they did.
    _draining: dict[Identity, int] = Factory(dict)
    _free: list[int] = Factory(list)
    _next: int = 0

    @property
    def end(self) -> int:
        """The upper bound (exclusive) of the slots ever assigned."""
        return self._next

    def allocate(self, identity: Identity) -> int | None:
        """Assign a slot to `identity` until its release; None if no slot is free.

        An instance that returns before its slot is reclaimed keeps that slot.
        """
        self._draining.pop(identity, None)
        slot = self._slots.get(identity)
        if slot is None:
            slot = self._unused()
            if slot is not None:
                self._slots[identity] = slot
        return slot

    def find(self, identity: Identity) -> int | None:
        """The slot of `identity`; None if it has none."""
        return self._slots.get(identity)

    def release_after(self, identity: Identity, version: int) -> None:
        """Record that `identity` is in no answer from this catalog version on."""
        if identity in self._slots:
            self._draining[identity] = version

    def reclaim(self, known: int, is_idle: Callable[[int], bool]) -> None:
        """Free the slots of instances that left, once no process can count in them.

        That is when every process has a catalog version up to `known` that lacks them,
        and no row counts a connection.
        """
        gone = [
            identity
            for identity, version in self._draining.items()
            if version <= known and is_idle(self._slots[identity])
        ]
        for identity in gone:
            del self._draining[identity]
            heappush(self._free, self._slots.pop(identity))

    def _unused(self) -> int | None:
        if self._free:
            return heappop(self._free)
        if self._next == self._size:
            return None
        self._next += 1
        return self._next - 1
