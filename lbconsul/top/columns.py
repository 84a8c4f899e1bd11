"""The columns that a terminal has room for, and a row's texts in them.  Pure."""

from collections.abc import Callable, Iterable

from attrs import evolve, frozen

from lbconsul.admin.short_text import clean, size, span
from lbconsul.text import clipped
from lbconsul.top.figures import Figures
from lbconsul.top.lines import FAINT, HEAD, PLAIN, Line, number
from lbconsul.top.rows import Row

#: Before the name: where the cursor is, and the mark.
_CURSOR, _NO_CURSOR = ">", " "
_MARGIN = 4

#: How wide names and reasons become before further columns are shown.
_WIDE_NAME, _WIDE_REASON = 24, 28
_WIDER = ""


@frozen
class Column:
    """A column: its head, its width, and what a row has there at this time."""

    name: str
    width: int
    text: Callable[[Row, float], str]
    to_the_right: bool = True


def _span(seconds: float | None) -> str:
    """A latency, in seven characters."""
    if seconds is None:
        return ""
    if seconds < 0.001:
        return f"{1000 * seconds:.2f}ms"
    return span(seconds).replace(" ", "")


def _rate(value: Callable[[Row], float]) -> Callable[[Row, float], str]:
    """A rate, of mappings and upstreams."""
    return lambda row, _: number(value(row)) if _counts(row) else ""


def _bytes(value: Callable[[Row], float]) -> Callable[[Row, float], str]:
    return lambda row, _: size(value(row)) if _counts(row) else ""


def _counts(row: Row) -> bool:
    return row.kind in ("mapping", "upstream")


def _of_http(value: Callable[[Row], float]) -> Callable[[Row, float], str]:
    """A rate of requests."""
    return lambda row, _: number(value(row)) if row.source.get("http") else ""


def _count(*names: str) -> Callable[[Row, float], str]:
    """What the status counts, under one of these names."""

    def text(row: Row, _: float) -> str:
        found = [row.source[each] for each in names if each in row.source]
        return number(found[0]) if _counts(row) else ""

    return text


def _weight(row: Row, _: float) -> str:
    if row.kind != "upstream":
        return ""
    return f"{row.source['effective_weight']:.3g}/{row.source['weight']}"


def _since(row: Row, now: float) -> str:
    if row.kind != "upstream":
        return ""
    # The larger of its two units is enough.
    return "".join(span(max(0.0, now - row.source["since"])).split()[:2])


NAME = Column("MAPPING / INSTANCE", 20, lambda row, _: row.name, to_the_right=False)
STANDING = Column("STANDING", 8, lambda row, _: row.standing, to_the_right=False)
REASON = Column("REASON", 10, lambda row, _: row.reason, to_the_right=False)

#: Those that may be left out, in the order of the table.
OPTIONAL = (
    Column(
        "ADDRESS",
        21,
        lambda row, _: row.source.get("address") or row.source.get("listen", ""),
        to_the_right=False,
    ),
    Column("OPEN", 5, _count("open")),
    Column("TOTAL", 5, _count("total", "accepted")),
    Column("WEIGHT", 7, _weight),
    Column("CONN/S", 6, _rate(lambda row: row.counts.connections)),
    Column("REQ/S", 5, _of_http(lambda row: row.counts.requests)),
    Column("5XX/S", 5, _of_http(lambda row: row.counts.errors)),
    Column("FAIL/S", 6, _rate(lambda row: row.counts.failures)),
    Column("CONNECT", 7, lambda row, _: _span(row.connect)),
    Column("P50", 7, lambda row, _: _span(row.p50)),
    Column("P99", 7, lambda row, _: _span(row.p99)),
    Column("IN/S", 7, _bytes(lambda row: row.counts.received)),
    Column("OUT/S", 7, _bytes(lambda row: row.counts.sent)),
    Column("SINCE", 5, _since),
)

_BY_NAME = {each.name: each for each in OPTIONAL}

#: Their names, what matters most first; before the others names and reasons get wider.
_WANTED = (
    "OPEN", "CONN/S", "FAIL/S", "CONNECT", _WIDER, "OUT/S", "P99", "SINCE", "IN/S",
    "P50", "WEIGHT", "TOTAL", "ADDRESS",
)  # fmt: skip
#: The same where there are requests.
_WANTED_OF_HTTP = (
    "OPEN", "REQ/S", "5XX/S", "P99", _WIDER, "CONN/S", "FAIL/S", "P50", "OUT/S",
    "CONNECT", "SINCE", "IN/S", "WEIGHT", "TOTAL", "ADDRESS",
)  # fmt: skip


@frozen
class Layout:
    """The columns of a table, each as wide as it is."""

    columns: tuple[Column, ...]

    @property
    def head(self) -> Line:
        """The names of the columns."""
        cells = [_aligned(each, each.name) for each in self.columns]
        return Line(((" " * _MARGIN + " ".join(cells), FAINT),))

    def line(self, row: Row, now: float, *, is_selected: bool) -> Line:
        """A row; `now` is the gateway's time."""
        cursor = _CURSOR if is_selected else _NO_CURSOR
        cells = [_aligned(each, clean(each.text(row, now))) for each in self.columns]
        name, standing, *others = cells
        tone_of_name = HEAD if row.kind == "mapping" else PLAIN
        tone_of_rest = FAINT if row.tone == FAINT else PLAIN
        if row.kind == "note":
            tone_of_name = tone_of_rest = row.tone
        return Line(
            (
                (f"{cursor} {row.mark} ", row.tone),
                (f"{name} ", tone_of_name),
                (f"{standing} ", PLAIN if row.tone == HEAD else row.tone),
                (" ".join(others), tone_of_rest),
            )
        )


def layout(rows: Iterable[Row], width: int, *, has_http: bool) -> Layout:
    """The columns for a terminal of this width."""
    longest = max((len(each.name) for each in rows), default=0)
    widths = {each.name: each.width for each in (NAME, STANDING, REASON)}
    room = width - _MARGIN - sum(widths.values()) - len(widths) + 1

    def widen(column: Column, most: int) -> None:
        nonlocal room
        more = max(0, min(room, most - widths[column.name]))
        widths[column.name] += more
        room -= more

    for each in _WANTED_OF_HTTP if has_http else _WANTED:
        if each == _WIDER:
            widen(NAME, min(longest, _WIDE_NAME))
            widen(REASON, _WIDE_REASON)
            continue
        column = _BY_NAME[each]
        if column.width >= room:
            break
        widths[each] = column.width
        room -= column.width + 1
    widen(NAME, longest)
    widen(REASON, width)
    return Layout(
        tuple(
            evolve(each, width=widths[each.name])
            for each in (NAME, STANDING, *OPTIONAL, REASON)
            if each.name in widths
        )
    )


def speaks_http(figures: Figures) -> bool:
    """Whether a mapping is in HTTP mode."""
    return any(each["http"] for each in figures.status["mappings"])


def _aligned(column: Column, text: str) -> str:
    text = clipped(text, column.width)
    return text.rjust(column.width) if column.to_the_right else text.ljust(column.width)
