"""The plots, by matplotlib, which only this module needs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot

from bench.peers.all import YARDSTICK
from bench.results import Results
from bench.work import (
    ANSWER,
    BUSY,
    CLOSE_TURN,
    CPU,
    HTTP_BUSY,
    HTTP_IDLE,
    HTTP_MEMORY,
    HTTP_P99,
    HTTP_ROUTES,
    HTTP_UPSTREAMS,
    HTTP_WORK,
    IDLE,
    IDLE_TURN,
    P50,
    P99,
    PICK,
    RELEASE,
    RELOAD_TIME,
    RELOAD_TURN,
    REPLACE,
    TLS_MEMORY,
    TLS_WORK,
    WORK,
    Measure,
)  # fmt: skip

#: Okabe and Ito's colours, which colour-blind readers can tell apart.
_OURS, _OTHERS, _BASE = "#0072B2", "#BBBBBB", "#555555"
_LINES = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00")

#: A longer bar is cut, so that one outlier does not flatten all others.
_LONGEST = 6.0

_STYLE: Any = {
    # Text stays text: a tenth of the size, and the reader's own font.
    "svg.fonttype": "none",
    "svg.hashsalt": "lbconsul",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


def draw(results: Results, directory: Path) -> None:
    """Draw what there are numbers for."""
    with mpl.rc_context(_STYLE):
        _bars(results, [CPU[name] for name in WORK], directory / "cpu.svg")
        features = [*(CPU[name] for name in TLS_WORK), TLS_MEMORY]
        _bars(results, features, directory / "tls.svg")
        in_http = [*(CPU[name] for name in HTTP_WORK), HTTP_P99, HTTP_MEMORY]
        _bars(results, in_http, directory / "http.svg")
        _bars(results, [P50, P99], directory / "latency.svg")
        _growth(results, directory / "growth.svg")
        _growth_in_http(results, directory / "http-growth.svg")


def _bars(results: Results, measures: Sequence[Measure], path: Path) -> None:
    """For each measure a bar for each balancer, as long as its ratio."""
    measures = [each for each in measures if YARDSTICK in results.peers(each)]
    if not measures:
        return
    columns = 2
    rows = -(-len(measures) // columns)
    peers = max(len(results.peers(each)) for each in measures)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(9, rows * (0.7 + 0.24 * peers)), squeeze=False
    )
    for axis in axes.flat[len(measures) :]:
        axis.set_visible(False)
    for axis, measure in zip(axes.flat, measures, strict=False):
        _panel(axis, results, measure)
    figure.supxlabel(f"ratio to {YARDSTICK}: shorter is better", fontsize=9)
    _save(figure, path)


def _panel(axis: Any, results: Results, measure: Measure) -> None:
    # The last place on a curve stands for it here, as in the tables.
    at = results.places(measure)[-1]
    base = results.median(measure, YARDSTICK, at)
    assert base
    peers = results.peers(measure)[::-1]
    values = [results.median(measure, peer, at) or 0.0 for peer in peers]
    ratios = [value / base for value in values]
    drawn = [min(ratio, _LONGEST) for ratio in ratios]
    bars = axis.barh(peers, drawn, color=[_colour(peer) for peer in peers])
    said = map(_label, ratios, values)
    axis.bar_label(bars, list(said), padding=3, fontsize=8)
    axis.axvline(1, color=_BASE, linewidth=0.8, linestyle=":", zorder=0)
    axis.set_title(f"{measure.title} ({measure.unit})".replace("us", "µs"))
    axis.set_xlim(0, 1.4 * max(drawn))
    axis.tick_params(left=False)


def _label(ratio: float, value: float) -> str:
    cut = "→ " if ratio > _LONGEST else ""
    return f"{cut}{ratio:.2f}  ({value:,.{0 if value >= 100 else 1}f})"


def _colour(peer: str) -> str:
    return _OURS if "lbconsul" in peer else _BASE if peer == YARDSTICK else _OTHERS


def _growth(results: Results, path: Path) -> None:
    panels = [
        ("CPU per request (µs)", "open connections", [BUSY, IDLE]),
        ("A pick, a release (µs)", "upstreams", [PICK, RELEASE]),
        ("An answer with one change (ms)", "upstreams", [REPLACE, ANSWER]),
        ("Longest turn (ms)", "held connections", [IDLE_TURN, CLOSE_TURN]),
        ("A reload (ms)", "mappings", [RELOAD_TIME, RELOAD_TURN]),
    ]
    _panels(results, panels, path)


def _growth_in_http(results: Results, path: Path) -> None:
    title = "HTTP, CPU per request (µs)"
    panels = [
        (title, "clients", [HTTP_BUSY, HTTP_IDLE]),
        (title, "upstreams", [HTTP_UPSTREAMS]),
        (title, "routes", [HTTP_ROUTES]),
    ]
    _panels(results, panels, path)


def _panels(
    results: Results, panels: Sequence[tuple[str, str, list[Measure]]], path: Path
) -> None:
    panels = [each for each in panels if any(map(results.peers, each[2]))]
    if not panels:
        return
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(3.4 * len(panels), 4), squeeze=False
    )
    for axis, (title, across, measures) in zip(axes.flat, panels, strict=True):
        _curves(axis, results, measures)
        axis.set(xscale="log", xlabel=across, title=title)
        if ANSWER in measures or RELOAD_TIME in measures:
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), fontsize=7)
    _save(figure, path)


def _curves(axis: Any, results: Results, measures: Sequence[Measure]) -> None:
    """One colour for each balancer or policy, one kind of line for each measure."""
    peers = list(dict.fromkeys(p for each in measures for p in results.peers(each)))
    for measure, line in zip(measures, ("-o", "--s"), strict=False):
        for peer in results.peers(measure):
            places = results.places(measure)
            # None is a gap in a line.
            values: list[Any] = [results.median(measure, peer, at) for at in places]
            axis.plot(
                places, values, line, color=_LINES[peers.index(peer)],
                markersize=3.5, linewidth=1.4, label=f"{peer}: {_SHORT[measure]}",
            )  # fmt: skip


_SHORT = {
    BUSY: "all busy",
    IDLE: "32 busy, rest idle",
    HTTP_BUSY: "all busy",
    HTTP_IDLE: "32 busy, rest idle",
    HTTP_UPSTREAMS: "32 clients",
    HTTP_ROUTES: "32 clients",
    PICK: "pick",
    RELEASE: "release",
    REPLACE: "replace",
    ANSWER: "read and replace",
    IDLE_TURN: "idle",
    CLOSE_TURN: "all closed at once",
    RELOAD_TIME: "all of it",
    RELOAD_TURN: "longest turn",
}


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    # Without a date, so that the same numbers give the same file.  Long names of peers
    # leave panels that are narrower than their titles: "tight" includes those.
    figure.savefig(
        path, metadata={"Date": None}, facecolor="white", bbox_inches="tight"
    )
    pyplot.close(figure)
