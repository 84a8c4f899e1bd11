"""What a worker prints, in lines."""

import pytest

from lbconsul.workers.stderr import EVERY, LONGEST, MOST, Printed


@pytest.fixture
def told() -> list[str]:
    """What was told."""
    return []


@pytest.fixture
def printed(told: list[str]) -> Printed:
    """One that tells it there."""
    return Printed(told.append)


def test_lines(printed: Printed, told: list[str]) -> None:
    """Lines are told one by one, however they come; the last one at the end."""
    for each in (b"on", b"e\ntwo\n\nth", b"ree"):
        printed.more(each, 1.0)
    assert told == ["one", "two", ""]
    printed.end()
    printed.end()
    assert told == ["one", "two", "", "three"]


def test_no_text(printed: Printed, told: list[str]) -> None:
    """What is no text cannot garble the log."""
    printed.more("ä\x1b[31m\r\xa0\n".encode() + b"\xff\n", 1.0)
    assert told == ["ä?[31m??", "\ufffd"]


def test_long_line(printed: Printed, told: list[str]) -> None:
    """Of a line that is far too long the beginning is told, and no more is kept."""
    for _ in range(100):
        printed.more(b"x" * 65536, 1.0)
        assert len(printed._rest) == LONGEST
    printed.more(b"\nshort\n", 1.0)
    assert told == ["x" * LONGEST, "short"]


def test_many_lines(printed: Printed, told: list[str]) -> None:
    """Of a flood the beginning is told, and later what comes then."""
    for _ in range(10):
        printed.more(b"line\n" * MOST, 100.0)
    assert told == ["line"] * MOST + ["(too many lines: the next ones are dropped)"]
    printed.more(b"again\n", 100.0 + EVERY)
    assert told[MOST + 1 :] == ["again"]
