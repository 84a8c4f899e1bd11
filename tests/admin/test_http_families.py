"""The families of metrics of HTTP requests."""

from typing import Any

from lbconsul.admin.http_families import of_http
from tests.support.fake_source import fake_source

SOURCE = fake_source(lambda: 1_760_000_000.0, 12)


def _samples(name: str, *labels: str) -> dict[Any, float]:
    """The samples of a name by these labels, of a gateway with one HTTP mapping."""
    source = fake_source(lambda: 1_760_000_000.0, 12)
    source.speak_http()
    return {
        tuple(sample.labels[each] for each in ("mapping", "service", *labels)): (
            sample.value
        )
        for family in of_http(source.mapping_list)
        for sample in family.samples
        if sample.name == name
    }


def test_other_mappings() -> None:
    """Without a mapping in HTTP mode there is no family of requests."""
    assert list(of_http(SOURCE.mapping_list)) == []


def test_requests_by_class() -> None:
    """Each class has a sample from the start, so that rates of it can be computed."""
    assert _samples("lbconsul_requests_total", "class") == {
        ("80:web", "web", "other"): 0,
        ("80:web", "web", "1xx"): 0,
        ("80:web", "web", "2xx"): 1000,
        ("80:web", "web", "3xx"): 0,
        ("80:web", "web", "4xx"): 7,
        ("80:web", "web", "5xx"): 2,
    }


def test_all_else() -> None:
    """Gauges, counters and histograms have the labels of the mapping."""
    labels = ("80:web", "web")
    for name, value in (
        ("requests_active", 3),
        ("idle_upstream_connections", 12),
        ("request_retries_total", 4),
        ("requests_reused_total", 500),
        ("requests_sticky_total", 0),
        ("sticky_cookies_new_total", 0),
        ("sticky_cookies_moved_total", 0),
        ("request_first_byte_seconds_count", 1000),
        ("request_seconds_count", 1000),
    ):
        assert _samples(f"lbconsul_{name}") == {labels: value}
    refused = _samples("lbconsul_requests_refused_total", "reason")
    assert refused == {(*labels, "SC"): 1}
