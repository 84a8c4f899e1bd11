"""Counts how often each client comes, in memory of a fixed size.  Pure.

A client has one cell: its tag, and the time at which its bucket is full again (the
theoretical arrival time of the generic cell rate algorithm, ITU-T I.371).  A cell whose
time is past says nothing that an empty one does not, so it can be given to another
client.  Where all cells that a client could have are in use, the one that is full first
is taken: its client may go beyond its limit by what it had used.

Processes share the table without a lock.  Two that admit the same client within a
tenth of a microsecond may count one of both.
"""

from hashlib import blake2b

#: Cells of a table, and bytes of each.
CELLS, CELL = 1 << 20, 16

#: The cells that one client can have: they are one after the other, their tags before
#: their times.
WAYS = 8

#: The secret, and how many cells were taken that were in use, at the beginning.
_SECRET, _HEAD = 16, 64

#: The bytes of a table.
SIZE = _HEAD + CELLS * CELL

#: Seconds that a client may come too early, since clocks are not exact.
_EARLY = 1e-6

#: No client waits for longer than its interval and these seconds, unless the clock was
#: set back: an embedder's may be.
_SET_BACK = 60.0


class RateTable:
    """Cells for the clients of all limits, in zeroed memory of `SIZE` bytes or less."""

    __slots__ = ("_head", "_sets", "secret", "tags", "taken", "times")

    def __init__(self, memory: memoryview, secret: bytes = b"") -> None:
        self._head = memory[:_SECRET]
        #: Without one that is not known, clients could choose addresses that share
        #: their cells with others.
        self.secret = bytes(self._head)
        if secret:
            self.set_secret(secret)
        #: How many cells were taken that were in use: nearly exact.
        self.taken = memory[_SECRET : _SECRET + 8].cast("Q")
        cells = memory[_HEAD:]
        self._sets = len(cells) // (WAYS * CELL)
        #: Both are views of the same memory.
        self.tags, self.times = cells.cast("Q"), cells.cast("d")

    def set_secret(self, secret: bytes) -> None:
        """Set the secret for all processes that make a table of this memory later."""
        self._head[:] = self.secret = secret

    def place(self, key: bytes) -> tuple[int, int]:
        """The tag of a key, and where its set of cells begins."""
        digest = blake2b(key, key=self.secret, digest_size=16).digest()
        tag = int.from_bytes(digest[:8], "big") | 1  # 0 is for empty cells
        return tag, int.from_bytes(digest[8:], "big") % self._sets * 2 * WAYS

    def find(self, tag: int, begin: int, now: float) -> int:
        """The index of a tag's cell, which is taken if there is none so far."""
        tags = self.tags[begin : begin + WAYS].tolist()
        if tag in tags:
            return begin + tags.index(tag)
        times = self.times[begin + WAYS : begin + 2 * WAYS].tolist()
        first = min(times)
        if first > now:
            self.taken[0] += 1
        index = begin + times.index(first)
        self.times[index + WAYS] = 0.0
        self.tags[index] = tag
        return index

    def close(self) -> None:
        """Release the memory."""
        for view in (self.tags, self.times, self.taken, self._head):
            view.release()


class Bucket:
    """The tokens of one client: one each `interval` seconds, up to `burst`."""

    __slots__ = ("_at", "_begin", "_interval", "_table", "_tag", "_tolerance")

    def __init__(
        self, table: RateTable, key: bytes, interval: float, burst: int
    ) -> None:
        """`key` names the limit and the client."""
        self._table = table
        self._tag, self._begin = table.place(key)
        self._at = self._begin
        self._interval = interval
        self._tolerance = (burst - 1) * interval + _EARLY

    def take(self, now: float) -> float:
        """Take a token if there is one; else return the seconds until there is.

        `now` is the time in seconds by a clock that all processes share.
        """
        table, at = self._table, self._at
        if table.tags[at] != self._tag:
            at = self._at = table.find(self._tag, self._begin, now)
        times, at = table.times, at + WAYS
        full_at = times[at]
        while True:
            wait = full_at - self._tolerance - now
            if wait > self._interval + _SET_BACK:
                full_at = times[at] = now
                continue
            if wait > 0:
                return wait
            then = (full_at if full_at > now else now) + self._interval
            seen, full_at = full_at, times[at]
            if seen == full_at:  # no other process was here
                times[at] = then
                return 0.0

    def give_back(self) -> None:
        """Return the token that was taken just now."""
        if self._table.tags[self._at] == self._tag:
            self._table.times[self._at + WAYS] -= self._interval
