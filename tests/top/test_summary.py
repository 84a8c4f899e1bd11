"""The lines above the table."""

from typing import Any

import pytest
from attrs import evolve

from lbconsul.top.figures import Counts, Figures
from lbconsul.top.lines import BAD, FAINT, GOOD, WARN
from lbconsul.top.link import Link
from lbconsul.top.problems import Problem, problems
from lbconsul.top.summary import summary
from tests.support.statuses import document, upstream


def _lines(found: Any, width: int = 80, height: int = 24, **fields: Any) -> list[str]:
    figures = evolve(Figures(found), **fields)
    link = Link("127.0.0.1:9200", 0.0)
    lines = summary(figures, problems(figures), link, 0.0, width, height)
    return [each.text for each in lines]


def test_well() -> None:
    """State and rates of a gateway that is well."""
    rates = {
        ("80:web", "", ""): Counts(10, 0, 0, 0, 1000, 2000),
        ("80:web", "web", "dc1/n/a"): Counts(10, 0, 0, 0, 1000, 2000),
        ("81:api", "", ""): Counts(2, 0, 0, 0.5, 500, 1000),
    }
    assert _lines(document(), seconds=5, rates=rates) == [
        "lbconsul 0.1.0 serving for 1 d 2 h at 127.0.0.1:9200"
        "                    all well",
        "60 open  12 conn/s  in 1.5 kB/s  out 3 kB/s  0.5 failed/s  lag 4 ms"
        "  2 workers",
        "consul: 4 of 4 watches fine, oldest answer 1.5 s old",
    ]


def test_at_first() -> None:
    """Before the second answer there are no rates; without workers none are named."""
    found = document()
    found["gateway"]["workers"] = []
    assert _lines(found)[1] == "60 open  rates follow  lag 4 ms  15000 accepted"


def test_http() -> None:
    """Requests a second by class of status, where there are requests."""
    rates = {("80:web", "", ""): Counts(1, 122, 2)}
    classes = {"2xx": 118.0, "3xx": 0.0, "4xx": 2.0, "5xx": 2.0, "other": 0.3}
    lines = _lines(
        document(http=True), 100, seconds=5, rates=rates, classes=classes, retries=0.5
    )
    assert lines[2] == (
        "122 req/s  2xx 118  4xx 2  5xx 2  other 0.3  3 active  0.5 retries/s"
        "  12 idle conns"
    )
    assert _lines(document(http=True))[2] == "3 active  12 idle conns"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"failing_since": 1.0},
            "consul: 3 of 4 watches fine, oldest answer 1.5 s old",
        ),
        (
            {"age": None},
            "consul: 4 of 4 watches fine, oldest answer 1.5 s old, 1 without an answer",
        ),
        (
            {"state": "fixed", "age": None},
            "consul: 3 of 3 watches fine, oldest answer 1.5 s old",
        ),
    ],
)
def test_consul(fields: dict[str, Any], text: str) -> None:
    """How Consul answers."""
    found = document()
    found["watches"][0] |= fields
    assert text in _lines(found)


def test_no_consul() -> None:
    """A gateway of fixed addresses asks nothing."""
    found = document()
    found["watches"] = []
    assert _lines(found)[2] == "consul: nothing is asked"
    found["watches"] = document()["watches"]
    for each in found["watches"]:
        each["age"] = None
    assert _lines(found)[2] == "consul: 4 of 4 watches fine, 4 without an answer"


def test_problems() -> None:
    """The worst problems have a line each, and the others are counted."""
    found = document(36)
    for number in range(9):
        upstream(found, number, standing="ejected", reason="refused " * 20)
    lines = _lines(found)
    assert lines[0].endswith(" 9 problems")
    assert len(lines) == 3 + 4
    assert lines[3].startswith("! 80:web: web-0@node-00 ejected: refused")
    assert len(lines[3]) == 80
    assert lines[-1] == "  and 6 more, first in the table"
    assert len(_lines(found, 200, 60)) == 3 + 9
    assert _lines(found, 80, 9)[3:] == ["  and 9 more, first in the table"]


def test_verdict() -> None:
    """What an operator wants is shown, but is no problem."""
    figures, link = Figures(document()), Link("x", 0.0)

    def first(*found: Problem) -> tuple[str, str]:
        return summary(figures, found, link, 0.0, 80, 24)[0].spans[-1]

    assert first() == ("all well", GOOD)
    assert first(Problem("a", FAINT)) == ("all well", GOOD)
    assert first(Problem("a", WARN))[0] == "1 problem"
    assert first(Problem("a", BAD), Problem("b", WARN)) == ("2 problems", BAD)


def test_lost() -> None:
    """A lost connection is told below the first line, and fits."""
    figures = Figures(document())
    link = Link("x", 0.0).failed("no answer " * 20, 5.0)
    lines = summary(figures, [], link, 9.0, 80, 24)
    assert lines[1].text.startswith("no connection for 4 s: no answer")
    assert lines[2].text == "what follows is 9 s old; asking again"
    assert max(len(each.text) for each in lines) == 80


@pytest.mark.parametrize("width", [20, 40, 79])
def test_narrow(width: int) -> None:
    """Nothing is wider than the terminal, whatever the gateway says."""
    found = document(http=True)
    found["gateway"] |= {"state": "draining\x1b", "version": "0.1.0", "ready": False}
    lines = _lines(found, width, seconds=5)
    assert max(map(len, lines[1:])) <= width
    assert all(each.isprintable() for each in lines)
