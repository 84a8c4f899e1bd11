"""The metric families of HTTP requests; empty ones are left out."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from lbconsul.admin.http_status import HTTPStatus
from lbconsul.admin.metric_families import MAPPING, counter, gauge, histogram
from lbconsul.admin.status_model import Histogram, MappingStatus

_Labels = tuple[str, str]


def of_http(mappings: list[MappingStatus]) -> Iterator[Metric]:
    """Metrics of the requests of mappings in HTTP mode."""
    rows = [
        ((each.name, each.service), each.http)
        for each in mappings
        if each.http is not None
    ]
    if not rows:
        return
    yield from _counted(rows)
    for name, text, field in (
        ("requests_active", "Requests that are not over.", "active"),
        ("idle_upstream_connections",
         "Connections to upstreams that are kept for further requests.",
         "idle_connections"),
    ):  # fmt: skip
        samples = [(labels, getattr(http, field)) for labels, http in rows]
        yield gauge(name, text, samples, MAPPING)
    for name, text, field in (
        ("request_retries_total", "Requests sent once more.", "retries"),
        ("requests_reused_total",
         "Requests sent on a connection that had been kept.", "reused"),
        ("requests_sticky_total",
         "Requests that went to the instance of their client's cookie.",
         "sticky_kept"),
        ("sticky_cookies_new_total",
         "Cookies for clients that had none.", "sticky_new"),
        ("sticky_cookies_moved_total",
         "Cookies for clients whose instance was gone, ejected or full.",
         "sticky_moved"),
        ("responses_compressed_total", "Responses that were compressed.",
         "compressed"),
        ("compression_in_bytes_total",
         "Content of compressed responses, before.", "compressed_bytes_in"),
        ("compression_out_bytes_total",
         "Content of compressed responses, after.", "compressed_bytes_out"),
    ):  # fmt: skip
        samples = [(labels, getattr(http, field)) for labels, http in rows]
        yield counter(name, text, samples, MAPPING)
    yield from _times(mappings)


def _counted(rows: list[tuple[_Labels, HTTPStatus]]) -> Iterator[Metric]:
    requests = [
        ((*labels, of_class), count)
        for labels, http in rows
        for of_class, count in http.requests.items()
    ]
    text = "Requests that are over, by the class of their status."
    yield counter("requests_total", text, requests, (*MAPPING, "class"))
    refused = [
        ((*labels, reason), count)
        for labels, http in rows
        for reason, count in sorted(http.refused.items())
    ]
    text = "Answers of the gateway's own, by reason: docs/reference.md."
    yield counter("requests_refused_total", text, refused, (*MAPPING, "reason"))


def _times(mappings: list[MappingStatus]) -> Iterator[Metric]:
    for name, text, field in (
        ("request_first_byte", "Time from a request to its answer's first byte.",
         "request_first_byte_time"),
        ("request", "Time from a request to the end of its answer.", "request_time"),
    ):  # fmt: skip
        rows: list[tuple[_Labels, Histogram]] = [
            ((each.name, each.service), getattr(each, field))
            for each in mappings
            if each.http is not None
        ]
        yield histogram(f"{name}_seconds", text, rows)
