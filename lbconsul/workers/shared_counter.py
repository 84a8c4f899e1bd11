"""A connection counter for several processes: each has its own row of one table."""

from collections.abc import Callable
from typing import ClassVar
from weakref import WeakValueDictionary

from attrs import Factory, define, field

from lbconsul.balance.instance import Identity
from lbconsul.balance.upstream import Load
from lbconsul.workers.shared_table import RING, Table

#: How often all slots are read again, if any has changed, in seconds.
RECOUNT_EVERY = 5.0

#: A worker is overloaded above the mean plus this many connections plus an eighth of
#: the mean.
AHEAD = 2


@define(eq=False)
class SharedLoad(Load):
    """The load of one upstream, summed over all processes.

    Without a `slot` (the table is full, or the instance is unknown) it counts only this
    process.
    """

    is_shared: ClassVar[bool] = True
    _count: Callable[[int], None] = field(kw_only=True)
    _publish: Callable[[int, int], None] = field(kw_only=True)
    slot: int | None = None
    #: This process's share of the count.
    mine: int = 0

    def add(self, connections: int) -> None:
        self.mine += connections
        self._count(connections)
        if self.slot is not None:
            self._publish(self.slot, self.mine)
        Load.add(self, connections)

    def recounted(self, total: int) -> None:
        """Set the count over all processes; pools are updated only if it changed."""
        if total != self.open:
            Load.add(self, total - self.open)


@define(eq=False)
class SharedCounter:
    """Counts connections in one row of the table and reads the other rows.

    `slot_of` gives the slot of an identity.  Other processes' changes are read from
    their journals, at no cost while there are none.
    """

    is_shared: ClassVar[bool] = True
    _table: Table
    _row: int
    _slot_of: Callable[[Identity], int | None]
    _loads: WeakValueDictionary[Identity, SharedLoad] = Factory(WeakValueDictionary)
    _by_slot: WeakValueDictionary[int, SharedLoad] = Factory(WeakValueDictionary)
    #: The table's heads up to which journals have been read; and the same as numbers.
    _seen: bytearray = field(init=False)
    _positions: memoryview = field(init=False)
    #: This process's connections over all identities.
    _open: int = 0
    #: The table's heads at the last recount.
    _recounted: bytes = b""

    def __attrs_post_init__(self) -> None:
        self._seen = bytearray(self._table.moved())
        self._positions = memoryview(self._seen).cast("Q")

    def load(self, identity: Identity) -> SharedLoad:
        slot = self._slot_of(identity)
        load = self._loads.get(identity)
        if load is None:
            load = SharedLoad(count=self._count, publish=self._publish)
            self._loads[identity] = load
        if load.slot != slot:
            self._vacate(load)
            if slot is not None:
                self._occupy(slot, load)
        load.recounted(load.mine if slot is None else self._table.total(slot))
        return load

    def sync(self) -> None:
        if self._table.moved() != self._seen:
            self._follow()

    def open_connections(self) -> int:
        return self._open

    def serve(self) -> None:
        """Mark this process as one that accepts clients."""
        self._table.serving[self._row] = 1

    def is_overloaded(self) -> bool:
        """Whether this worker has notably more connections than the mean.

        The mean is taken over the serving workers; connections of all mappings count.
        """
        serving = sum(self._table.serving[1:].tolist())
        mean = sum(self._table.sums[1:].tolist()) / max(1, serving)
        return self._open > mean + AHEAD + mean / 8

    def recount(self) -> None:
        """Read all slots again, if any process has written since the last recount.

        Journals alone do not suffice: a processor may show a journal's new number
        before the entry it stands for, and that entry would not be read again.
        """
        if self._table.moved() != self._recounted:
            self._recount()

    def _follow(self) -> None:
        """Read the new journal entries of the other processes."""
        heads, positions = self._table.heads, self._positions
        if heads[0] != positions[0]:
            self._recount()
            return
        slots: set[int] = set()
        for row, ring in enumerate(self._table.rings):
            begin, end = positions[1 + row], heads[1 + row]
            if begin != end:
                slots.update([ring[each % RING] for each in range(begin, end)[-RING:]])
                # The writer may be overwriting the entry just read.
                if heads[1 + row] - begin >= RING:
                    self._recount()
                    return
                positions[1 + row] = end
        for slot in slots:
            load = self._by_slot.get(slot)
            if load is not None:
                load.recounted(self._table.total(slot))

    def _recount(self) -> None:
        self._recounted = self._table.moved()
        self._seen[:] = self._recounted
        # Loads are weakly referenced and may vanish while iterating; items() keeps them
        # alive.
        known = dict(self._by_slot.items())
        totals = self._table.totals(max(known, default=-1) + 1)
        for slot, load in known.items():
            load.recounted(totals[slot])

    def _vacate(self, load: SharedLoad) -> None:
        """Remove a load from its slot."""
        slot, load.slot = load.slot, None
        if slot is not None:  # and no other load has taken it
            del self._by_slot[slot]
            self._correct(slot, 0)

    def _occupy(self, slot: int, load: SharedLoad) -> None:
        """Assign a slot to a load and take it from any other load of this process."""
        before = self._by_slot.get(slot)
        if before is not None:
            before.slot = None
        load.slot = slot
        self._by_slot[slot] = load
        self._correct(slot, load.mine)

    def _correct(self, slot: int, count: int) -> None:
        if self._table.cells[self._row][slot] != count:
            self._publish(slot, count)

    def _count(self, connections: int) -> None:
        """Add to this process's sum over all identities in its row."""
        self._open += connections
        self._table.sums[self._row] = self._open

    def _publish(self, slot: int, count: int) -> None:
        """Write this process's count of a slot to its row, and to its journal."""
        table, row = self._table, self._row
        number = self._positions[1 + row]
        table.cells[row][slot] = count
        table.rings[row][number % RING] = slot
        self._positions[1 + row] = table.heads[1 + row] = number + 1
