"""A tally that several processes share: each counts in its own row of one table."""

from collections.abc import Callable
from weakref import WeakValueDictionary

from attrs import Factory, define, field

from lbconsul.balance.instance import Identity
from lbconsul.balance.upstream import Load
from lbconsul.workers.shared_table import RING, Table

#: How often everything is to be counted anew, if anything has changed, in seconds.
RECOUNT_EVERY = 5.0

#: A worker is ahead if it has so many connections more than the mean, and an
#: eighth of the mean.
AHEAD = 2


@define(eq=False)
class SharedLoad(Load):
    """A load to which all processes add.

    Without a `slot` it is this process's alone: the table has room for no more.
    """

    _count: Callable[[int], None] = field(kw_only=True)
    _publish: Callable[[int, int], None] = field(kw_only=True)
    slot: int | None = None
    #: What this process has added.
    mine: int = 0

    def add(self, connections: int) -> None:
        self.mine += connections
        self._count(connections)
        if self.slot is not None:
            self._publish(self.slot, self.mine)
        Load.add(self, connections)

    def recounted(self, total: int) -> None:
        """So many are open over all processes: tell every pool, if that is news."""
        if total != self.open:
            Load.add(self, total - self.open)


@define(eq=False)
class SharedTally:
    """Counts in one row of a table, and knows what is counted in the others.

    `slot_of` gives the slot of an identity.  What others count is learned from
    their journals, which costs nothing while there is nothing new.
    """

    _table: Table
    _row: int
    _slot_of: Callable[[Identity], int | None]
    _loads: WeakValueDictionary[Identity, SharedLoad] = Factory(WeakValueDictionary)
    _by_slot: WeakValueDictionary[int, SharedLoad] = Factory(WeakValueDictionary)
    #: The table's heads as far as we followed them; and the same as numbers.
    _seen: bytearray = field(init=False)
    _positions: memoryview = field(init=False)
    #: What this process has added, over all identities.
    _open: int = 0
    #: The heads at the last recount.
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
        """Be one of those that accept clients."""
        self._table.serving[self._row] = 1

    def is_overloaded(self) -> bool:
        """Whether this worker has notably more connections than those that serve.

        Over all mappings: they are not counted apart.
        """
        serving = sum(self._table.serving[1:].tolist())
        mean = sum(self._table.sums[1:].tolist()) / max(1, serving)
        return self._open > mean + AHEAD + mean / 8

    def recount(self) -> None:
        """Count everything anew, if anybody wrote anything since the last time.

        Now and then, since a processor may show us the number of a journal
        before what it stands for: we would not look there again.
        """
        if self._table.moved() != self._recounted:
            self._recount()

    def _follow(self) -> None:
        """Read on in the journals of the others."""
        heads, positions = self._table.heads, self._positions
        if heads[0] != positions[0]:
            self._recount()
            return
        slots: set[int] = set()
        for row, ring in enumerate(self._table.rings):
            begin, end = positions[1 + row], heads[1 + row]
            if begin != end:
                slots.update([ring[each % RING] for each in range(begin, end)[-RING:]])
                # The writer may be about to write where we have just read.
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
        # A load may be gone any time; only items() holds out.
        known = dict(self._by_slot.items())
        totals = self._table.totals(max(known, default=-1) + 1)
        for slot, load in known.items():
            load.recounted(totals[slot])

    def _vacate(self, load: SharedLoad) -> None:
        """Let it count in no slot."""
        slot, load.slot = load.slot, None
        if slot is not None:  # and it is still its own: who takes one says so
            del self._by_slot[slot]
            self._correct(slot, 0)

    def _occupy(self, slot: int, load: SharedLoad) -> None:
        """Let it count in a slot, and no other load of ours."""
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
        """Note in our row that we have so many more open, wherever."""
        self._open += connections
        self._table.sums[self._row] = self._open

    def _publish(self, slot: int, count: int) -> None:
        """Note in our row that we have so many open there."""
        table, row = self._table, self._row
        number = self._positions[1 + row]
        table.cells[row][slot] = count
        table.rings[row][number % RING] = slot
        self._positions[1 + row] = table.heads[1 + row] = number + 1
