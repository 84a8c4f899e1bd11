"""What requests cost in HTTP mode, beside what they are meant to cost."""

from collections.abc import Iterator

from attrs import frozen

from bench.peers.all import YARDSTICK
from bench.peers.http_listeners import SAFE
from bench.results import Results
from bench.table import aligned, compared, curve, ratio, ratio_of
from bench.work import (
    CPU,
    HTTP_BUSY,
    HTTP_CALLS,
    HTTP_IDLE,
    HTTP_LOOKUP,
    HTTP_MEMORY,
    HTTP_P50,
    HTTP_P99,
    HTTP_RATE,
    HTTP_ROUTES,
    HTTP_SYSCALLS,
    HTTP_UPSTREAMS,
    HTTP_WORK,
    PACE,
    Measure,
)

_OURS = "lbconsul"

#: What stands beside lbconsul, and its name in the head.
_OTHERS = {"nginx": "nginx", "envoy": "Envoy"}


@frozen
class Limit:
    """What a figure of lbconsul's may be, as a ratio to another balancer's."""

    measure: Measure
    target: float
    #: It must not exceed this.
    most: float
    base: str = YARDSTICK

    def verdict(self, value: float) -> str:
        """Whether a ratio is within them."""
        if value <= self.target:
            return "on target"
        return "within" if value <= self.most else "EXCEEDED"


#: The requests whose answer is small.
_SMALL = (
    "HTTP, keep-alive",
    "HTTP, Cookie and target vary",
    "HTTP, new client connection",
    "HTTP, chunked 1 KiB",
)

LIMITS = (
    Limit(CPU["HTTP, keep-alive"], 1.15, 1.35),
    Limit(CPU["HTTP, Cookie and target vary"], 1.5, 1.8),
    Limit(CPU["HTTP, new client connection"], 1.35, 1.6),
    Limit(CPU["HTTP, new client connection"], 0.75, 1.0, SAFE),
    Limit(CPU["HTTP, new client, Cookie varies"], 1.35, 1.6),
    Limit(CPU["HTTP, 64 KiB"], 1.1, 1.3),
    Limit(CPU["HTTP, chunked 64 KiB"], 1.1, 1.3),
    Limit(CPU["HTTP, chunked 1 KiB"], 1.4, 1.6),
    Limit(CPU["HTTP, gzip 64 KiB"], 1.3, 1.6, "nginx"),
    Limit(CPU["HTTP, POST 16 KiB"], 0.9, 1.1),
    Limit(CPU["HTTP, 100 MiB"], 0.4, 0.6),
    Limit(CPU["HTTP, hash by a field"], 1.2, 1.4),
    Limit(CPU["HTTP, sticky"], 1.2, 1.4),
    Limit(CPU["HTTP, rate limit"], 1.15, 1.35),
    Limit(CPU["HTTP over TLS, keep-alive"], 1.4, 1.6),
    Limit(CPU["HTTP over TLS, 64 KiB"], 1.2, 1.3),
    Limit(HTTP_P99, 1.2, 1.5),
    Limit(HTTP_MEMORY, 1.0, 1.5),
    *(Limit(CPU[name], 0.5, 0.6, "envoy") for name in _SMALL),
)

_ROWS = (
    *(kind[name] for kind in (CPU, PACE) for name in HTTP_WORK),
    HTTP_P50, HTTP_P99, HTTP_MEMORY, HTTP_CALLS, HTTP_SYSCALLS,
)  # fmt: skip
_CURVES = (HTTP_BUSY, HTTP_IDLE, HTTP_UPSTREAMS, HTTP_ROUTES, HTTP_LOOKUP)


def http_section(results: Results) -> str:
    """All of it; empty if nothing was measured in HTTP mode."""
    figures = compared(results, _ROWS)
    if not figures:
        return ""
    rates = results.figures.get((HTTP_RATE, "all", 0), [])
    curves = [text for text in (curve(results, each) for each in _CURVES) if text]
    parts = [
        "## HTTP",
        limits(results),
        figures,
        *(f"Half load: {rate:,.0f} requests a second." for rate in rates),
        "Growth; in brackets the ratio to the first of the row." if curves else "",
        *curves,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def limits(results: Results) -> str:
    """Each ratio that has a limit; empty if there is none."""
    rows = [list(_row(results, each)) for each in LIMITS if _bases(results, each)]
    head = ["ratio of medians (of the rounds)", "to", "lbconsul", "target"]
    head += ["must not exceed", "", *_OTHERS.values()]
    return aligned([head, *rows]) if rows else ""


def _bases(results: Results, limit: Limit) -> bool:
    return limit.base in results.peers(limit.measure)


def _row(results: Results, limit: Limit) -> Iterator[str]:
    # The last place on a curve stands for it here, as in the other tables.
    at = results.places(limit.measure)[-1]
    base = (limit.measure, limit.base, at)
    yield limit.measure.title
    yield limit.base
    yield ratio_of(results, (limit.measure, _OURS, at), base)
    yield ratio(limit.target)
    yield ratio(limit.most)
    ours, theirs = (results.median(limit.measure, e, at) for e in (_OURS, limit.base))
    yield limit.verdict(ours / theirs) if ours and theirs else ""
    for each in _OTHERS:
        yield ratio_of(results, (limit.measure, each, at), base)
