"""The tables, as Markdown that is also easy to read as it is."""

from collections.abc import Iterator, Sequence
from typing import Any

from bench.peers.all import YARDSTICK
from bench.results import Key, Results
from bench.work import (
    ADDED,
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
    TLS_MEMORY,
    TLS_WORK,
    WORK,
    Measure,
)

#: The rows of the comparison, and those of TLS and the PROXY protocol.
_COMPARED = (
    *(kind[name] for kind in (CPU, PACE) for name in WORK),
    P50, P99, START_MEMORY, IDLE_MEMORY, CALLS,
)  # fmt: skip
_TLS = (*(kind[name] for kind in (CPU, PACE) for name in TLS_WORK), TLS_MEMORY)

#: The curves.
_CURVES = (
    BUSY, IDLE, PICK, RELEASE, REPLACE, ANSWER, MAPPINGS_START, MAPPINGS_MEMORY,
    MAPPINGS_CPU, IDLE_TURN, IDLE_CPU, CLOSE_TURN, CLOSE_TIME, RELOAD_TIME,
    RELOAD_TURN, FLAPPING_SHARE, FLAPPING_CPU, FLAPPING_P50, FLAPPING_P99,
)  # fmt: skip


def tables(results: Results) -> str:
    """Everything that there is to print."""
    curves = [text for text in (curve(results, each) for each in _CURVES) if text]
    rest = results.about.get("the rest", {})
    parts = [
        _builds(results.about),
        f"Parts that were not measured anew are of {rest['date']}:" if rest else "",
        _builds(rest),
        "Medians of the rounds [the lowest and the highest]; in brackets the ratio to"
        f" {YARDSTICK}'s.",
        compared(results),
        *(
            f"Half load: {rate:,.0f} requests a second."
            for rate in results.figures.get((RATE, "all", 0), [])
        ),
        compared(results, _TLS),
        added(results),
        "Growth; in brackets the ratio to the first of the row." if curves else "",
        *curves,
        *(f"- {trouble}" for trouble in results.troubles),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _builds(about: dict[str, Any]) -> str:
    """On which Pythons numbers were taken: the first where a peer's name says none."""
    builds = about.get("builds", {}).items()
    return "\n".join(f"- {name}: {build}" for name, build in builds)


def compared(results: Results, measures: Sequence[Measure] = _COMPARED) -> str:
    """One row for each measure, one column for each balancer."""
    rows = [measure for measure in measures if results.peers(measure)]
    peers = list(dict.fromkeys(p for row in rows for p in results.peers(row)))
    if not rows:
        return ""
    head = ["", *peers]
    return aligned([head, *(list(_row(results, row, peers)) for row in rows)])


def _row(results: Results, measure: Measure, peers: Sequence[str]) -> Iterator[str]:
    yield _titled(results, measure)
    # The last place on a curve stands for it here.
    at = results.places(measure)[-1]
    base = results.median(measure, YARDSTICK, at)
    for peer in peers:
        yield _cell(results, measure, peer, at, None if peer == YARDSTICK else base)


def _titled(results: Results, measure: Measure) -> str:
    rounds = results.rounds(measure)
    times = f", {rounds} rounds" if rounds > 1 else ""
    return f"{measure.title}, {measure.unit}{times}"


def _cell(
    results: Results, measure: Measure, peer: str, at: int, base: float | None
) -> str:
    """The median, its spread, and its ratio to `base`, if there is one."""
    value = results.median(measure, peer, at)
    spread = results.spread(measure, peer, at)
    if value is None:
        return ""
    text = number(value)
    if spread is not None:
        text += f" [{number(spread[0])}-{number(spread[1])}]"
    return f"{text} ({ratio(value / base)})" if base else text


def added(results: Results) -> str:
    """What a feature adds: the ratio to the same balancer's CPU without it."""
    names = [name for name in ADDED if results.peers(CPU[name])]
    peers = list(dict.fromkeys(p for name in names for p in results.peers(CPU[name])))
    rows = [["CPU, ratio to the same balancer's without", *peers]]
    for name in names:
        cells = [
            ratio_of(results, (CPU[name], peer, 0), (CPU[ADDED[name]], peer, 0))
            for peer in peers
        ]
        rows.append([f"{name}, over {ADDED[name]}", *cells])
    return aligned(rows) if names else ""


def ratio_of(results: Results, key: Key, base: Key) -> str:
    """The ratio of two medians, and its spread over the rounds; empty if one lacks."""
    value, unit = (results.median(*each) for each in (key, base))
    if not value or not unit:
        return ""
    ratios = results.ratios(key, base)
    spread = f" ({ratio(min(ratios))}-{ratio(max(ratios))})" if len(ratios) > 1 else ""
    return f"{ratio(value / unit)}{spread}"


def curve(results: Results, measure: Measure) -> str:
    """One row for each balancer or policy, one column for each N."""
    places, peers = results.places(measure), results.peers(measure)
    if not places:
        return ""
    rows = [[_titled(results, measure), *(f"N = {at:,}" for at in places)]]
    for peer in peers:
        first = results.median(measure, peer, places[0])
        cells = [
            _cell(results, measure, peer, at, None if at == places[0] else first)
            for at in places
        ]
        rows.append([peer, *cells])
    return aligned(rows)


def number(value: float) -> str:
    """A number of three digits or so."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def ratio(value: float) -> str:
    """A ratio, to a hundredth if it is below ten."""
    return f"{value:.{0 if value >= 10 else 2}f}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table of Markdown; the first one is its head."""
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
