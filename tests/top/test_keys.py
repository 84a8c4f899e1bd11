"""The keys, in the last line and in the help."""

import re
from collections import Counter

import pytest

from lbconsul.top.app import Top
from lbconsul.top.keys import KEYS, help_lines, hints
from lbconsul.top.main_screen import Main
from lbconsul.top.rows import SORTS
from tests.support.binaries import REPOSITORY


@pytest.mark.parametrize("width", [80, 90, 100, 200])
def test_hints(width: int) -> None:
    """All keys that have a word there are in the last line, from 80 columns on."""
    text = hints(width).text
    assert len(text.rstrip()) <= width
    for each in ("Enter details", "/ filter", "d drain", "? help", "q quit"):
        assert each in text
    assert ("j/k move" in text) == (width >= 100)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_help(width: int) -> None:
    """The help has every key, and fits."""
    lines = [each.text for each in help_lines(width)]
    assert max(map(len, lines)) <= width
    for each in KEYS:
        assert any(line.startswith(each.label) for line in lines)
    text = " ".join(" ".join(lines).split())
    assert ", ".join(SORTS).startswith("problems, name, open")
    assert "by problems, name, open connections, connections, requests, errors," in text


def test_each_once() -> None:
    """No key does two things, and each does something."""
    codes = Counter(code for each in KEYS for code in each.codes.split(","))
    assert set(codes.values()) == {1}
    for each in KEYS:
        name = each.action.partition("(")[0].removeprefix("app.")
        assert hasattr(Main, f"action_{name}") or hasattr(Top, f"action_{name}")


def test_documentation() -> None:
    """docs/admin.md has each key."""
    page = (REPOSITORY / "docs" / "admin.md").read_text()
    rows = re.findall(r"^\| `([^|]+)` \| ", page, re.MULTILINE)
    labels = {label for row in rows for label in row.replace("`", "").split(", ")}
    for each in KEYS:
        assert set(each.label.split(", ")) <= labels, each.label
