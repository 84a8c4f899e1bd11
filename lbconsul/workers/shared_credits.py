"""The credits of a split whose parts are chosen by several processes."""

from collections.abc import Iterable, Sequence
from itertools import count

from attrs import Factory, define

from lbconsul.balance.split import WHOLE
from lbconsul.config.listen import Listen
from lbconsul.workers.shared_table import CREDITS, Table

#: A cell is a number of 64 bits.  One process may always choose the same part, so that
#: its own cells overflow; their sums are small, and right all the same.
_BITS = 64
_MASK, _HALF, _RANGE = 2**_BITS - 1, 2 ** (_BITS - 1), 2**_BITS


@define(eq=False)
class SharedCredits:
    """Credits in the shared table: those of each part have a slot.

    Each process adds to the cells of its own row, and reads those of all rows.
    """

    _table: Table
    _row: int
    _slots: list[int]

    def totals(self) -> list[int]:
        credits, rows = self._table.credits, self._table.rows
        found = []
        for slot in self._slots:
            start = slot * rows
            total = sum(credits[start : start + rows].tolist()) & _MASK
            found.append(total - _RANGE if total >= _HALF else total)
        return found

    def charge(self, shares: Sequence[tuple[int, int]], chosen: int) -> None:
        credits, rows, row = self._table.credits, self._table.rows, self._row
        for number, share in shares:
            cell = self._slots[number] * rows + row
            credit = share - WHOLE if number == chosen else share
            credits[cell] = (credits[cell] + credit) & _MASK

    def clear(self) -> None:
        """Have no credit be left in any slot."""
        credits = self._table.credits
        for slot, total in zip(self._slots, self.totals(), strict=True):
            cell = slot * self._table.rows + self._row
            credits[cell] = (credits[cell] - total) & _MASK


@define(eq=False)
class CreditSlots:
    """Assigns slots of credits to the parts of splits; only the master does.

    They are assigned in turn, so that one is used again only long after its part has
    gone, when no process chooses by it any more; then it is cleared.
    """

    _table: Table
    _size: int = CREDITS
    _slots: dict[tuple[Listen | None, str], int] = Factory(dict)
    _next: "count[int]" = Factory(count)

    def keep(self, wanted: Iterable[tuple[Listen | None, str]]) -> None:
        """Assign slots to these parts, by address and key, and free those of others.

        As many as there are slots get one; what is beyond is not chosen together.
        """
        wanted = list(wanted)
        kept = {each: self._slots[each] for each in wanted if each in self._slots}
        taken = set(kept.values())
        for each in wanted:
            if each not in kept and len(taken) < self._size:
                slot = next(self._next) % self._size
                while slot in taken:
                    slot = next(self._next) % self._size
                SharedCredits(self._table, 0, [slot]).clear()
                taken.add(slot)
                kept[each] = slot
        self._slots = kept

    def find(self, listen: Listen | None, key: str) -> int | None:
        """The slot of a part; None if it has none."""
        return self._slots.get((listen, key))
