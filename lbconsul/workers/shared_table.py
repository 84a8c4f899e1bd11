"""The table: a piece of shared memory in which each process has a row to count in.

A row has a cell for each slot, and a journal: a number that grows by one with
each change, and a ring of the slots that were changed last.  A process writes
nowhere but in its own row, so that nobody needs a lock; the master clears the
row of one that died, and tells so by the generation.
"""

import fcntl
import os
import tempfile
from mmap import mmap
from typing import Self

from attrs import define, field

#: How many instances can be counted at the same time.  A quarter of a mebibyte
#: a row, of which only what is used takes memory.
SLOTS = 65536

#: So many changes a reader may be behind before it has to count everything anew.
RING = 4096

#: Room for the generation and the journals' numbers, 8 bytes each, for the sums
#: of the rows, 4 bytes each, and for who serves, 1 byte each.
_HEAD = 4096

_ROW = 4 * (SLOTS + RING)

#: The master's row and 256 workers'.
MOST_ROWS = 257


@define(eq=False)
class Table:
    """The shared memory, as one process has it before it.

    Each value is stored and loaded whole: it is aligned, and no longer than a
    machine word.  `heads` are the generation and then each row's number; `sums`
    are what each row counts in all, slot or none; `serving` is 1 for each row
    whose process accepts clients.
    """

    descriptor: int
    rows: int
    heads: memoryview = field(init=False)
    sums: memoryview = field(init=False)
    serving: memoryview = field(init=False)
    cells: list[memoryview] = field(init=False)
    rings: list[memoryview] = field(init=False)
    _memory: mmap = field(init=False)
    _heads_end: int = field(init=False)

    @classmethod
    def create(cls, rows: int) -> Self:
        """A new one, all zeros."""
        assert 1 <= rows <= MOST_ROWS
        return cls(_unnamed_file(_HEAD + rows * _ROW), rows)

    def __attrs_post_init__(self) -> None:
        self._memory = mmap(self.descriptor, _HEAD + self.rows * _ROW)
        self._heads_end = 8 * (1 + self.rows)
        view = memoryview(self._memory)
        self.heads = view[: self._heads_end].cast("Q")
        sums_end = self._heads_end + 4 * self.rows
        self.sums = view[self._heads_end : sums_end].cast("I")
        self.serving = view[sums_end : sums_end + self.rows].cast("B")
        starts = [_HEAD + row * _ROW for row in range(self.rows)]
        ring = 4 * SLOTS
        self.cells = [view[each : each + ring].cast("I") for each in starts]
        self.rings = [view[each + ring : each + _ROW].cast("I") for each in starts]

    def moved(self) -> bytes:
        """All heads as they are, to be compared: who has written anything since?"""
        return self._memory[: self._heads_end]

    def total(self, slot: int) -> int:
        """What all rows together count."""
        return sum([cells[slot] for cells in self.cells])

    def totals(self, end: int) -> list[int]:
        """The totals of the slots below `end`."""
        sums = self.cells[0][:end].tolist()
        for cells in self.cells[1:]:
            sums = list(map(int.__add__, sums, cells[:end].tolist()))
        return sums

    def clear(self, row: int, end: int = SLOTS) -> None:
        """Nothing is open any more that the late writer of this row counted.

        It knew of no slots but those below `end`.
        """
        start = _HEAD + row * _ROW
        self._memory[start : start + 4 * end] = bytes(4 * end)
        self.sums[row] = self.serving[row] = 0
        self.heads[0] += 1

    def close(self) -> None:
        """Give the memory back, as far as this process is concerned."""
        heads = (self.heads, self.sums, self.serving)
        for view in (*heads, *self.cells, *self.rings):
            view.release()
        self._memory.close()
        os.close(self.descriptor)


def _unnamed_file(size: int) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("lbconsul", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(descriptor, size)
        # Were it cut short, whoever looks at it next would die of SIGBUS.
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        return descriptor
    with tempfile.TemporaryFile() as file:  # no Linux
        os.ftruncate(file.fileno(), size)
        return os.dup(file.fileno())
