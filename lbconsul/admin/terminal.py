"""Renders the status of a gateway as lines for a terminal."""

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from lbconsul.admin.check_status import fails_open, used_all_the_same
from lbconsul.admin.short_text import broken, clean, percent, size, span
from lbconsul.admin.text_table import Layout

Status = dict[str, Any]

#: By standing: a mark, readable without colour, and its ECMA-48 colour.
_MARKS = {
    "serving": ("+", "32"),
    "warming": ("~", "36"),
    "draining": ("-", "33"),
    "ejected": ("x", "31"),
    "suspect": ("?", "35"),
}
_GOOD, _BAD, _HEAD, _FAINT = "32", "31", "1", "2"
#: One that is used though its own check fails.
_OPEN = ("!", "33")

#: The most skipped instances that are named per query, and certificates and unhappy
#: requests per mapping.
_SKIPPED = 3

#: What `http` has of stickiness; an older gateway has none.
_STICKY = ("sticky_kept", "sticky_new", "sticky_moved")

#: The states of certificates whose days left tell nothing.
_ENDED = {"expired": "expired", "early": "not valid yet"}

_COLUMNS = (
    "STANDING", "INSTANCE", "ADDRESS", "OPEN", "TOTAL", "WEIGHT", "IN", "OUT",
    "FAILED", "CONNECT", "SINCE", "REASON",
)  # fmt: skip
#: Further ones of mappings in HTTP mode, before SINCE.
_HTTP_COLUMNS = ("REQUESTS", "5XX", "P50", "P99")
_LAST = _COLUMNS.index("SINCE")
_TO_THE_RIGHT = frozenset(
    {"OPEN", "TOTAL", "WEIGHT", "IN", "OUT", "FAILED", "CONNECT", "SINCE"}
    | set(_HTTP_COLUMNS)
)
#: What is left out of a narrow terminal, the first one first.
_SPARE = (
    "CONNECT", "P50", "IN", "OUT", "TOTAL", "WEIGHT", "REQUESTS", "FAILED", "P99",
    "5XX", "SINCE", "ADDRESS",
)  # fmt: skip


#: The most upstreams that are named in one line; the rest are counted.
_NAMED = 5


