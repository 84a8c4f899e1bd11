"""Lines and numbers for a terminal."""

import pytest

from lbconsul.top.lines import BAD, joined, line, number, paragraph, plural


def test_line() -> None:
    """A line has tones, no empty texts, and nothing that commands a terminal."""
    made = line("a\x1b", "", ("b", BAD))
    assert made.text == "a\ufffdb"
    assert made.spans == (("a\ufffd", ""), ("b", BAD))


def test_paragraph() -> None:
    """A sentence that is too wide goes on below, in the same tone."""
    made = list(paragraph("one two three", 9, BAD))
    assert [each.text for each in made] == ["one two", "    three"]
    assert {each.spans[0][1] for each in made} == {BAD}


@pytest.mark.parametrize(
    ("width", "text"),
    [(2, ""), (3, "one"), (8, "one  two"), (7, "one"), (99, "one  two  3")],
)
def test_joined(width: int, text: str) -> None:
    """What has no room is left out from the end."""
    assert joined(["one", "two", "3"], width) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-1, "0"), (0, "0"), (0.001, "0.1"), (0.26, "0.3"), (3, "3"), (3.44, "3.4"),
        (9.96, "10"), (123.4, "123"), (9999, "9999"), (10_000, "10k"),
        (56_789, "56.8k"), (999_600, "1M"), (1.5e9, "1.5G"), (2e12, "2T"),
    ],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    """Numbers have five characters at most, and what is more than nothing is not 0."""
    assert number(value) == text
    assert len(text) <= 5


def test_plural() -> None:
    """One, or several."""
    assert plural(1, "row") == "1 row"
    assert plural(2, "row") == "2 rows"
    assert plural(2, "watch", "watches") == "2 watches"
