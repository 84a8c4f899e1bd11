"""What the access log shows of a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.http.log_text import FIELD, TARGET, escaped, field_texts, request_line


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"", ""),
        (b"plain text", "plain text"),
        (b'a"b\\c', "a\\x22b\\x5Cc"),
        (b"\r\n\t\x00\x7f\xc3\xa9", "\\x0D\\x0A\\x09\\x00\\x7F\\xC3\\xA9"),
        (b"0123456789", "0123456789"),
        (b"0123456789a", "0123456789..."),
    ],
)
def test_escaped(data: bytes, shown: str) -> None:
    """Bytes that could garble a line or end a field are escaped, long values cut."""
    assert escaped(data, 10) == shown


@given(st.binary(max_size=400), st.integers(1, 300))
def test_anything_is_fit_for_a_line(data: bytes, most: int) -> None:
    """Whatever a client sends: one line of printable ASCII, of a bounded length."""
    for shown in (escaped(data, most), request_line(data), *field_texts(data)):
        assert shown.isascii()
        assert not shown or shown.isprintable()
        assert '"' not in shown
        assert len(shown) <= 4 * 400 + 3


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1"),
        (b"\r\nGET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1"),
        (b"GET /without-end", "GET /without-end"),
        (b"GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1"),
        (b"", ""),
    ],
)
def test_request_line(data: bytes, line: str) -> None:
    """The line is shown as it was sent."""
    assert request_line(data) == line


def test_a_long_target_is_cut() -> None:
    """Of a long request line the beginning is shown, and the version."""
    line = request_line(b"GET /%b HTTP/1.0\r\n\r\n" % (b"x" * 5000))
    assert line.startswith("GET /xxx")
    assert line.endswith("xxx... HTTP/1.0")
    assert len(line) == TARGET + len("... HTTP/1.0")
    assert len(request_line(b"x" * 5000)) <= TARGET + 15


HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nREFERER:http://b/\r\nuser-agent:  c d \r\n\r\n"


def test_fields() -> None:
    """Fields are found however their names are written."""
    assert field_texts(HEAD) == ("a", "http://b/", "c d")
    assert field_texts(b"GET / HTTP/1.1\r\nX-Host: a\r\nHost:\r\n") == ("-", "-", "-")


def test_fields_of_cut_heads() -> None:
    """Of a head that is not complete the fields are shown as far as they came."""
    assert field_texts(HEAD[:-7]) == ("a", "http://b/", "c")
    long = b"GET /\r\nReferer: " + b"x" * 5000
    assert field_texts(long) == ("-", "x" * FIELD + "...", "-")
