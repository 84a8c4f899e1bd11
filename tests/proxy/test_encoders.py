"""Content is compressed as it comes, and is the same again."""

import gzip
import zlib

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.http.chunks import Chunks
from lbconsul.proxy.encoders import EncodedBody, encoder

UNPACK = {b"gzip": gzip.decompress, b"br": brotli.decompress}

PARTS = st.lists(st.binary(max_size=3000) | st.just(b"text " * 500), max_size=8)


def data_of(chunked: bytes) -> bytes:
    """The data of a whole chunked body."""
    chunks = Chunks(only_data=True)
    assert chunks.feed(chunked) == len(chunked)
    return chunked if chunks.replaced is None else chunks.replaced


@given(
    parts=PARTS,
    coding=st.sampled_from(sorted(UNPACK)),
    was_chunked=st.booleans(),
    is_chunked=st.booleans(),
    flushes=st.booleans(),
    cut=st.integers(1, 999),
)
def test_what_comes_out(
    parts: list[bytes],
    coding: bytes,
    was_chunked: bool,
    is_chunked: bool,
    flushes: bool,
    cut: int,
) -> None:
    """However a body is divided, with chunks or without, the client gets it."""
    whole = b"".join(parts)
    comes = whole
    if was_chunked:
        comes = b"".join(b"%x;a=b\r\n%b\r\n" % (len(p), p) for p in parts if p)
        comes += b"0\r\nX-Note: x\r\n\r\n"
    body = EncodedBody(
        encoder(coding, 4), was_chunked=was_chunked, is_chunked=is_chunked
    )
    sent = b""
    pieces = [comes[at : at + cut] for at in range(0, len(comes), cut)] or [b""]
    for number, piece in enumerate(pieces, 1):
        is_over = number == len(pieces)
        sent += body.encode(memoryview(piece), flushes=flushes, is_over=is_over)
    assert UNPACK[coding](data_of(sent) if is_chunked else sent) == whole


@pytest.mark.parametrize("coding", sorted(UNPACK))
def test_pieces_are_not_held_back(coding: bytes) -> None:
    """A client can read what has come so far, though the response goes on."""
    body = EncodedBody(encoder(coding, 4), was_chunked=False, is_chunked=False)
    unpacked: list[bytes] = []
    gunzip, unbrotli = zlib.decompressobj(31), brotli.Decompressor()
    unpack = gunzip.decompress if coding == b"gzip" else unbrotli.process
    for number in range(3):
        piece = b"data: %d\n\n" % number
        sent = body.encode(piece, flushes=True, is_over=False)
        unpacked.append(unpack(sent))
    assert unpacked == [b"data: %d\n\n" % number for number in range(3)]
    assert body.encode(b"", flushes=True, is_over=False) == b""
