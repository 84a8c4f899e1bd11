"""Tables as lines."""

import pytest

from lbconsul.admin.text_table import Layout

COLUMNS = ("NAME", "COUNT", "PLACE", "WHY")
ROWS = [
    ("one", "1", "here", "because of a long story"),
    ("eleven", "11", "there", ""),
]


def test_whole() -> None:
    """Columns are as wide as they need to be; numbers stand at their right."""
    assert Layout({"COUNT"}).lines(COLUMNS, ROWS) == [
        "  NAME    COUNT  PLACE  WHY",
        "  one         1  here   because of a long story",
        "  eleven     11  there",
    ]


def test_cut() -> None:
    """The last column is cut before another one is left out."""
    assert Layout(spare=("PLACE",), width=40).lines(COLUMNS, ROWS) == [
        "  NAME    COUNT  PLACE  WHY",
        "  one     1      here   because of a ...",
        "  eleven  11     there",
    ]


@pytest.mark.parametrize(
    ("width", "names"),
    [(36, "NAME COUNT PLACE WHY"), (35, "NAME COUNT WHY"), (28, "NAME WHY"),
     (5, "NAME WHY")],
)  # fmt: skip
def test_left_out(width: int, names: str) -> None:
    """Columns are left out one after the other; those that are not spare stay."""
    layout = Layout(spare=("GONE", "PLACE", "COUNT"), width=width)
    head, *_ = lines = layout.lines(COLUMNS, ROWS)
    assert head.split() == names.split()
    if width > 20:
        assert max(map(len, lines)) <= width


def test_empty() -> None:
    """Without rows there is the head."""
    assert Layout(width=5).lines(("A", "B"), []) == ["  A  B"]
