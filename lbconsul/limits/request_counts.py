"""Counts the requests that are under way, over all processes.  Pure."""

#: Rows that can be counted at a time: mappings and routes with `max-requests`.
SLOTS = 65536


class RequestCount:
    """The requests of one row of a mapping, over all processes.

    Two processes that begin a request at once may both be the last that may.
    """

    __slots__ = ("_cells", "_mine")

    def __init__(self, cells: memoryview | None = None, mine: int = 0) -> None:
        """`cells` hold the count of each process, and cell `mine` that of this one.

        None: there is no other process.
        """
        self._cells = memoryview(bytearray(4)).cast("I") if cells is None else cells
        self._mine = mine

    def begin(self, most: int) -> bool:
        """Count one more request, unless there are `most` already."""
        cells = self._cells
        if sum(cells) >= most:
            return False
        cells[self._mine] += 1
        return True

    def end(self) -> None:
        """Count one less, which is over."""
        self._cells[self._mine] -= 1


class SharedRequestCounts:
    """The counts of `SLOTS` rows, each with a cell for each process."""

    __slots__ = ("_cells", "_processes")

    def __init__(self, memory: memoryview, processes: int) -> None:
        """The memory is zeroed, and has the size that `size` says."""
        self._cells, self._processes = memory.cast("I"), processes

    @staticmethod
    def size(processes: int) -> int:
        """The bytes for so many processes."""
        return 4 * SLOTS * processes

    def count(self, number: int, process: int) -> RequestCount:
        """The count of the row with this number, for one of the processes.

        Numbers grow with each new row, and are used anew after `SLOTS` others.
        """
        begin = number % SLOTS * self._processes
        return RequestCount(self._cells[begin : begin + self._processes], process)

    def clear(self, process: int) -> None:
        """Forget the requests of a process that has died."""
        zeros = memoryview(bytearray(4 * SLOTS)).cast("I")
        self._cells[process :: self._processes] = zeros

    def close(self) -> None:
        """Release the memory, of which no `count` may be left."""
        self._cells.release()
