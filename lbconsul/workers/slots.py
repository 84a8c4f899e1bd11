"""Which slot of the table counts for which instance: the master allots them."""

from collections.abc import Callable
from heapq import heappop, heappush

from attrs import Factory, define

from lbconsul.balance.instance import Identity


@define(eq=False)
class Slots:
    """Slots from 0 up to but without `size`, the lowest free ones first."""

    _size: int
    _slots: dict[Identity, int] = Factory(dict)
    #: Identities that left, with the version of the catalog in which they did.
    _draining: dict[Identity, int] = Factory(dict)
    _free: list[int] = Factory(list)
    _next: int = 0

    @property
    def end(self) -> int:
        """All that were ever taken are below it."""
        return self._next

    def take(self, identity: Identity) -> int | None:
        """The slot of `identity`, which stays so until it left; None if all are taken.

        Whoever comes back while it is still counted gets its old one.
        """
        self._draining.pop(identity, None)
        slot = self._slots.get(identity)
        if slot is None:
            slot = self._unused()
            if slot is not None:
                self._slots[identity] = slot
        return slot

    def find(self, identity: Identity) -> int | None:
        """The slot that `identity` has, if it has one."""
        return self._slots.get(identity)

    def leave(self, identity: Identity, version: int) -> None:
        """It is in no answer any more, from this version of the catalog on."""
        if identity in self._slots:
            self._draining[identity] = version

    def reclaim(self, known: int, is_idle: Callable[[int], bool]) -> None:
        """Free the slots of who left, if nobody can count there any more.

        That is when every process knows the catalog's version `known`, in which
        they were gone, and nothing is open in any row.
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
