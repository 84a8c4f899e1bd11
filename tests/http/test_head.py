"""Limits of heads."""

import pytest

from lbconsul.http.errors import Refused
from lbconsul.http.head import Limits, check_ends, field_lines

FIELDS = b"Host: a\r\nCookie: secret\r\n\r\n"
LINE = b"GET / HTTP/1.1\r\n"


def test_lines() -> None:
    """Field lines are found behind the first line, and what follows them is left."""
    data = b"xx" + LINE + FIELDS + LINE + FIELDS
    begin = 2 + len(LINE)
    assert field_lines(data, 2, begin, Limits()) == (
        FIELDS,
        [b"Host: a", b"Cookie: secret"],
    )
    assert field_lines(data[: begin + len(FIELDS) - 1], 2, begin, Limits()) is None
    assert field_lines(LINE + b"\r\n", 0, len(LINE), Limits()) == (b"\r\n", [])


def test_too_large() -> None:
    """A refusal names the largest field and its size, but not its value.

    It comes as soon as the head cannot end within its limit.
    """
    data = LINE + FIELDS
    limit = len(data)
    begin = len(LINE)
    assert field_lines(data, 0, begin, Limits(head=limit))
    assert field_lines(data[:-1], 0, begin, Limits(head=limit)) is None
    for cut in (data, data[:-1]):
        with pytest.raises(
            Refused, match=r"large: Cookie has 14 bytes of 2\d$"
        ) as caught:
            field_lines(cut, 0, begin, Limits(head=limit - 1))
        assert caught.value.status == 431
        assert "secret" not in str(caught.value)


def test_too_many() -> None:
    """The number of fields has a limit of its own."""
    assert field_lines(LINE + FIELDS, 0, len(LINE), Limits(fields=2))
    with pytest.raises(Refused, match=r"^it has 2 fields, more than 1$") as caught:
        field_lines(LINE + FIELDS, 0, len(LINE), Limits(fields=1))
    assert caught.value.status == 431


def test_ends() -> None:
    """A bare LF is refused without waiting for the end; a last CR may become CR LF."""
    check_ends(b"\na\r\nb\r", 1)
    with pytest.raises(Refused, match="does not end with CR LF"):
        check_ends(b"a\r\nb\n", 0)
