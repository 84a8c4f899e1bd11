"""Texts from outside, made fit for a line that people read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.config.grammar import split_mapping
from lbconsul.text import clipped, fit, listed, one_line, printable, quoted, unquoted


def test_one_line() -> None:
    """Neither line breaks nor cursor movements are left, and a long text is cut."""
    assert one_line("a\r\n\tb  c\x1b[31m\0", 99) == "a b c[31m"
    assert one_line("x" * 10**6, 5) == "xxxxx"
    assert one_line("\ud800 ok", 5) == " ok"
    assert one_line("", 5) == ""


def test_printable() -> None:
    """An unprintable character cannot move the cursor, but leaves a mark."""
    assert printable("grün, and so on") == "grün, and so on"
    assert printable("a\r\n\x1b[31m\xa0b") == "a???[31m?b"
    assert printable("a\0b", "") == "ab"


def test_clipped() -> None:
    """A cut text shows that it is cut, and has the longest allowed length."""
    assert clipped("12345678", 8) == "12345678"
    assert clipped("123456789", 8) == "12345..."


def test_listed() -> None:
    """Of many words the first five are named, none of them at any length."""
    assert listed(["b", "a", "b"]) == "a, b"
    assert listed("gfedcba") == "a, b, c, d, e and 2 more"
    assert listed(["x" * 99, "a\nb"], 8) == "a?b, xxxxxxxx..."
    assert fit("x" * 60) == "x" * 60


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("web", "web"),
        ("grün", "grün"),
        ('a"b', 'a"b'),
        ("a\\b", "a\\b"),
        ("a b/c", '"a b/c"'),
        ("a:80", '"a:80"'),
        ("a,tag=x", '"a,tag=x"'),
        ('"a"', '"\\"a\\""'),
        ("a b\\", '"a b\\\\"'),
        ("", '""'),
    ],
)
def test_quoted(name: str, text: str) -> None:
    """A name that would not say itself stands in quotes."""
    assert quoted(name) == text
    if text.startswith('"'):
        assert unquoted(text) == name


@given(st.text(min_size=1).filter(str.isprintable))
def test_there_and_back(name: str) -> None:
    """Whatever a service is called, its mapping can be written, and read again."""
    assert split_mapping(f"80:{quoted(name)},tag=v2") == ("80", name, {"tag": "v2"})


@pytest.mark.parametrize("text", ['"', '"a', 'a"', '"a"b', '"a\\"', '"a""'])
def test_unbalanced(text: str) -> None:
    """The error about an open quote shows the text."""
    with pytest.raises(ValueError, match=r"must end with the quote that closes it$"):
        unquoted(text)
