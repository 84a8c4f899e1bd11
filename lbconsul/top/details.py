"""All that is known of one row.  Pure."""

from collections.abc import Iterable, Iterator

from attrs import frozen

from lbconsul.admin.short_text import span
from lbconsul.top.detail_page import Page, bytes_of, counted, quantiles_of
from lbconsul.top.figures import Figures, Key, Status
from lbconsul.top.lines import Line, paragraph
from lbconsul.top.mapping_details import MappingPage
from lbconsul.top.problems import Problem


def details(
    figures: Figures, found: Iterable[Problem], key: Key, width: int
) -> list[Line]:
    """The lines about a row, for a terminal of this width.

    :raises LookupError: (or TypeError, ValueError, AttributeError) it is no status.
    """
    page = _Page(figures, width)
    mapping, query, upstream = key
    wrong = [
        each
        for each in found
        if each.key[0] == mapping and (not upstream or each.key == key)
    ]
    lines = [each for problem in wrong for each in page.problem(problem)]
    for each in figures.status["mappings"]:
        if each["name"] == mapping:
            of_one = page.upstream(each, query, upstream)
            of_all = MappingPage(figures, width).mapping(each)
            return [*lines, *(list(of_one) or of_all)]
    return [*lines, *page.gone(upstream)]


@frozen
class _Page(Page):
    """The lines about an upstream."""

    def problem(self, problem: Problem) -> Iterator[Line]:
        return paragraph(f"! {problem.text}", self.width, problem.tone)

    def upstream(self, mapping: Status, query: str, wanted: str) -> Iterator[Line]:
        for pool in mapping["pools"]:
            for each in pool["upstreams"]:
                if (pool["query"], each["id"]) == (query, wanted):
                    yield from self._upstream(mapping, pool, each)

    def _upstream(
        self, mapping: Status, pool: Status, upstream: Status
    ) -> Iterator[Line]:
        http, connect = upstream["http"], upstream["connect_time"]
        weight = f"{upstream['effective_weight']:g} of {upstream['weight']}"
        used = "" if pool["used"] else ", not used now"
        yield from self.values(
            ("instance", f"{upstream['service_id']}@{upstream['node']}"),
            ("id", upstream["id"]),
            ("in", f"{mapping['name']}, pool {pool['query']}{used}"),
            ("address", upstream["address"]),
            ("tags", ", ".join(upstream["tags"])),
            ("standing", upstream["standing"]),
            ("reason", upstream["reason"]),
            ("since", f"{span(max(0.0, self.now - upstream['since']))} ago"),
            ("weight", weight),
            ("open", f"{upstream['open']}, in all mappings"),
            ("total", f"{upstream['total']}, of this mapping"),
            *self.rates(
                (mapping["name"], pool["query"], upstream["id"]), of_http=bool(http)
            ),
            ("received, sent", bytes_of(upstream)),
            *_failures(upstream, self.now),
            ("connecting takes", "" if connect is None else f"{span(connect)} lately"),
            *quantiles_of(upstream, "connect", "latest connects"),
            *quantiles_of(upstream, "first_byte", "latest answers"),
            ("requests", counted(http["requests"]) if http else ""),
            *_check(upstream.get("check"), self.now),
        )

    def gone(self, upstream: str) -> Iterator[Line]:
        for each in self.figures.status.get("drained", ()):
            if each["id"] == upstream:
                yield from self.values(
                    ("instance", f"{each['service_id']}@{each['node']}"),
                    ("id", each["id"]),
                    ("standing", "drained by hand"),
                )
                yield from self.text("Consul does not know it: u undrains it.")
                return
        yield from self.text("It is gone.")


def _failures(upstream: Status, now: float) -> Iterator[tuple[str, str]]:
    """How it fails; a gateway of an earlier version tells less of that."""
    yield "failed connects", str(upstream["connect_failures"])
    if lately := upstream.get("failures_per_minute"):
        yield "failures", f"{lately:g} in the last minute"
    if error := upstream.get("last_error"):
        ago = span(max(0.0, now - upstream["last_error_at"]))
        yield "last error", f"{error}, {ago} ago"


def _check(check: Status | None, now: float) -> Iterator[tuple[str, str]]:
    """The gateway's own check, which a gateway of an earlier version has not."""
    if not check:
        return
    since = span(max(0.0, now - check["since"]))
    yield "own check", f"{check['state']} for {since}"
    took = "" if check["duration"] is None else f", in {span(check['duration'])}"
    if check["result"]:
        yield "last result", f"{check['result']}{took}"
    if check["failures"]:
        yield "failed checks", str(check["failures"])
