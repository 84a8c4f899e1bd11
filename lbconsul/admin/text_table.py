"""Lays out a table as lines: aligned, and no wider than the terminal if possible."""

from collections.abc import Collection, Iterable, Sequence

from attrs import frozen

from lbconsul.text import clipped

#: Between two columns, and before the first.
_GAP = "  "

#: The least width of the last column, and of its head.
_LEAST = 12


@frozen
class Layout:
    """How a table is laid out."""

    #: Columns of numbers.
    to_the_right: Collection[str] = ()
    #: Columns that may be left out, the first one first.
    spare: Sequence[str] = ()
    #: Columns of the terminal; None: as many as the table needs.
    width: int | None = None

    def lines(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
        """The head and the rows, of which each has a cell for each column.

        Where there is no room, columns are left out, and the last one is cut.
        """
        cells = [columns, *rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        kept = self._kept(columns, widths)
        last = self._last(widths, kept)
        return [self._line(columns, each, widths, kept, last) for each in cells]

    def _kept(self, columns: Sequence[str], widths: Sequence[int]) -> list[int]:
        """The numbers of the columns that have room."""
        kept = list(range(len(columns)))
        for name in self.spare:
            if self.width is None or self._needed(widths, kept) <= self.width:
                break
            if name in columns:
                kept.remove(columns.index(name))
        return kept

    @staticmethod
    def _needed(widths: Sequence[int], kept: Sequence[int]) -> int:
        *others, last = (widths[each] for each in kept)
        return len(_GAP) * len(kept) + sum(others) + min(last, _LEAST)

    def _last(self, widths: Sequence[int], kept: Sequence[int]) -> int:
        """The width of the last column."""
        last = widths[kept[-1]]
        if self.width is None:
            return last
        used = self._needed(widths, kept) - min(last, _LEAST)
        return max(min(last, _LEAST), min(last, self.width - used))

    def _line(
        self,
        columns: Sequence[str],
        cells: Sequence[str],
        widths: Sequence[int],
        kept: Sequence[int],
        last: int,
    ) -> str:
        line = ""
        for each in kept[:-1]:
            is_right = columns[each] in self.to_the_right
            aligned = cells[each].rjust if is_right else cells[each].ljust
            line += _GAP + aligned(widths[each])
        return f"{line}{_GAP}{clipped(cells[kept[-1]], last)}".rstrip()
