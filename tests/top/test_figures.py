"""Rates and latencies from two answers."""

from typing import Any

import pytest

from lbconsul.top.figures import Counts, Figures, History
from tests.support.statuses import document, upstream

WEB = ("80:web", "", "")


def _later(before: Any, seconds: float, *, http: bool = False) -> Any:
    found = document(http=http)
    found["gateway"]["now"] = before["gateway"]["now"] + seconds
    return found


def _both(first: Any, second: Any) -> Figures:
    history = History()
    history.add(first)
    return history.add(second)


def test_first() -> None:
    """One answer has no rates."""
    figures = History().add(document())
    assert figures.seconds == 0
    assert not figures.rates
    assert figures.total == Counts()


def test_of_a_mapping() -> None:
    """The rates of a mapping are what its counters grew by, a second."""
    first = document()
    second = _later(first, 2)
    mapping = second["mappings"][0]
    mapping["accepted"] += 10
    mapping["bytes_received"] += 800
    mapping["bytes_sent"] += 4000
    mapping["failed"] += 5
    figures = _both(first, second)
    assert figures.seconds == 2
    assert figures.rates[WEB] == Counts(5, 0, 0, 2.5, 400, 2000)
    assert figures.total == figures.rates[WEB]


def test_of_an_upstream() -> None:
    """So are those of an upstream; one that has just come has no rates yet."""
    first = document()
    second = _later(first, 4)
    some = upstream(second)
    some["total"] += 8
    some["connect_failures"] += 2
    key = ("80:web", "web,dc=dc1", some["id"])
    assert _both(first, second).rates[key] == Counts(2, 0, 0, 0.5, 0, 0)
    first["mappings"][0]["pools"][0]["upstreams"].clear()
    assert _both(first, second).rates[key] == Counts()


def test_requests() -> None:
    """Requests are counted by class; those with 5xx are errors."""
    first = document(http=True)
    second = _later(first, 2, http=True)
    requests = second["mappings"][0]["http"]["requests"]
    requests["2xx"] += 20
    requests["5xx"] += 4
    second["mappings"][0]["http"]["retries"] += 6
    upstream(second)["http"]["requests"]["5xx"] += 4
    figures = _both(first, second)
    assert figures.rates[WEB].requests == 12
    assert figures.rates[WEB].errors == 2
    assert figures.rates["80:web", "web,dc=dc1", upstream(second)["id"]].errors == 2
    assert figures.classes["2xx"] == 10
    assert figures.classes["4xx"] == 0
    assert figures.retries == 3


def test_latencies() -> None:
    """Latencies are of what has come since, and there are none without that."""
    first = document(http=True)
    second = _later(first, 2, http=True)
    connect = second["mappings"][0]["connect_time"]
    connect["counts"][2] += 100
    answers = second["mappings"][0]["request_first_byte_time"]
    answers["counts"][1] += 50
    figures = _both(first, second)
    low, high = connect["bounds"][1:3]
    latency = figures.connect["80:web"]
    assert latency.p50 == pytest.approx((low + high) / 2)
    assert latency.p99 == pytest.approx(high - (high - low) / 100)
    assert answers["bounds"][0] < figures.first_byte["80:web"].p50
    second["mappings"][0]["connect_time"]["bounds"][0] /= 2
    assert not _both(first, second).connect


def test_window() -> None:
    """Rates are of five seconds, or of a longer time between two answers."""
    history, found = History(), document()
    for second in range(20):
        found = _later(found, 1)
        found["mappings"][0]["accepted"] = 1000 + (7 * second if second > 10 else 0)
        figures = history.add(found)
    assert figures.seconds == 5
    assert figures.rates[WEB].connections == 7
    found = _later(found, 60)
    found["mappings"][0]["accepted"] = 1000 + 7 * 19 + 120
    figures = history.add(found)
    assert figures.seconds == 60
    assert figures.rates[WEB].connections == 2


@pytest.mark.parametrize("what", ["restarted", "set back"])
def test_begins_again(what: str) -> None:
    """After a restart, or when the clock was set back, there are no rates at first."""
    history, first = History(), document()
    history.add(first)
    second = _later(first, 1 if what == "restarted" else -1)
    if what == "restarted":
        second["gateway"]["started"] += 1
    assert history.add(second).seconds == 0
    third = _later(second, 1)
    third["gateway"]["started"] = second["gateway"]["started"]
    assert history.add(third).seconds == 1


def test_no_status() -> None:
    """What is no status is an error, and forgotten."""
    history = History()
    with pytest.raises(KeyError):
        history.add({"mappings": []})
    assert history.add(document()).seconds == 0
