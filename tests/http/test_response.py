"""Heads of responses that are accepted; for others see `test_ambiguous`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.http.errors import Refused
from lbconsul.http.head import CHUNKED, UNTIL_CLOSE, Limits
from lbconsul.http.response import (
    SWITCHING_PROTOCOLS,
    ResponseHead,
    ResponseParser,
    response_fields,
    without_coding,
)


def parse(
    line: bytes,
    *fields: bytes,
    is_of_head: bool = False,
    last: ResponseHead | None = None,
) -> ResponseHead:
    """The head with this status line and these fields."""
    data = b"\r\n".join([line, *fields, b"", b""])
    head = ResponseParser(response_fields(), Limits()).parse(data, 0, is_of_head, last)
    assert head is not None
    assert head.raw == data
    return head


def test_usual() -> None:
    """A usual response is passed on as it is."""
    fields = [b"Content-Type: text/html", b"Content-Length: 12", b"Set-Cookie: a=b"]
    head = parse(b"HTTP/1.1 200 OK", *fields)
    assert head.line + head.fields.lines + b"\r\n" == head.raw
    assert (head.status, head.fields.body, head.fields.close) == (200, 12, False)


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        (b"HTTP/1.0 404 Not Found", b"HTTP/1.1 404 Not Found"),
        (b"HTTP/1.1 200", b"HTTP/1.1 200 "),
        (b"HTTP/1.1 200 ", b"HTTP/1.1 200 "),
        (b"HTTP/1.0 200", b"HTTP/1.1 200 "),
        (b"HTTP/1.1 200 \xc3\xa9 \t", b"HTTP/1.1 200 \xc3\xa9 \t"),
    ],
)
def test_status_line(line: bytes, sent: bytes) -> None:
    """The status line is passed on as HTTP/1.1 demands it."""
    assert parse(line).line == sent + b"\r\n"


LENGTH, CODING = b"Content-Length: 3", b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("line", "fields", "is_of_head", "body", "close", "passed"),
    [
        (b"HTTP/1.1 200 OK", [LENGTH], False, 3, False, [LENGTH]),
        (b"HTTP/1.1 200 OK", [CODING], False, CHUNKED, False, [CODING]),
        (b"HTTP/1.1 200 OK", [LENGTH, CODING], False, CHUNKED, True, [CODING]),
        (b"HTTP/1.1 200 OK", [], False, UNTIL_CLOSE, True, []),
        (b"HTTP/1.0 200 OK", [LENGTH], False, 3, True, [LENGTH]),
        (b"HTTP/1.1 200 OK", [LENGTH], True, 0, False, [LENGTH]),
        (b"HTTP/1.1 200 OK", [CODING], True, 0, False, [CODING]),
        (b"HTTP/1.1 200 OK", [LENGTH, CODING], True, 0, True, [CODING]),
        (b"HTTP/1.1 200 OK", [], True, 0, False, []),
        (b"HTTP/1.1 304 No", [LENGTH], False, 0, False, [LENGTH]),
        (b"HTTP/1.1 204 No", [], False, 0, False, []),
        (b"HTTP/1.1 204 No", [b"Content-Length: 0"], False, 0, False, []),
        (b"HTTP/1.1 204 No", [LENGTH], False, 0, True, []),
        (b"HTTP/1.1 204 No", [b"Content-Length:3"], False, 0, True, []),
        (b"HTTP/1.1 200 OK", [b"Content-Length:03"], False, 3, False, [LENGTH]),
        (b"HTTP/1.1 200 OK", [b"Content-Length:3", CODING], True, 0, True, [CODING]),
        (b"HTTP/1.1 204 No", [CODING], False, 0, True, []),
        (b"HTTP/1.1 204 No", [LENGTH], True, 0, True, []),
        (b"HTTP/1.1 103 Hints", [LENGTH, b"Link: a"], False, 0, True, [b"Link: a"]),
        (b"HTTP/1.1 205 Reset", [b"Content-Length: 0"], False, 0, False, None),
    ],
)
def test_bodies(
    line: bytes,
    fields: list[bytes],
    is_of_head: bool,
    body: int,
    close: bool,
    passed: list[bytes] | None,
) -> None:
    """Method and status come before the fields (RFC 9112, 6.3)."""
    head = parse(line, *fields, is_of_head=is_of_head)
    assert (head.fields.body, head.fields.close) == (body, close)
    expected = fields if passed is None else passed
    assert head.fields.lines == b"".join(each + b"\r\n" for each in expected)


@pytest.mark.parametrize(
    ("line", "fields", "close"),
    [
        (b"HTTP/1.1 204 No", [b"Connection: close"], True),
        (b"HTTP/1.1 204 No", [b"Connection: keep-alive"], False),
        (b"HTTP/1.0 204 No", [], True),
        (b"HTTP/1.0 204 No", [b"Connection: Keep-Alive", b"Keep-Alive: x"], False),
        (b"HTTP/1.0 204 No", [b"Connection: keep-alive, close"], True),
    ],
)
def test_close(line: bytes, fields: list[bytes], close: bool) -> None:
    """Fields that concern the upstream's connection are not passed on."""
    head = parse(line, *fields)
    assert head.fields.close is close
    assert head.fields.lines == b""


