"""The lines above the table: state, rates, Consul, and what is wrong.  Pure."""

from collections.abc import Iterator, Sequence

from lbconsul.admin.short_text import clean, size, span
from lbconsul.text import clipped
from lbconsul.top.columns import speaks_http
from lbconsul.top.figures import Figures
from lbconsul.top.lines import (
    BAD,
    FAINT,
    GOOD,
    HEAD,
    PLAIN,
    Line,
    joined,
    line,
    number,
    plural,
)
from lbconsul.top.link import Link
from lbconsul.top.problems import Problem

#: Of so many lines of the terminal one may be a problem.
_LINES_FOR_ONE = 6

#: Classes of status, as `/status` has them.
_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "other")


def summary(
    figures: Figures,
    found: Sequence[Problem],
    link: Link,
    now: float,
    width: int,
    height: int,
) -> list[Line]:
    """The lines for a terminal of this size; `now` is the clock of `link`."""
    return [
        _first(figures, found, link, width),
        *(_cut(each, width) for each in link.lines(now)),
        _totals(figures, width),
        *_requests(figures, width),
        _consul(figures, width),
        *_problems(found, width, max(1, height // _LINES_FOR_ONE)),
    ]


def _cut(some: Line, width: int) -> Line:
    ((text, tone),) = some.spans
    return line((clipped(text, width), tone))


def _first(figures: Figures, found: Sequence[Problem], link: Link, width: int) -> Line:
    gateway = figures.status["gateway"]
    wrong = [each for each in found if each.tone != FAINT]
    verdict = plural(len(wrong), "problem") if wrong else "all well"
    state = clean(gateway["state"])
    begin = f"lbconsul {clean(gateway['version'])} "
    lasts = f" for {span(gateway['now'] - gateway['started'])} at {clean(link.address)}"
    room = max(0, width - len(begin) - len(state) - len(verdict) - 1)
    lasts = clipped(lasts, room)
    is_bad = any(each.tone == BAD for each in wrong)
    return line(
        begin,
        (state, GOOD if gateway["ready"] else BAD),
        lasts.ljust(room + 1),
        (verdict, BAD if is_bad else HEAD if wrong else GOOD),
    )


def _totals(figures: Figures, width: int) -> Line:
    gateway, total = figures.status["gateway"], figures.total
    parts = [f"{gateway['open']} open"]
    if figures.seconds:
        parts += [
            f"{number(total.connections)} conn/s",
            f"in {size(total.received)}/s",
            f"out {size(total.sent)}/s",
        ]
        if total.failures:
            parts.append(f"{number(total.failures)} failed/s")
    else:
        parts.append("rates follow")
    parts.append(f"lag {span(gateway['reactor_lag'])}")
    if gateway["workers"]:
        parts.append(plural(len(gateway["workers"]), "worker"))
    parts.append(f"{gateway['accepted']} accepted")
    return line(joined(parts, width))


def _requests(figures: Figures, width: int) -> Iterator[Line]:
    """What there is of HTTP, if a mapping is in that mode."""
    if not speaks_http(figures):
        return
    total = figures.total
    https = [each["http"] for each in figures.status["mappings"] if each["http"]]
    active = sum(each["active"] for each in https)
    idle = sum(each["idle_connections"] for each in https)
    parts = [f"{active} active"]
    if figures.seconds:
        parts = [f"{number(total.requests)} req/s", *_classes(figures), *parts]
        parts.append(f"{number(figures.retries)} retries/s")
    parts.append(f"{idle} idle conns")
    tone = BAD if total.errors else PLAIN
    yield line((joined(parts, width), tone))


def _classes(figures: Figures) -> Iterator[str]:
    """Requests a second by the class of their status; always those that matter."""
    for each in _CLASSES:
        rate = figures.classes.get(each, 0.0)
        if rate or each in ("2xx", "5xx"):
            yield f"{each} {number(rate)}"


def _consul(figures: Figures, width: int) -> Line:
    watches = [each for each in figures.status["watches"] if each["state"] != "fixed"]
    if not watches:
        return line("consul: nothing is asked")
    ages = [each["age"] for each in watches if each["age"] is not None]
    fine = sum(each["failing_since"] is None for each in watches)
    parts = [f"consul: {fine} of {plural(len(watches), 'watch', 'watches')} fine"]
    if ages:
        parts.append(f"oldest answer {span(max(ages))} old")
    if len(ages) < len(watches):
        parts.append(f"{len(watches) - len(ages)} without an answer")
    text = joined(parts, width, ", ")
    return line((text, PLAIN if fine == len(watches) else BAD))


def _problems(found: Sequence[Problem], width: int, most: int) -> Iterator[Line]:
    """The worst ones, and how many there are beside them."""
    shown = found if len(found) <= most else found[: most - 1]
    for each in shown:
        mark = "!" if each.tone == BAD else "-"
        text = clipped(f"{mark} {clean(each.text)}", width)
        yield line((text, each.tone))
    if len(shown) < len(found):
        more = plural(len(found) - len(shown), "more", "more")
        yield line((f"  and {more}, first in the table", FAINT))
