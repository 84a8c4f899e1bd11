"""Short texts for a terminal."""

import pytest

from lbconsul.admin.short_text import broken, size, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"), (0, "0 ms"), (0.00123, "1.23 ms"), (0.25, "0.25 s"),
        (1.5, "1.5 s"), (0.9999, "1 s"), (59, "59 s"), (60, "1 m 0 s"),
        (754.2, "12 m 34 s"),
        (3600, "1 h 0 m"), (93_784, "1 d 2 h"),
    ],
)  # fmt: skip
def test_spans(seconds: float, text: str) -> None:
    """Times are short."""
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (164_095_620, "164 MB"),
     (2.5e9, "2.5 GB"), (3e12, "3 TB"), (1.5e15, "1500 TB")],
)  # fmt: skip
def test_sizes(count: float, text: str) -> None:
    """Sizes have units."""
    assert size(count) == text


@pytest.mark.parametrize(
    ("line", "width", "lines"),
    [
        ("", 4, [""]),
        ("one two", 7, ["one two"]),
        ("one two", 6, ["one", "    two"]),
        ("  one  two three", 9, ["  one", "    two", "    three"]),
        ("\x1b[31mone two\x1b[0m", 7, ["\x1b[31mone two\x1b[0m"]),
        ("  unix:/run/graphite.sock is long", 9,
         ["  unix:/run/graphite.sock", "    is", "    long"]),
    ],
)  # fmt: skip
def test_broken(line: str, width: int, lines: list[str]) -> None:
    """A sentence is broken at blanks; colours take no room."""
    assert list(broken(line, width)) == lines
