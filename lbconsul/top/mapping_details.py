"""All that is known of a mapping.  Pure."""

from collections.abc import Iterator
from datetime import datetime

from attrs import frozen

from lbconsul.admin.short_text import percent, span
from lbconsul.stats.histogram import quantiles
from lbconsul.top.detail_page import Page, bytes_of, counted, quantiles_of
from lbconsul.top.figures import Status
from lbconsul.top.lines import Line, plural

#: The histograms of a mapping.
_TIMES = (
    ("connect", "connect_time"),
    ("first byte", "first_byte_time"),
    ("whole connection", "connection_time"),
    ("request to byte", "request_first_byte_time"),
    ("whole request", "request_time"),
)


@frozen
class MappingPage(Page):
    """The lines about a mapping, or a route."""

    def mapping(self, mapping: Status) -> Iterator[Line]:
        """All of them."""
        name = mapping["name"]
        yield from self.values(
            ("mapping", name),
            ("listens on", mapping["listen"] if mapping["listening"] else "nothing"),
            ("route", mapping["route"]),
            ("service", mapping["service"]),
            ("policy", mapping["policy"]),
            ("split", _split(mapping)),
            ("open", f"{mapping['open']}, {mapping['queued']} queued"),
            ("accepted", str(mapping["accepted"])),
            *self.rates((name, "", ""), of_http=bool(mapping["http"])),
            ("received, sent", bytes_of(mapping)),
            ("terminations", counted(mapping["terminations"])),
        )
        yield from self._times(mapping)
        yield from self._requests(mapping)
        yield from self._pools(mapping)
        yield from self._certificates(mapping)
        yield from self._unhappy(mapping)
        yield from self._options(mapping)

    def _times(self, mapping: Status) -> Iterator[Line]:
        """Quantiles since the start, and of the last seconds where they are known."""
        lately = {
            "connect": self.figures.connect.get(mapping["name"]),
            "request to byte" if mapping["http"] else "first byte": (
                self.figures.first_byte.get(mapping["name"])
            ),
        }
        yield from self.head("Latencies: half within, 99 of 100 within")
        for name, field in _TIMES:
            histogram = mapping.get(field)
            if not histogram or not sum(histogram["counts"]):
                continue
            both = quantiles(histogram["bounds"], histogram["counts"], 0.5, 0.99)
            text = ", ".join(span(each) for each in both if each is not None)
            if now := lately.get(name):
                text += f"; in the last seconds {span(now.p50)}, {span(now.p99)}"
            yield from self.values((name, text))

    def _requests(self, mapping: Status) -> Iterator[Line]:
        http = mapping["http"]
        if not http:
            return
        yield from self.head("Requests")
        yield from self.values(
            ("by class", counted(http["requests"])),
            ("active", str(http["active"])),
            ("idle connections", str(http["idle_connections"])),
            ("retries", f"{http['retries']}, {http['reused']} on kept connections"),
            ("refused", counted(http["refused"])),
            *_cookies(http),
            *quantiles_of(http, "first_byte", "latest answers"),
        )

    def _pools(self, mapping: Status) -> Iterator[Line]:
        yield from self.head("Pools")
        for pool in mapping["pools"]:
            standings: dict[str, int] = {}
            for each in pool["upstreams"]:
                standing = each["standing"]
                standings[standing] = standings.get(standing, 0) + 1
            used = "" if pool["used"] else "; not used now"
            text = (counted(standings) or "no upstreams") + used
            yield from self.values((pool["query"], text))

    def _certificates(self, mapping: Status) -> Iterator[Line]:
        if not mapping["certificates"]:
            return
        yield from self.head("Certificates")
        for each in mapping["certificates"]:
            names = ", ".join(each["names"][:3])
            text = f"{names}: {each['state']}, {each['days_left']} days left"
            yield from self.values((each["source"], text))

    def _unhappy(self, mapping: Status) -> Iterator[Line]:
        """The last connections and requests that went wrong, and why."""
        connections = mapping.get("unhappy_connections", ())
        if connections:
            yield from self.head("Connections that went wrong")
        for each in connections:
            times = f" {each['count']} times" if each["count"] > 1 else ""
            error = f": {each['error']}" if each["error"] else ""
            yield from self.text(
                f"{_clock(each)} {each['termination']} {each['client']}{times},"
                f" {_last(each)}: {each['cause']}{error}"
            )
        if mapping["unhappy"]:
            yield from self.head("Requests that went wrong")
        for each in mapping["unhappy"]:
            cause = each.get("cause") or each["reason"]
            yield from self.text(
                f"{_clock(each)} {each['status'] or 'no answer'} {each['method']}"
                f" {each['host']}{each['path']} of {each['client']}, {_last(each)}:"
                f" {cause}"
            )

    def _options(self, mapping: Status) -> Iterator[Line]:
        if mapping["options"]:
            yield from self.head("Options")
            yield from self.values(*mapping["options"].items())


def _split(mapping: Status) -> str:
    """What a part of a split is to get, and gets; an older gateway tells nothing."""
    split = mapping.get("split")
    if not split:
        return ""
    wanted, got = percent(split["wanted"]), percent(split["got"])
    return f"{wanted} of {split['of']} wanted, {got} got"


def _cookies(http: Status) -> Iterator[tuple[str, str]]:
    """How stickiness goes, if there is any; an older gateway tells nothing."""
    kept, new, moved = (
        http.get(f"sticky_{each}", 0) for each in ("kept", "new", "moved")
    )
    if kept or new or moved:
        yield "cookies", f"{kept} requests came again, {new} new, {moved} replaced"


def _clock(happened: Status) -> str:
    return datetime.fromtimestamp(happened["time"]).strftime("%H:%M:%S")


def _last(happened: Status) -> str:
    """The upstream tried last, and how many were tried before."""
    last = happened["upstream"] or "without an upstream"
    retries = happened["retries"]
    return f"{last} after {plural(retries, 'retry', 'retries')}" if retries else last
