"""``/metrics``: the Prometheus exposition, rendered in pieces."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TypeVar

from attrs import Factory, define
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from lbconsul.admin.check_status import CheckStatus
from lbconsul.admin.http_families import of_http
from lbconsul.admin.http_status import HTTPUpstreamStatus
from lbconsul.admin.metric_families import (
    AdminCounts,
    of_gateway,
    of_mappings,
    of_process,
    of_requests,
    of_standings,
    of_tags,
    of_watches,
)
from lbconsul.admin.status_model import MappingStatus, StatusSource, UpstreamStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Samples in one piece: rendering them takes less than a millisecond.
_AT_ONCE = 256

#: Mappings, watches and pools that are looked at in one step: each has some tens of
#: samples.
_ROWS = 16

#: What stands before the samples of a family.
_HEAD = re.compile(rb"\A(#[^\n]*\n)*")

_T = TypeVar("_T")
_Pool = tuple[str, str, str]

_LABELS = ("mapping", "service", "upstream")
_Labels = tuple[str, ...]
_Family = type[CounterMetricFamily] | type[GaugeMetricFamily]


@define(eq=False)
class One(Collector):
    """A collector of one family, as prometheus_client renders it."""

    _family: Metric

    def collect(self) -> Iterable[Metric]:
        """Called by prometheus_client: the family."""
        return (self._family,)


@define(eq=False)
class Upstreams:
    """The mappings of a source and their upstreams at one time.

    The format wants all samples of a family together, so one reading of the upstreams
    is kept for all families.
    """

    mappings: list[MappingStatus] = Factory(list)
    rows: dict[_Labels, UpstreamStatus] = Factory(dict)
    #: By mapping, service and query: upstreams by standing, and whether it is used.
    counts: dict[tuple[str, str, str], Counter[str]] = Factory(dict)
    used: dict[tuple[str, ...], bool] = Factory(dict)

    def take(self, source: StatusSource) -> Iterator[bytes]:
        """Read all upstreams of `source`, one per step; the pieces are empty."""
        for mapping in source.mappings():
            self.mappings.append(mapping)
            yield b""
        for mapping in self.mappings:
            for number, pool in enumerate(mapping.pools):
                service = pool.service or mapping.service
                key = (mapping.name, service, pool.query)
                count = self.counts[key] = Counter()
                self.used[key] = pool.used
                for upstream in source.upstreams(mapping.name, number):
                    count[upstream.standing] += 1
                    # Counts of an upstream in two pools of a mapping are the same.
                    self.rows[mapping.name, service, upstream.id] = upstream
                    yield b""

    def standings(self, counts: list[tuple[_Pool, Counter[str]]]) -> Iterator[Metric]:
        """About some of the pools."""
        return of_standings(dict(counts), {pool: self.used[pool] for pool, _ in counts})


def metrics(source: StatusSource, requests: AdminCounts) -> Iterator[bytes]:
    """The exposition in pieces; upstreams are read once, at the beginning.

    `requests` counts the requests to the admin listener itself.
    """
    upstreams = Upstreams()
    yield from upstreams.take(source)
    for family in of_gateway(source.gateway()):
        yield generate_latest(One(family))
    yield from _in_parts(source.watches(), of_watches)
    yield from _in_parts(source.tag_routes.mappings(), of_tags)
    yield from _in_parts(upstreams.mappings, of_mappings)
    yield from _in_parts(upstreams.mappings, of_http)
    yield from _in_parts(upstreams.counts.items(), upstreams.standings)
    for family in chain(of_requests(requests), of_process()):
        yield generate_latest(One(family))
    if upstreams.rows:
        yield from _of_upstreams(upstreams)


def _in_parts(
    rows: Iterable[_T], families: Callable[[list[_T]], Iterator[Metric]]
) -> Iterator[bytes]:
    """The families of rows, of which some are looked at in one step.

    Each family has to tell of all rows before the next one begins.
    """
    heads: dict[str, list[bytes]] = {}
    for some in batches(rows, _ROWS):
        for family in families(some):
            text = generate_latest(One(family))
            if family.name in heads:  # its HELP and TYPE are there already
                text = _HEAD.sub(b"", text)
            heads.setdefault(family.name, []).append(text)
            yield b""
    for texts in heads.values():
        yield from texts


def _of_upstreams(upstreams: Upstreams) -> Iterator[bytes]:
    """The families that have a sample per upstream.

    prometheus_client renders the header of each family, and the labels of each
    upstream once for all families, since that takes most of the time.
    """
    rows: list[tuple[str, UpstreamStatus]] = []
    for some in batches(upstreams.rows.items(), _AT_ONCE):
        labels = written_labels(_LABELS, [labels for labels, _ in some])
        rows += zip(labels, [upstream for _, upstream in some], strict=True)
        yield b""
    for of, families in (
        (GaugeMetricFamily, _GAUGES),
        (CounterMetricFamily, _COUNTERS),
    ):
        for name, text, field in families:
            samples = ((labels, getattr(each, field)) for labels, each in rows)
            yield from _family(of, name, text, samples)
    standings = sorted({each.standing for _, each in rows})
    more = written_labels(("standing",), [(each,) for each in standings])
    ends = dict(zip(standings, more, strict=True))
    samples = ((f"{labels},{ends[each.standing]}", 1.0) for labels, each in rows)
    text = "1 for the upstream's current standing."
    yield from _family(GaugeMetricFamily, "standing", text, samples)
    checked = [(labels, each.check) for labels, each in rows if each.check is not None]
    if checked:
        yield from _of_checks(checked)
    http = [(labels, each.http) for labels, each in rows if each.http is not None]
    if http:
        yield from _of_requests(http)


def _of_checks(rows: list[tuple[str, CheckStatus]]) -> Iterator[bytes]:
    """The families of upstreams with own checks."""
    text = "1 if the gateway's own check passes, 0 if it fails."
    states = (
        (labels, float(each.state == "passing"))
        for labels, each in rows
        if each.state != "unknown"
    )
    yield from _family(GaugeMetricFamily, "check_passing", text, states)
    text = "How long the latest own check took, in seconds."
    times = ((labels, each.duration) for labels, each in rows)
    yield from _family(GaugeMetricFamily, "check_duration_seconds", text, times)
    text = "Own checks that failed."
    failures = ((labels, float(each.failures)) for labels, each in rows)
    yield from _family(CounterMetricFamily, "check_failures_total", text, failures)


def _of_requests(rows: list[tuple[str, HTTPUpstreamStatus]]) -> Iterator[bytes]:
    """The families of upstreams of mappings in HTTP mode."""
    text = "Requests from this mapping, by the class of their status."
    requests = (
        (f'{labels},class="{of_class}"', float(count))
        for labels, each in rows
        for of_class, count in each.requests.items()
        if count
    )
    yield from _family(CounterMetricFamily, "requests_total", text, requests)
    # Only summaries may have a label for the quantile.
    for name in ("first_byte_p50", "first_byte_p99"):
        text = f"Quantile {name[-2:]} % of the latest answers' times to the first byte."
        times = ((labels, getattr(each, name)) for labels, each in rows)
        yield from _family(GaugeMetricFamily, f"{name}_seconds", text, times)


_GAUGES = (
    (
        "connections_open",
        "Open connections to the upstream, over all mappings.",
        "open",
    ),
    ("weight", "The upstream's weight in Consul.", "weight"),
    (
        "effective_weight",
        "The weight in use, reduced by slow start.",
        "effective_weight",
    ),
    (
        "connect_time_seconds",
        "Moving average of the time to connect.",
        "connect_time",
    ),
)
_COUNTERS = (
    ("connections_total", "Connections from this mapping.", "total"),
    ("received_bytes_total", "Bytes from clients to the upstream.", "bytes_received"),
    ("sent_bytes_total", "Bytes from the upstream to clients.", "bytes_sent"),
    (
        "connect_failures_total",
        "Failed attempts to connect: refused or timed out.",
        "connect_failures",
    ),
)


def _family(
    of: _Family, name: str, text: str, samples: Iterator[tuple[str, float | None]]
) -> Iterator[bytes]:
    """A family in pieces; upstreams without a value have no sample."""
    name = f"lbconsul_upstream_{name}"
    yield generate_latest(One(of(name, text)))
    for some in batches(samples, _AT_ONCE):
        lines = [
            f"{name}{{{labels}}} {floatToGoString(value)}\n"
            for labels, value in some
            if value is not None
        ]
        yield "".join(lines).encode()


def written_labels(names: Iterable[str], values: list[_Labels]) -> list[str]:
    """Labels as rendered between the braces, one text for each of `values`."""
    family = GaugeMetricFamily("x", "", labels=tuple(names))
    for each in values:
        family.add_metric(each, 0)
    lines = generate_latest(One(family)).decode().split("\n")
    return [line[len("x{") : -len("} 0.0")] for line in lines[2:-1]]


def batches(of: Iterable[_T], count: int) -> Iterator[list[_T]]:
    """The items in lists of `count`; the last one may be shorter."""
    rest = iter(of)
    while some := list(islice(rest, count)):
        yield some
