"""The columns of the table."""

from typing import Any

import pytest
from attrs import evolve

from lbconsul.top.columns import OPTIONAL, Layout, layout, speaks_http
from lbconsul.top.figures import Counts, Figures
from lbconsul.top.lines import BAD, HEAD
from lbconsul.top.rows import Arrangement, Row, rows
from tests.support.statuses import NOW, document, upstream


def _rows(found: Any) -> list[Row]:
    return rows(Figures(found), [], Arrangement())


def _layout(width: int, *, http: bool = False) -> tuple[Layout, list[Row]]:
    some = _rows(document(http=http))
    return layout(some, width, has_http=http), some


def _names(some: Layout) -> list[str]:
    return [each.name for each in some.columns]


@pytest.mark.parametrize("http", [False, True])
@pytest.mark.parametrize("width", [60, 79, 80, 100, 132, 199, 200, 300])
def test_width(width: int, http: bool) -> None:
    """Each line is as wide as the terminal, whatever is in it."""
    made, some = _layout(width, http=http)
    assert len(made.head.text) == width
    for each in some:
        long = evolve(each, reason=300 * "x", standing=30 * "y", name=300 * "z")
        for row in (each, long):
            assert len(made.line(row, NOW, is_selected=False).text) == width


@pytest.mark.parametrize(
    ("width", "http", "names"),
    [
        (80, False, "MAPPING / INSTANCE,STANDING,OPEN,CONN/S,FAIL/S,CONNECT,REASON"),
        (80, True, "MAPPING / INSTANCE,STANDING,OPEN,REQ/S,5XX/S,P99,REASON"),
        (40, False, "MAPPING / INSTANCE,STANDING,REASON"),
    ],
)
def test_what_is_shown(width: int, http: bool, names: str) -> None:
    """A narrow terminal shows what matters most."""
    assert ",".join(_names(_layout(width, http=http)[0])) == names


def test_all() -> None:
    """A wide terminal shows everything, and names and reasons as a whole."""
    made, some = _layout(200, http=True)
    names = {each.name for each in OPTIONAL}
    assert names < set(_names(made))
    longest = max((each.name for each in some), key=len)
    text = "\n".join(made.line(each, NOW, is_selected=False).text for each in some)
    assert longest in text
    assert "REQ/S" not in _names(_layout(200)[0])


def test_line() -> None:
    """A row has its mark, the cursor, and a text for each column."""
    found = document(http=True)
    upstream(
        found, standing="ejected", reason="refused", open=7, total=1234, since=NOW - 90
    )
    some = _rows(found)
    row = next(each for each in some if each.mark == "x")
    row = evolve(row, counts=Counts(1.5, 20, 0.5, 2, 1000, 2_500_000))
    made = layout(some, 200, has_http=True)
    line = made.line(row, NOW, is_selected=True)
    assert line.text.split() == [
        ">", "x", "web-0@node-00", "ejected", "10.0.0.0:8080", "7", "1234", "10/10",
        "1.5", "20", "0.5", "2", "0.40ms", "4ms", "30ms", "1", "kB", "2.5", "MB", "1m",
        "refused",
    ]  # fmt: skip
    assert line.spans[0] == ("> x ", BAD)
    assert made.line(row, NOW, is_selected=False).text[0] == " "


def test_other_lines() -> None:
    """Rows that are no instances have nothing in columns that are not for them."""
    found = document()
    found["mappings"][0]["pools"][0]["upstreams"].clear()
    row = {"id": "dc1/n/x", "datacenter": "dc1", "node": "n", "service_id": "x"}
    found["drained"] = [{**row, "registered": False}]
    some = _rows(found)
    made = layout(some, 200, has_http=False)
    texts = {
        each.kind: made.line(each, NOW, is_selected=False).text.split() for each in some
    }
    assert texts["note"] == ["no", "upstreams", "Consul", "knows", "no", "instance"]
    assert texts["pool"][:3] == ["api,dc=dc2", "not", "used"]
    assert texts["gone"][:4] == ["-", "x@n", "drained", "drained"]
    mapping = next(each for each in some if each.kind == "mapping")
    line = made.line(mapping, NOW, is_selected=False)
    assert line.spans[1][1] == HEAD
    assert "0.0.0.0:80" in line.text
    assert made.line(some[1], NOW, is_selected=False).spans[1][1] == BAD


def test_untrusted() -> None:
    """Names and reasons cannot send commands to a terminal."""
    found = document()
    upstream(found, service_id="a\x1b[2J", reason="b\nc")
    some = _rows(found)
    made = layout(some, 80, has_http=False)
    text = "".join(made.line(each, NOW, is_selected=False).text for each in some)
    assert text.isprintable()


def test_speaks_http() -> None:
    """Requests are shown where a mapping is in HTTP mode."""
    assert speaks_http(Figures(document(http=True)))
    assert not speaks_http(Figures(document()))
