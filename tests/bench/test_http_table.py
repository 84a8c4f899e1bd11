"""HTTP mode's figures beside what they may be."""

from bench.http_table import LIMITS, http_section, limits
from bench.peers.http_listeners import SAFE
from bench.results import Results
from bench.work import CPU, HTTP_MEMORY, HTTP_ROUTES, HTTP_WORK


def _rows(text: str) -> list[list[str]]:
    lines = [line.split("|")[1:-1] for line in text.splitlines()]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def test_each_ratio_stands_beside_its_limits() -> None:
    """A reader sees whether lbconsul costs no more than it may."""
    results = Results({})
    name = CPU["HTTP, new client connection"]
    for peer, value in {"haproxy": 60.0, SAFE: 150.0, "nginx": 66.0}.items():
        results.add(name, peer, value)
    results.add(name, "lbconsul", 90.0)
    assert _rows(limits(results)) == [
        [name.title, "haproxy", "1.50", "1.35", "1.60", "within", "1.10", ""],
        [name.title, SAFE, "0.60", "0.75", "1.00", "on target", "0.44", ""],
    ]
    results.figures[name, "lbconsul", 0] = [120.0]
    verdicts = [row[5] for row in _rows(limits(results))]
    assert verdicts == ["EXCEEDED", "within"]


def test_a_ratio_without_lbconsul_has_no_verdict() -> None:
    """The limits are printed even where lbconsul was not measured."""
    results = Results({})
    results.add(HTTP_MEMORY, "haproxy", 3.0, 1000)
    (row,) = _rows(limits(results))
    assert row[2:6] == ["", "1.00", "1.50", ""]


def test_all_work_has_limits() -> None:
    """No kind of work in HTTP mode is measured without one."""
    limited = {limit.measure for limit in LIMITS}
    assert {CPU[name] for name in HTTP_WORK} <= limited


def test_http_has_a_section_of_its_own() -> None:
    """The section is there only if HTTP mode was measured, with its curves."""
    results = Results({})
    assert http_section(results) == ""
    results.add(CPU["HTTP, keep-alive"], "haproxy", 30.0)
    results.add(HTTP_ROUTES, "haproxy", 30.0, 1000)
    told = http_section(results)
    assert told.startswith("## HTTP\n")
    assert "N = 1,000" in told
