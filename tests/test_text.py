"""Texts from outside, made fit for a line that people read."""

from lbconsul.text import clipped, one_line


def test_one_line() -> None:
    """Neither a break nor what moves the cursor is left, and not all of a long text."""
    assert one_line("a\r\n\tb  c\x1b[31m\0", 99) == "a b c[31m"
    assert one_line("x" * 10**6, 5) == "xxxxx"
    assert one_line("\ud800 ok", 5) == " ok"
    assert one_line("", 5) == ""


def test_clipped() -> None:
    """What is cut shows it, and is as long as it may be."""
    assert clipped("12345678", 8) == "12345678"
    assert clipped("123456789", 8) == "12345..."
