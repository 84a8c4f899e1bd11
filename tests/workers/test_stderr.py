"""What a worker prints, in lines."""

import pytest
from twisted.internet.task import Clock

from lbconsul.workers.stderr import BURST, LONGEST, RATE, SUM_UP_EVERY, Printed


@pytest.fixture
def told() -> list[str]:
    """The logged lines."""
    return []


@pytest.fixture
def clock() -> Clock:
    """The reactor's time."""
    return Clock()


@pytest.fixture
def printed(clock: Clock, told: list[str]) -> Printed:
    """A worker that writes to its standard error."""
    return Printed(clock, told.append)


def test_lines(printed: Printed, told: list[str]) -> None:
    """
    Lines are logged one by one, in whatever pieces they come; the last one at the end.
    """
    for each in (b"on", b"e\ntwo\n\nth", b"ree"):
        printed.more(each)
    assert told == ["one", "two", ""]
    printed.end()
    printed.end()
    assert told == ["one", "two", "", "three"]


def test_no_text(printed: Printed, told: list[str]) -> None:
    """Bytes that are no text cannot garble the log."""
    printed.more("ä\x1b[31m\r\xa0\n".encode() + b"\xff\n")
    assert told == ["ä?[31m??", "\ufffd"]


def test_long_line(printed: Printed, told: list[str]) -> None:
    """A line that is far too long is logged in part, and no more is kept."""
    for _ in range(100):
        printed.more(b"x" * 65536)
        assert len(printed._rest) == LONGEST
    printed.more(b"\nshort\n")
    assert told == ["x" * LONGEST, "short"]


def test_many_lines(clock: Clock, printed: Printed, told: list[str]) -> None:
    """
    Of a flood the beginning is logged, then a line now and then, with the number of the
    others.
    """
    most = int(BURST)
    for _ in range(10):
        printed.more(b"line\n" * most)
    assert told == ["line"] * most
    clock.advance(SUM_UP_EVERY)
    assert told[most:] == [f"({9 * most} more lines are left out)"]
    printed.more(b"again\n")
    assert told[most + 1 :] == ["again"]
    printed.more(b"line\n" * 2 * most)
    printed.end()
    left_out = 2 * most - int(SUM_UP_EVERY * RATE) + 1
    assert told[-1] == f"({left_out} more lines are left out)"
    assert clock.getDelayedCalls() == []
