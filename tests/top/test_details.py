"""All that is known of one row."""

from typing import Any

import pytest
from attrs import evolve

from lbconsul.top.details import details
from lbconsul.top.figures import Counts, Figures, Key, Latency
from lbconsul.top.problems import problems
from tests.support.statuses import NOW, document, upstream

WEB: Key = ("80:web", "", "")
FIRST: Key = ("80:web", "web,dc=dc1", "dc1/node-00/web-0")


def _lines(found: Any, key: Key, width: int = 80, **fields: Any) -> list[str]:
    figures = evolve(Figures(found), **fields)
    made = details(figures, problems(figures), key, width)
    assert all(each.text.isprintable() for each in made)
    assert all(len(each.text) <= max(width, 60) for each in made)
    return [each.text for each in made]


def _values(lines: list[str]) -> dict[str, str]:
    return {each[:18].strip(): each[18:].strip() for each in lines}


def test_upstream() -> None:
    """An instance has its address, its standing, its rates and its counters."""
    found = document()
    upstream(found, since=NOW - 90, total=12, connect_failures=3, weight=4)
    lines = _lines(found, FIRST, seconds=5, rates={FIRST: Counts(2, 0, 0, 0.5, 10, 20)})
    assert _values(lines) | {
        "instance": "web-0@node-00",
        "id": "dc1/node-00/web-0",
        "in": "80:web, pool web,dc=dc1",
        "address": "10.0.0.0:8080",
        "tags": "v1",
        "standing": "serving",
        "since": "1 m 30 s ago",
        "weight": "10 of 4",
        "connections": "2/s",
        "failures": "0.5/s",
        "in, out": "10 B/s, 20 B/s",
        "total": "12, of this mapping",
        "failed connects": "3",
        "connecting takes": "0.4 ms lately",
        "latest connects": "half within 0.4 ms, 99 of 100 2 ms",
    } == _values(lines)
    assert "connections" not in _values(_lines(found, FIRST))


def test_http_upstream() -> None:
    """In HTTP mode it has its requests, and how fast the latest answers came."""
    lines = _lines(document(http=True), FIRST, seconds=5, rates={})
    assert _values(lines) | {
        "requests": "100 2xx, 2 5xx",
        "latest answers": "half within 4 ms, 99 of 100 30 ms",
    } == _values(lines)
    assert "requests          0/s, 0/s 5xx" in lines


def test_failures() -> None:
    """How an instance fails; of an earlier version's status less is known."""
    found = document()
    some = upstream(found, last_error="reset", last_error_at=NOW - 5)
    some |= {"failures_per_minute": 3.0, "connect_time": None}
    values = _values(_lines(found, FIRST))
    assert values["failures"] == "3 in the last minute"
    assert values["last error"] == "reset, 5 s ago"
    assert "connecting takes" not in values
    for each in ("last_error", "failures_per_minute", "connect_p50"):
        del some[each]
    values = _values(_lines(found, FIRST))
    assert not {"failures", "last error", "latest connects"} & set(values)


def test_problems_of_it() -> None:
    """What is wrong with it comes first, whole."""
    found = document()
    upstream(found, standing="ejected", reason="refused " * 20)
    upstream(found, 1, standing="ejected", reason="another")
    lines = _lines(found, FIRST)
    assert lines[0].startswith("! 80:web: web-0@node-00 ejected: refused")
    assert not any("web-1@node-01" in each for each in lines)
    assert any("web-1@node-01" in each for each in _lines(found, WEB))


def test_unused_pool() -> None:
    """A pool that is not used now is told."""
    key = ("8080:api,dc=dc1|dc2", "api,dc=dc2", "dc2/node-00/api-0")
    some = _values(_lines(document(), key))
    assert some["in"].endswith("pool api,dc=dc2, not used now")


def test_mapping() -> None:
    """A mapping has its options, pools, terminations and latencies."""
    found = document()
    web = found["mappings"][0]
    web |= {"terminations": {"--": 5, "SC": 2, "CC": 0}, "queued": 1, "open": 7}
    web["options"] = {"policy": "p2c"}
    upstream(found, standing="draining")
    lately = {"80:web": Latency(0.001, 0.002)}
    lines = _lines(found, WEB, seconds=5, rates={}, connect=lately, first_byte=lately)
    some = _values(lines)
    assert some["listens on"] == "0.0.0.0:80"
    assert some["terminations"] == "5 --, 2 SC"
    assert some["open"] == "7, 1 queued"
    assert some["web,dc=dc1"] == "1 draining, 7 serving"
    assert some["policy"] == "p2c"
    assert some["connect"].endswith("; in the last seconds 1 ms, 2 ms")
    assert some["first byte"].endswith("; in the last seconds 1 ms, 2 ms")
    assert "whole connection" in some
    web |= {"listening": False, "options": {}}
    assert _values(_lines(found, WEB))["listens on"] == "nothing"


