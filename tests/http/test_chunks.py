"""Chunked bodies that are accepted; for others see `test_ambiguous`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.http.chunks import Chunks
from lbconsul.http.errors import Refused
from tests.http.reading import in_pieces

PLAIN = b"3\r\nabc\r\n1a\r\n" + b"d" * 26 + b"\r\n0\r\n\r\n"
EXTENDED = (
    b'3;a="\\"b"\r\nabc\r\n1a ; c\r\n' + b"d" * 26 + b"\r\n0;e\r\nF: g\r\nTE: h\r\n\r\n"
)
STRIPPED = b"3\r\nabc\r\n1a\r\n" + b"d" * 26 + b"\r\n0\r\nF: g\r\n\r\n"
DATA = b"abc" + b"d" * 26


def feed(pieces: list[bytes], *, only_data: bool = False) -> tuple[bytes, int]:
    """What is passed on of the pieces, and where the body ends in the last."""
    chunks = Chunks(only_data)
    passed, end = b"", -1
    for piece in pieces:
        assert end == -1
        end = chunks.feed(piece)
        if chunks.replaced is not None:
            passed += chunks.replaced
        else:
            passed += piece if end < 0 else piece[:end]
    return passed, end


def test_unchanged() -> None:
    """An ordinary body is passed on as it is, and what follows it is not its."""
    chunks = Chunks()
    assert chunks.feed(b"head" + PLAIN + PLAIN, 4) == 4 + len(PLAIN)
    assert chunks.replaced is None
    # It is ready for the next.
    assert chunks.feed(PLAIN[:30]) == -1
    assert chunks.replaced is None
    assert chunks.feed(PLAIN[30:]) == len(PLAIN) - 30
    assert chunks.replaced is None


@pytest.mark.parametrize(
    ("body", "passed"),
    [(PLAIN, PLAIN), (EXTENDED, STRIPPED), (b"0\r\n\r\n", b"0\r\n\r\n")],
)
def test_pieces(body: bytes, passed: bytes) -> None:
    """Extensions are removed, wherever the body is cut, and no line is sent in part."""
    data = DATA if len(body) > 5 else b""
    for first in range(len(body)):
        for pieces in (
            [body[:first], body[first:]],
            [b"", body[:first], b"", body[first:]],
        ):
            assert feed(pieces) == (passed, len(body) - first)
            assert feed(pieces, only_data=True) == (data, len(body) - first)
    for size in range(1, 6):
        pieces = in_pieces(body, size)
        assert feed(pieces) == (passed, len(pieces[-1]))
        assert feed(pieces, only_data=True) == (data, len(pieces[-1]))
    following = [body[:10], body[10:] + b"GET / HTTP/1.1\r\n"]
    if len(body) > 10:
        assert feed(following) == (passed, len(body) - 10)


def test_holds_back_incomplete_lines() -> None:
    """No byte of a size is passed on before its line is complete and valid."""
    chunks = Chunks()
    assert chunks.feed(b"3\r\nabc\r\n5;bad") == -1
    assert chunks.replaced == b"3\r\nabc"
    with pytest.raises(Refused, match="chunk size that is not valid"):
        chunks.feed(b"\n")


def test_long_lines() -> None:
    """A size line has a bound, complete or not."""
    longest = b"1;" + b"a" * 1020 + b"\r\n"
    assert Chunks().feed(longest) == -1
    for line in (b"1;" + b"a" * 1021 + b"\r\n", b"1;" + b"a" * 1022):
        with pytest.raises(Refused, match="chunk size that is too long"):
            Chunks().feed(line)


def test_long_trailers() -> None:
    """Trailers have a bound, complete or not."""
    trailers = b"A: " + b"b" * (8192 - 7) + b"\r\n\r\n"
    assert Chunks().feed(b"0\r\n" + trailers) == 3 + 8192
    for longer in (b"A" + trailers, b"A" + trailers[:-1]):
        with pytest.raises(Refused, match="trailers are too long"):
            Chunks().feed(b"0\r\n" + longer)


def test_huge() -> None:
    """A chunk may be larger than any memory."""
    chunks = Chunks()
    assert chunks.feed(b"f" * 15 + b"\r\nabc") == -1
    assert chunks.feed(b"0\r\n\r\n") == -1


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    st.lists(st.integers(1, 20), min_size=1),
    st.booleans(),
)
def test_round_trip(parts: list[bytes], sizes: list[int], has_extensions: bool) -> None:
    """Any body is passed on with its data, in whatever slices it arrives."""
    extension = b";a=b" if has_extensions else b""
    body = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
    body += b"0%b\r\n\r\n" % extension
    pieces: list[bytes] = []
    at = 0
    while at < len(body):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(body[at : at + size])
        at += size
    passed, end = feed(pieces)
    assert (passed, end) == (body.replace(b";a=b\r\n", b"\r\n"), len(pieces[-1])) or (
        any(b";a=b\r\n" in part for part in parts)
    )
    assert feed(pieces, only_data=True)[0] == b"".join(parts)