@frozen
class Terminal:
    """Renders a status, with colours or without."""

    is_coloured: bool = False
    #: How many columns there are; None: as many as it takes.
    width: int | None = None

    def lines(self, status: Status) -> Iterator[str]:
        """The lines of a parsed ``/status`` document."""
        for line in self._lines(status):
            yield from [line] if self.width is None else broken(line, self.width)

    def _lines(self, status: Status) -> Iterator[str]:
        gateway = status["gateway"]
        yield from self._gateway(gateway)
        for watch in status["watches"]:
            yield from self._watch(watch, gateway["now"])
        yield from self._drained(status.get("drained", []))
        for mapping in status["mappings"]:
            yield ""
            yield from self._mapping(mapping, gateway["now"])

    def _gateway(self, gateway: Status) -> Iterator[str]:
        state = clean(gateway["state"])
        known = " ".join(
            (
                f"lbconsul {clean(gateway['version'])}",
                self._paint(state, _GOOD if gateway["ready"] else _BAD),
                f"for {span(gateway['now'] - gateway['started'])},",
                f"{gateway['open']} open, {gateway['accepted']} accepted,",
                f"reactor lag {span(gateway['reactor_lag'])}",
            )
        )
        yield known
        for reason in gateway["not_ready"]:
            yield self._paint(f"not ready: {clean(reason)}", _BAD)
        workers = gateway["workers"]
        if workers:
            serving = sum(each["serves"] for each in workers)
            yield f"workers: {serving} of {len(workers)} serve"
        # A gateway of an earlier version does not register.
        yield from self._registrations(gateway.get("registrations", []), gateway["now"])

    def _registrations(self, registrations: list[Status], now: float) -> Iterator[str]:
        """The gateway in Consul: one line for each address, those in trouble first."""
        for each in sorted(registrations, key=lambda each: each["state"] == "passing"):
            since = "" if each["since"] is None else f" for {span(now - each['since'])}"
            why = f": {clean(each['reason'])}" if each["reason"] else ""
            good = each["state"] == "passing"
            state = self._paint(
                f"{clean(each['state'])}{since}{why}", _GOOD if good else _BAD
            )
            where = clean(each["address"] or "the agent's address")
            yield (
                f"in Consul as {clean(each['service'])}, {where} port {each['port']}:"
                f" {state}"
            )

    def _drained(self, drained: list[Status]) -> Iterator[str]:
        """The drained instances that are in no table, since Consul lacks them."""
        gone = [each for each in drained if not each["registered"]]
        if gone:
            names = ", ".join(clean(each["id"]) for each in gone[:_NAMED])
            more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
            yield f"drained by hand, not in Consul: {names}{more}"

    def _watch(self, watch: Status, now: float) -> Iterator[str]:
        yield self._consul(watch, now)
        for each in watch["skipped_instances"][:_SKIPPED]:
            line = f"  skipped {clean(each['instance'])}: {clean(each['reason'])}"
            yield self._paint(line, _BAD)
        if watch["skipped"] > _SKIPPED:
            yield self._paint(f"  skipped {watch['skipped'] - _SKIPPED} more", _BAD)

    def _consul(self, watch: Status, now: float) -> str:
        age = "no answer yet" if watch["age"] is None else f"{span(watch['age'])} old"
        line = f"{clean(watch['query'])}: {clean(watch['state'])}, {age}"
        if watch["failing_since"] is None:
            return f"consul  {line}"
        failing = f", failing for {span(now - watch['failing_since'])}"
        why = clean(watch["last_error"])
        return "consul  " + self._paint(f"{line}{failing}: {why}", _BAD)

    def _mapping(self, mapping: Status, now: float) -> Iterator[str]:
        queued = f", {mapping['queued']} queued" if mapping["queued"] else ""
        policy = mapping["policy"] if mapping["service"] else "its routes only"
        if not mapping["service"] and mapping["empty"]:
            policy = self._paint(clean(mapping["empty"]), _BAD)
        listens = "listens on" if mapping["listening"] else "does not listen on"
        yield (
            f"{self._paint(clean(mapping['name']), _HEAD)}  {policy},"
            f" {listens} {clean(mapping['listen'])}: {mapping['open']} open{queued},"
            f" {mapping['accepted']} accepted"
        )
        if mapping.get("split"):
            split = mapping["split"]
            yield (
                f"  split: {percent(split['wanted'])} of {clean(split['of'])} wanted,"
                f" {percent(split['got'])} got"
            )
        yield from self._certificates(mapping)
        yield from self._requests(mapping, now)
        for pool in mapping["pools"]:
            several = len(mapping["pools"]) > 1
            if several:
                used = "" if pool["used"] else " (not used now)"
                yield f"  {clean(pool['query'])}{used}"
            opened = sum(map(fails_open, pool["upstreams"]))
            if opened:
                yield self._paint(f"  {used_all_the_same(opened)}", _OPEN[1])
            rows = [
                _cells(each, now, of_http=bool(mapping.get("http")))
                for each in pool["upstreams"]
            ]
            yield from self._table(rows) if rows else ["  no upstreams"]

    def _certificates(self, mapping: Status) -> Iterator[str]:
        """What is wrong with a mapping's certificates."""
        # A gateway of an earlier version tells nothing of them.
        wrong = [
            each for each in mapping.get("certificates", ()) if each["state"] != "valid"
        ]
        for each in wrong[:_SKIPPED]:
            names = ", ".join(each["names"][:_SKIPPED])
            ends = _ENDED.get(each["state"], f"expires in {each['days_left']} days")
            line = f"  certificate {ends}: {clean(names)} {clean(each['source'])}"
            yield self._paint(line, _BAD)
        if len(wrong) > _SKIPPED:
            yield self._paint(f"  and {len(wrong) - _SKIPPED} more certificates", _BAD)
        if error := mapping.get("certificates_error"):
            yield self._paint(f"  certificates: {clean(error)}", _BAD)
        if error := mapping.get("passwords_error"):
            yield self._paint(f"  passwords: {clean(error)}", _BAD)

    def _requests(self, mapping: Status, now: float) -> Iterator[str]:
        """A mapping's HTTP requests, and the last that went wrong."""
        http = mapping.get("http")
        if not http:
            return
        classes = ", ".join(
            f"{count} {of_class}"
            for of_class, count in http["requests"].items()
            if count
        )
        latest = http["first_byte_p50"], http["first_byte_p99"]
        times = "" if None in latest else ", p50 {}, p99 {}".format(*map(span, latest))
        yield (
            f"  requests: {classes or 'none so far'}; {http['active']} active,"
            f" {http['idle_connections']} idle connections,"
            f" {http['retries']} retries{times}"
        )
        kept, new, moved = (http.get(each, 0) for each in _STICKY)
        if kept or new or moved:
            yield f"  cookies: {kept} requests came again, {new} new, {moved} replaced"
        for each in mapping["unhappy"][:_SKIPPED]:
            line = (
                f"  {span(now - each['time'])} ago: {each['status'] or 'no answer'}"
                f" {each['reason']} {each['method']} {each['host']}{each['path']}"
                f" {each['upstream'] or 'without an upstream'} for {each['client']}"
            )
            yield self._paint(clean(line), _BAD)

    def _table(self, rows: list[tuple[str, ...]]) -> Iterator[str]:
        columns: tuple[str, ...] = _COLUMNS
        if len(rows[0]) > len(columns):
            columns = (*columns[:_LAST], *_HTTP_COLUMNS, *columns[_LAST:])
        layout = Layout(_TO_THE_RIGHT, _SPARE, self.width)
        head, *lines = layout.lines(columns, rows)
        yield self._paint(head, _FAINT)
        for row, line in zip(rows, lines, strict=True):
            mark, _, standing = row[0].partition(" ")
            _, colour = _MARKS.get(standing, ("!", _BAD))
            if mark == _OPEN[0] and standing in _MARKS:
                _, colour = _OPEN
            yield line.replace(row[0], self._paint(row[0], colour), 1)

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.is_coloured else text


def _cells(upstream: Status, now: float, *, of_http: bool) -> tuple[str, ...]:
    standing = clean(upstream["standing"])
    mark, _ = _OPEN if fails_open(upstream) else _MARKS.get(standing, ("!", _BAD))
    connect = upstream["connect_time"]
    return (
        f"{mark} {standing}",
        clean(f"{upstream['service_id']}@{upstream['node']}"),
        clean(upstream["address"]),
        str(upstream["open"]),
        str(upstream["total"]),
        f"{upstream['effective_weight']:g}/{upstream['weight']}",
        size(upstream["bytes_received"]),
        size(upstream["bytes_sent"]),
        str(upstream["connect_failures"]),
        "" if connect is None else span(connect),
        *(_http_cells(upstream["http"]) if of_http else ()),
        span(now - upstream["since"]),
        clean(upstream["reason"]),
    )


def _http_cells(http: Status) -> tuple[str, ...]:
    times = http["first_byte_p50"], http["first_byte_p99"]
    return (
        str(sum(http["requests"].values())),
        str(http["requests"]["5xx"]),
        *("" if each is None else span(each) for each in times),
    )
