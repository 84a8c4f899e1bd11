"""The tables, as Markdown that is also easy to read as it is."""

from collections.abc import Iterator, Sequence

from bench.peers.all import YARDSTICK
from bench.results import Results
from bench.work import (
    ANSWER,
    BUSY,
    CALLS,
    CLOSE_TIME,
    CLOSE_TURN,
    CPU,
    FLAPPING_CPU,
    FLAPPING_P50,
    FLAPPING_P99,
    FLAPPING_SHARE,
    IDLE,
    IDLE_CPU,
    IDLE_MEMORY,
    IDLE_TURN,
    MAPPINGS_CPU,
    MAPPINGS_MEMORY,
    MAPPINGS_START,
    P50,
    P99,
    PACE,
    PICK,
    RATE,
    RELEASE,
    RELOAD_TIME,
    RELOAD_TURN,
    REPLACE,
    START_MEMORY,
    Measure,
)

#: The rows of the comparison.
_COMPARED = (*CPU.values(), *PACE.values(), P50, P99, START_MEMORY, IDLE_MEMORY, CALLS)

#: The curves.
_CURVES = (
    BUSY, IDLE, PICK, RELEASE, REPLACE, ANSWER, MAPPINGS_START, MAPPINGS_MEMORY,
    MAPPINGS_CPU, IDLE_TURN, IDLE_CPU, CLOSE_TURN, CLOSE_TIME, RELOAD_TIME,
    RELOAD_TURN, FLAPPING_SHARE, FLAPPING_CPU, FLAPPING_P50, FLAPPING_P99,
)  # fmt: skip


def tables(results: Results) -> str:
    """Everything that there is to print."""
    curves = [text for text in (curve(results, each) for each in _CURVES) if text]
    parts = [
        f"Medians; in brackets the ratio to {YARDSTICK}'s.",
        compared(results),
        *(
            f"Half load: {rate:,.0f} requests a second."
            for rate in results.figures.get((RATE, "all", 0), [])
        ),
        "Growth; in brackets the ratio to the first of the row." if curves else "",
        *curves,
        *(f"- {trouble}" for trouble in results.troubles),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def compared(results: Results) -> str:
    """One row for each measure, one column for each balancer."""
    rows = [measure for measure in _COMPARED if results.peers(measure)]
    peers = list(dict.fromkeys(p for row in rows for p in results.peers(row)))
    if not rows:
        return ""
    head = ["", *peers]
    return _aligned([head, *(list(_row(results, row, peers)) for row in rows)])


def _row(results: Results, measure: Measure, peers: Sequence[str]) -> Iterator[str]:
    yield f"{measure.title}, {measure.unit}"
    # The last place on a curve stands for it here.
    at = results.places(measure)[-1]
    base = results.median(measure, YARDSTICK, at)
    for peer in peers:
        value = results.median(measure, peer, at)
        yield with_ratio(value, None if peer == YARDSTICK else base)


def curve(results: Results, measure: Measure) -> str:
    """One row for each balancer or policy, one column for each N."""
    places, peers = results.places(measure), results.peers(measure)
    if not places:
        return ""
    rows = [[f"{measure.title}, {measure.unit}", *(f"N = {at:,}" for at in places)]]
    for peer in peers:
        values = [results.median(measure, peer, at) for at in places]
        cells = [with_ratio(values[0], None)]
        cells += [with_ratio(value, values[0]) for value in values[1:]]
        rows.append([peer, *cells])
    return _aligned(rows)


def with_ratio(value: float | None, base: float | None) -> str:
    """A number of three digits or so, and its ratio to `base`, if there is one."""
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    if not base:
        return text
    ratio = value / base
    return f"{text} ({ratio:.{0 if ratio >= 10 else 2}f})"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *others = (
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append(f"| {' | '.join((first, *others))} |")
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines.insert(1, f"| {' | '.join(rule)} |")
    return "\n".join(lines)
