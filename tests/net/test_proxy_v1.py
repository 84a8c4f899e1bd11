"""Version 1 of the PROXY protocol: one line of text."""

import pytest

from lbconsul.net.proxy_header import Address, BadHeader, Header
from lbconsul.net.proxy_v1 import MAX_LINE, build_v1, parse_v1

TCP4 = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"
LONGEST6 = (
    b"PROXY TCP6 " + b" ".join([b":".join([b"ffff"] * 8)] * 2) + b" 65535 65535\r\n"
)


@pytest.mark.parametrize(
    ("line", "source", "destination"),
    [
        (TCP4, ("192.0.2.1", 56324), ("198.51.100.1", 443)),
        (
            b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
            ("0.0.0.0", 0),
            ("255.255.255.255", 65535),
        ),
        (
            b"PROXY TCP6 2001:DB8:0::1 ::1 1 2\r\n",
            ("2001:db8::1", 1),
            ("::1", 2),
        ),
        (
            b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c633:6401 1 2\r\n",
            ("192.0.2.1", 1),
            ("198.51.100.1", 2),
        ),
        (LONGEST6, (":".join(["ffff"] * 8), 65535), (":".join(["ffff"] * 8), 65535)),
        (b"PROXY UNKNOWN\r\n", None, None),
        (b"PROXY UNKNOWN \x00\xff 1.2.3.4 anything  at all\r\n", None, None),
        (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", None, None),
    ],
)
def test_valid(line: bytes, source: Address, destination: Address) -> None:
    """A valid line says who the client is; what follows it is the client's."""
    expected = Header(source, destination, len(line))
    assert parse_v1(line) == expected
    assert parse_v1(line + b"\r\nPROXY " * 50) == expected
    for end in range(1, len(line)):
        assert parse_v1(line[:end]) is None


@pytest.mark.parametrize(
    "bad",
    [
        b"POST",
        b"PROXY\t",
        b"PROXY  ",
        b"PROXY\r",
        b"PROXY TCP5",
        b"PROXY tcp4",
        b"PROXY TCP ",
        b"PROXY TCP\r",
        b"PROXY UNKNOWN1",
        b"PROXY UDP4",
        b"PROXY TCP4  ",
        b"PROXY TCP4\r",
        b"PROXY TCP4 1.2.3.4\r",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 1\r",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 1 2 ",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 1 2 3",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 1  ",
        b"PROXY TCP4 :",
        b"PROXY TCP4 a",
        b"PROXY TCP4 1.2.3 ",
        b"PROXY TCP4 1.2.3.256 ",
        b"PROXY TCP4 1.2.3.04 ",
        b"PROXY TCP4 1.2.3.4.5 ",
        b"PROXY TCP4 1111.1111.1111.1",
        b"PROXY TCP4 1.2.3.4 1.2.3.\r",
        b"PROXY TCP6 1.2.3.4 ",
        b"PROXY TCP6 g",
        b"PROXY TCP6 ::1%eth0",
        b"PROXY TCP6 ::1::2 ",
        b"PROXY TCP6 1:2:3:4:5:6:7 ",
        b"PROXY TCP6 1:2:3:4:5:6:7:8:9 ",
        b"PROXY TCP6 12345::1 ",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 01",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 +",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 -",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 1_",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 65536",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 100000",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 1 \r",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 1 a\r",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 1 2\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 1 2\r\r",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 1 2\rx",
        b"PROXY UNKNOWN \n",
        b"PROXY UNKNOWN \rx",
        b"PROXY UNKNOWN " + b"f" * 92,
        b"PROXY TCP6 ::1" + b" " * 3 + b"0" * 92,
    ],
)
def test_refused_at_once(bad: bytes) -> None:
    """The first byte or field that is not valid ends the matter."""
    for more in (b"", b"\n", b"\r\n", b" " * 200):
        with pytest.raises(BadHeader, match=r"^it(s)? |^an? (address|port) in it"):
            parse_v1(bad + more)


def test_unpermitted_end_of_a_field() -> None:
    """Only the byte that makes a line invalid ends it."""
    for line in (
        b"PROXY TCP4 1.2.3.4 1.2.3.5 1 2\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.5 01",
        b"PROXY TCP6 g",
        b"PROXY UNKNOWN " + b"f" * 92,
    ):
        assert parse_v1(line[:-1]) is None


@pytest.mark.parametrize(
    ("source", "destination", "line"),
    [
        (("192.0.2.1", 56324), ("198.51.100.1", 443), TCP4),
        (("::ffff:192.0.2.1", 56324, 0, 0), ("198.51.100.1", 443), TCP4),
        (
            ("2001:db8::1", 1, 0, 0),
            ("fe80::1%eth0", 2, 0, 3),
            b"PROXY TCP6 2001:db8::1 fe80::1 1 2\r\n",
        ),
        (
            ("192.0.2.1", 1),
            ("::1", 2),
            b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n",
        ),
        (
            ("::1", 1),
            ("192.0.2.1", 2),
            b"PROXY TCP6 ::1 ::ffff:192.0.2.1 1 2\r\n",
        ),
        ("/run/web.sock", "/run/web.sock", b"PROXY UNKNOWN\r\n"),
        (("192.0.2.1", 1), "/run/web.sock", b"PROXY UNKNOWN\r\n"),
        ("", ("192.0.2.1", 1), b"PROXY UNKNOWN\r\n"),
        (None, None, b"PROXY UNKNOWN\r\n"),
    ],
)
def test_built(source: Address, destination: Address, line: bytes) -> None:
    """
    Two addresses of one family are sent as they are, two of different families as IPv6,
    and what the format has no room for as UNKNOWN.
    """
    assert build_v1(source, destination) == line
    assert parse_v1(line) is not None


def test_longest_line() -> None:
    """No line that is built is longer than the format allows."""
    longest = (":".join(["ffff"] * 8), 65535)
    assert build_v1(longest, longest) == LONGEST6
    assert len(LONGEST6) <= MAX_LINE
