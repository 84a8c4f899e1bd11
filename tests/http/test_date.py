"""The date of an answer."""

import pytest

from lbconsul.http import date
from lbconsul.http.date import DateLine


def test_a_date() -> None:
    """A date has the form that HTTP wants, in UTC."""
    assert DateLine(lambda: 784111777.9).line() == (
        b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    )


def test_dates_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A date is formatted once a second at most, also if the clock is set back."""
    formatted = list[int]()

    def format_date(second: int, *, usegmt: bool) -> str:
        formatted.append(second)
        return str(second)

    monkeypatch.setattr(date, "formatdate", format_date)
    times = iter([10.0, 10.9, 11.0, 9.5])
    line = DateLine(lambda: next(times))
    told = [line.line() for _ in range(4)]
    assert told == [b"Date: %d\r\n" % each for each in (10, 10, 11, 9)]
    assert formatted == [10, 11, 9]