def test_pools() -> None:
    """Each pool tells how its instances stand."""
    found = document()
    key = ("8080:api,dc=dc1|dc2", "", "")
    found["mappings"][1]["pools"][0]["upstreams"].clear()
    some = _values(_lines(found, key))
    assert some["api,dc=dc1"] == "no upstreams"
    assert some["api,dc=dc2"].endswith("serving; not used now")


def test_requests() -> None:
    """In HTTP mode it has its requests, and the last ones that went wrong."""
    found = document(http=True)
    lines = _lines(found, WEB, 120)
    assert "by class          1000 2xx, 7 4xx, 2 5xx" in lines
    assert "refused           1 SC" in lines
    wrong = lines[lines.index("Requests that went wrong") + 1 :]
    text = " ".join(" ".join(wrong).split())
    assert (
        "502 GET www.example.com/basket of 192.0.2.7:4711, dc1/node-01/web-1 after 1"
        " retry: the upstream closed the connection before it answered"
    ) in text
    assert "no answer GET www.example.com/cart of 192.0.2.7:4711, without an" in text
    assert not any(each.startswith("cookies") for each in _lines(found, WEB))
    found["mappings"][0]["http"] |= {"sticky_kept": 5, "sticky_new": 2}
    assert any(
        "5 requests came again, 2 new, 0 replaced" in each
        for each in _lines(found, WEB)
    )
    found["mappings"][0]["http"]["first_byte_p50"] = None
    assert not any(each.startswith("latest") for each in _lines(found, WEB))


def test_connections() -> None:
    """A mapping has its last connections that went wrong, with the cause in words."""
    found = document()
    row = {"time": NOW, "client": "192.0.2.7:4711", "cause": "no upstream accepted"}
    row |= {
        "upstream": "dc1/n/a",
        "error": "refused",
        "retries": 2,
        "termination": "SC",
    }
    found["mappings"][0]["unhappy_connections"] = [
        {**row, "count": 3}, {**row, "count": 1, "error": "", "retries": 0},
    ]  # fmt: skip
    lines = _lines(found, WEB, 200)
    first, second = lines[lines.index("Connections that went wrong") + 1 :][:2]
    assert first[8:] == (
        " SC 192.0.2.7:4711 3 times, dc1/n/a after 2 retries: no upstream accepted:"
        " refused"
    )
    assert second[8:] == " SC 192.0.2.7:4711, dc1/n/a: no upstream accepted"


def test_certificates() -> None:
    """Certificates have their names and their end."""
    found = document()
    found["mappings"][0]["certificates"] = [
        {"names": ["a.com"], "source": "/etc/a.pem", "state": "valid", "days_left": 9}
    ]
    assert "/etc/a.pem        a.com: valid, 9 days left" in _lines(found, WEB)


@pytest.mark.parametrize("width", [20, 40, 80])
def test_narrow(width: int) -> None:
    """Long values go on in lines of their own."""
    found = document(http=True)
    upstream(found, reason="a long reason " * 9, tags=["t\x1b"] * 30)
    lines = _lines(found, FIRST, width)
    words = " ".join(" ".join(lines).split())
    assert words.count("a long reason") == 9
    _lines(found, WEB, width)


def test_gone() -> None:
    """What is gone is told; what is drained by hand can be undrained."""
    found = document()
    row = {"id": "dc1/n/x", "datacenter": "dc1", "node": "n", "service_id": "x"}
    found["drained"] = [{**row, "registered": False}]
    lines = _lines(found, ("", "", "dc1/n/x"))
    assert lines[-1] == "Consul does not know it: u undrains it."
    assert _lines(found, ("", "", "dc1/n/y")) == ["It is gone."]
    assert _lines(found, ("99:none", "", "")) == ["It is gone."]
    # Its mapping is still there.
    assert _values(_lines(found, ("80:web", "web,dc=dc1", "gone")))["mapping"] == (
        "80:web"
    )


def test_split() -> None:
    """A part of a split says how much it is to get, and how much it gets."""
    found = document()
    mapping = next(each for each in found["mappings"] if each["name"] == "80:web")
    assert "split" not in _values(_lines(found, WEB))
    mapping["split"] = {"of": "80:web", "part": "", "wanted": 0.95, "got": 0.94}
    values = _values(_lines(found, WEB))
    assert values["split"] == "95 % of 80:web wanted, 94 % got"


def test_own_check() -> None:
    """The gateway's own check has its state, its latest result, and its failures; a
    gateway of an earlier version tells of none.
    """
    found = document()
    row = upstream(found)
    lines = _values(_lines(found, FIRST))
    assert "own check" not in lines
    row["check"] = {
        "check": "GET /health", "state": "failing", "since": NOW - 90,
        "result": "GET /health: 503", "duration": 0.002, "failures": 3,
    }  # fmt: skip
    assert _values(_lines(found, FIRST)) | {
        "own check": "failing for 1 m 30 s",
        "last result": "GET /health: 503, in 2 ms",
        "failed checks": "3",
    } == _values(_lines(found, FIRST))
    row["check"] |= {"state": "unknown", "result": "", "duration": None, "failures": 0}
    assert "last result" not in _values(_lines(found, FIRST))
    del row["check"]
    assert _lines(found, FIRST)
