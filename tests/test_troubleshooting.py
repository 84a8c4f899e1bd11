"""docs/troubleshoot.md: each line of the log that it names is one that is written."""

import ast
import re
from functools import cache

import pytest

from tests.support.binaries import REPOSITORY

PAGE = (REPOSITORY / "docs" / "troubleshoot.md").read_text()

#: The lines that have a part of the page, and those that it names besides.
LINES = re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE) + re.findall(
    r"`(QUERY: .*|draining: .*|empty, because [^`]*)`", PAGE
)

#: What differs from line to line, and what systems say, in their own words.
_DIFFERS = re.compile(r"\b[A-Z]{3,}S?\b|\b\d{3}\b|Address already in use|Permission.*")

#: No piece of a line is so short, unless it is all between two that differ.
_LEAST = 8

#: What stands between two pieces.
_BETWEEN = ":;,.-()[] "


@cache
def _texts() -> str:
    """All texts of the code but its docstrings, cut where something is filled in."""
    found = set[str]()
    for path in (REPOSITORY / "lbconsul").rglob("*.py"):
        tree = ast.parse(path.read_text())
        described = {
            id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and id(node) not in described:
                found.update(re.split(r"\{[^{}]*\}|%s", str(node.value)))
    return "\n".join(found)


def _is_of_the_code(text: str) -> bool:
    """Whether pieces of texts in the code, one behind the other, are this text."""
    text = text.strip(_BETWEEN)
    while text:
        size = len(text)
        while text[:size] not in _texts():
            size -= 1
        if size < min(_LEAST, len(text)):
            return False
        text = text[size:].lstrip(_BETWEEN)
    return True


@pytest.mark.parametrize("line", LINES)
def test_lines(line: str) -> None:
    """What is not in capitals is in the texts of the code."""
    for part in _DIFFERS.split(line):
        assert _is_of_the_code(part), part


def test_all_are_found() -> None:
    """The page has lines, and a made-up one is no line of the code."""
    assert len(LINES) >= 35
    assert not _is_of_the_code("this process has a cold; new clients wait")
    assert not _is_of_the_code("max-connections of 5 is reached")