def test_hop_by_hop() -> None:
    """Fields that Connection names, or CGI takes for framing, are removed."""
    head = parse(
        b"HTTP/1.1 200 OK",
        b"Connection: X-Private",
        b"Content-Length: 3",
        b"x-private: a",
        b"Content_Length: 4",
        b"Keep-Alive: timeout=5, max=100",
        b"X-Forwarded-For: a",
    )
    assert head.fields.lines == b"Content-Length: 3\r\nX-Forwarded-For: a\r\n"
    assert head.fields.keep_alive == 5


def test_upgrade() -> None:
    """The chosen protocol is told, and by 426 the needed one; else an offer is not."""
    fields = [b"Connection: upgrade", b"Upgrade: websocket", b"A: b"]
    kept = b"A: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    head = parse(b"HTTP/1.1 101 Switching Protocols", *fields)
    assert (head.status, head.fields.upgrade) == (SWITCHING_PROTOCOLS, b"websocket")
    assert head.fields.lines == kept
    assert parse(b"HTTP/1.1 426 Upgrade Required", *fields).fields.lines == kept
    head = parse(b"HTTP/1.1 200 OK", *fields)
    assert (head.fields.upgrade, head.fields.lines) == (b"", b"A: b\r\n")
    assert parse(b"HTTP/1.1 426 Upgrade Required").fields.lines == b""


def test_last() -> None:
    """A response that equals the connection's last one is not parsed again.

    Except if one of them answers HEAD.
    """
    line, length = b"HTTP/1.1 200 OK", b"Content-Length: 3"
    first = parse(line, length)
    assert parse(line, length, last=first) is first
    assert parse(line, b"Content-Length: 4", last=first).fields.body == 4
    assert parse(line, length, last=first, is_of_head=True).fields.body == 0


@pytest.mark.parametrize("field", [b"A : b", b"Content-Length: x", b"A: " + b"b" * 99])
def test_refused(field: bytes) -> None:
    """Whatever is wrong with a response, it is a bad gateway to the client."""
    parsing = ResponseParser(response_fields(), Limits(head=100))
    with pytest.raises(Refused) as caught:
        parsing.parse(b"HTTP/1.1 200 OK\r\n" + field + b"\r\n\r\n", 0, False)
    assert caught.value.status == 502


@given(
    st.integers(100, 999).filter(lambda status: status != 101),
    st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20),
)
def test_round_trip(status: int, reason: str) -> None:
    """Any valid response is understood, and passed on as it was, cut wherever it is."""
    data = b"HTTP/1.1 %d %b\r\nA: b\r\n\r\n" % (status, reason.encode("latin-1"))
    parsing = ResponseParser(response_fields(), Limits())
    for end in range(len(data)):
        assert parsing.parse(data[:end], 0, False) is None
    head = parsing.parse(data, 0, False)
    assert head is not None
    assert head.status == status
    assert head.line + head.fields.lines + b"\r\n" == data


def test_without_its_coding() -> None:
    """A client of HTTP/1.0 is told neither of chunks nor of trailers."""
    lines = b"A: b\r\nTransfer-Encoding: chunked\r\nTRAILER: Digest\r\nC: d\r\n"
    assert without_coding(lines) == b"A: b\r\nC: d\r\n"
