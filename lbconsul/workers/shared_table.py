"""Shared memory in which each process has a row to count connections in.

A row has a cell for each slot, and a journal: a number that grows by one with each
change, and a ring of the slots changed last.  For the credits of splits each slot has a
cell for each row.  A process writes only to its own row, so
no lock is needed.  The master clears the row of a worker that died, and then raises the
generation; credits stay, for only their sums over all rows mean something.
"""

import fcntl
import os
import tempfile
from mmap import mmap
from typing import Self

from attrs import define, field

from lbconsul.limits.rate_table import SIZE, RateTable
from lbconsul.limits.request_counts import SharedRequestCounts

#: How many instances can be counted at the same time: a quarter of a mebibyte a row, of
#: which only the used pages take memory.
SLOTS = 65536

#: How many changes a reader may be behind before it must read all slots again.
RING = 4096

#: How many parts of splits can have credits at the same time: 8 bytes for each row.
CREDITS = 16384

#: Room for the generation and the journals' numbers (8 bytes each), the sums of the
#: rows (4 bytes each) and the serving flags (1 byte each).
_HEAD = 4096

_ROW = 4 * (SLOTS + RING)

#: The master's row and 256 workers'.
MOST_ROWS = 257


@define(eq=False)
class Table:
    """The shared memory, mapped into one process.

    Each value is aligned and no longer than a machine word, so it is stored and loaded
    whole.  `heads` are the generation and then each row's journal number; `sums` are
    what each row counts in all, slot or none; `serving` is 1 for each row whose process
    accepts clients.  `credits` has the cells of a slot side by side, in the order of
    the rows.
    """

    descriptor: int
    rows: int
    heads: memoryview = field(init=False)
    sums: memoryview = field(init=False)
    serving: memoryview = field(init=False)
    cells: list[memoryview] = field(init=False)
    rings: list[memoryview] = field(init=False)
    #: For rates, and for requests under way: the memory, and the views that use it.
    rates: RateTable = field(init=False)
    requests: SharedRequestCounts = field(init=False)
    credits: memoryview = field(init=False)
    _memory: mmap = field(init=False)
    _heads_end: int = field(init=False)

    @classmethod
    def create(cls, rows: int) -> Self:
        """A new table, all zeros."""
        assert 1 <= rows <= MOST_ROWS
        table = cls(_unnamed_file(_size(rows)), rows)
        table.rates.set_secret(os.urandom(16))
        return table

    def __attrs_post_init__(self) -> None:
        self._memory = mmap(self.descriptor, _size(self.rows))
        self._heads_end = 8 * (1 + self.rows)
        view = memoryview(self._memory)
        self.heads = view[: self._heads_end].cast("Q")
        sums_end = self._heads_end + 4 * self.rows
        self.sums = view[self._heads_end : sums_end].cast("I")
        self.serving = view[sums_end : sums_end + self.rows].cast("B")
        credits, limits = _HEAD + self.rows * _ROW, _limits(self.rows)
        self.credits = view[credits:limits].cast("Q")
        self.rates = RateTable(view[limits : limits + SIZE])
        self.requests = SharedRequestCounts(view[limits + SIZE :], self.rows)
        starts = [_HEAD + row * _ROW for row in range(self.rows)]
        ring = 4 * SLOTS
        self.cells = [view[each : each + ring].cast("I") for each in starts]
        self.rings = [view[each + ring : each + _ROW].cast("I") for each in starts]

    def moved(self) -> bytes:
        """A copy of all heads: if it differs from an earlier one, some process has
        written.
        """
        return self._memory[: self._heads_end]

    def total(self, slot: int) -> int:
        """The sum of a slot over all rows."""
        return sum([cells[slot] for cells in self.cells])

    def totals(self, end: int) -> list[int]:
        """The sums of the slots below `end`, over all rows."""
        sums = self.cells[0][:end].tolist()
        for cells in self.cells[1:]:
            sums = list(map(int.__add__, sums, cells[:end].tolist()))
        return sums

    def clear(self, row: int, end: int = SLOTS) -> None:
        """Clear the row of a process that died.

        `end` bounds the slots that the process knew.
        """
        start = _HEAD + row * _ROW
        self._memory[start : start + 4 * end] = bytes(4 * end)
        self.sums[row] = self.serving[row] = 0
        self.requests.clear(row)
        self.heads[0] += 1

    def close(self) -> None:
        """Unmap the memory from this process."""
        heads = (self.heads, self.sums, self.serving, self.credits)
        for view in (*heads, *self.cells, *self.rings):
            view.release()
        self.rates.close()
        self.requests.close()
        self._memory.close()
        os.close(self.descriptor)


def _size(rows: int) -> int:
    return _limits(rows) + SIZE + SharedRequestCounts.size(rows)


def _limits(rows: int) -> int:
    """Where what limits clients begins."""
    return _HEAD + rows * (_ROW + 8 * CREDITS)


def _unnamed_file(size: int) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("lbconsul", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, size)
        # If the file were truncated, the next access by any process would raise SIGBUS.
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        return descriptor
    with tempfile.TemporaryFile() as file:  # not on Linux
        os.ftruncate(file.fileno(), size)
        return os.dup(file.fileno())
