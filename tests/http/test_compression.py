"""Which responses are compressed, for whom, and what their heads say then."""

import pytest

from lbconsul.config.compression import Compression
from lbconsul.http.compression import (
    IDENTITY,
    Compressing,
    chosen,
    encoded,
    not_modified,
    varied,
)
from lbconsul.http.head import Limits
from lbconsul.http.response import ResponseHead, ResponseParser, response_fields

BOTH = (b"br", b"gzip")

#: Accept-Encoding, and what is chosen of br and gzip.
CHOSEN = {
    b"gzip, deflate, br, zstd": b"br",
    b"gzip": b"gzip",
    b"x-gzip": b"gzip",
    b"GZIP ; q=0.5": b"gzip",
    b"br;q=0.5, gzip;q=0.8": b"gzip",
    b"br;q=0, *": b"gzip",
    b"*": b"br",
    b"*;q=0": IDENTITY,
    b"identity": IDENTITY,
    b"identity;q=0.5, gzip;q=0.5": b"gzip",
    b"identity, gzip;q=0.5": IDENTITY,
    b"identity;q=0": IDENTITY,
    b"identity;q=0, gzip": b"gzip",
    b"gzip;q=0": IDENTITY,
    b"gzip;q=2, br;q": IDENTITY,
    b"gzip;q=0.0001": IDENTITY,
    b"deflate, zstd": IDENTITY,
    b"": IDENTITY,
}


@pytest.mark.parametrize("accept", CHOSEN)
def test_codings(accept: bytes) -> None:
    """The client's preference counts, then the operator's (RFC 9110, 12.5.3)."""
    assert chosen(accept, BOTH) == CHOSEN[accept]


def rules(**options: object) -> Compressing:
    """The rules of these options."""
    how = Compression(codings=("br", "gzip"), **options)  # type: ignore[arg-type]
    return Compressing.of(how.codings, how.types, how.least)


REQUESTS = {
    b"Accept-Encoding: gzip": b"gzip",
    b"accept-encoding: gzip\r\nAccept-Encoding: br": b"br",
    b"Host: a": IDENTITY,
    b"Accept-Encoding: gzip\r\nCache-Control: no-cache, no-transform": IDENTITY,
}


@pytest.mark.parametrize("lines", REQUESTS)
def test_requests(lines: bytes) -> None:
    """A client that names no coding gets none, nor one that wants no transformation."""
    assert rules().coding(lines + b"\r\n\r\n") == REQUESTS[lines]


def response(*lines: str, status: int = 200) -> ResponseHead:
    """The head of a response with these lines."""
    text = "\r\n".join([f"HTTP/1.1 {status} OK", *lines, "", ""]).encode()
    parser = ResponseParser(response_fields(), Limits())
    head = parser.parse(text, 0, is_of_head=False)
    assert head is not None
    return head


TYPE = "Content-Type: application/json; charset=utf-8"

#: Lines of a response, and whether it might be compressed.
VARYING = {
    (TYPE,): True,
    ("content-type:TEXT/HTML",): True,
    ("Content-Type: image/svg+xml",): True,
    ("Content-Type: text/event-stream",): False,
    ("Content-Type: image/png",): False,
    ("Content-Type: application/grpc",): False,
    (): False,
    (TYPE, TYPE): False,
    (TYPE, "Content-Encoding: gzip"): False,
    (TYPE, "Content-Range: bytes 0-1/9"): False,
    (TYPE, "Trailer: Digest"): False,
    (TYPE, "Cache-Control: max-age=9, no-transform"): False,
    (TYPE, "X-Note: no-transform"): True,
}


@pytest.mark.parametrize("lines", VARYING)
def test_responses(lines: tuple[str, ...]) -> None:
    """Text is compressed, unless it is compressed, a part, or not to be changed."""
    assert rules().varies(response(*lines), -1) is VARYING[lines]


def test_sizes_and_types() -> None:
    """A small response is not worth it; other types may be named, events as well."""
    own = rules(least=10, types=("text/event-stream", "application/x-own"))
    assert own.varies(response("Content-Type: text/event-stream"), -1)
    assert own.varies(response("Content-Type: application/x-own"), 10)
    assert not own.varies(response("Content-Type: application/x-own"), 9)
    assert not own.varies(response("Content-Type: text/html"), 10)


@pytest.mark.parametrize("status", [204, 206, 304, 200, 404])
def test_statuses(status: int) -> None:
    """What has no content is not compressed, nor is a part; errors are."""
    found = rules().varies(response(TYPE, status=status), -1)
    assert found is (status not in (204, 206))


def test_vary() -> None:
    """Caches learn that another client may get another content, once."""
    for lines in (b"Vary: Origin\r\n", b""):
        assert varied(lines, lines) == lines + b"Vary: Accept-Encoding\r\n"
    for lines in (b"vary: origin, accept-encoding\r\n", b"Vary: *\r\n"):
        assert varied(lines, lines) == lines


def test_fields_of_the_content() -> None:
    """What is about the bytes that are not sent is left out; an ETag gets weak."""
    lines = (
        b"Content-Type: text/html\r\nContent-Length: 9\r\nAccept-Ranges: bytes\r\n"
        b'ETag: "a"\r\nContent-MD5: x\r\nDigest: x\r\nRepr-Digest: x\r\n'
        b"content-digest: x\r\n"
    )
    assert encoded(lines, b"gzip") == (
        b'Content-Type: text/html\r\nETag: W/"a"\r\nContent-Encoding: gzip\r\n'
    )
    weak = b'ETag: W/"a"\r\n'
    assert encoded(weak, b"br") == weak + b"Content-Encoding: br\r\n"


def test_not_modified() -> None:
    """What the client has is confirmed under the ETag that it was given."""
    lines = b'ETag: "a"\r\nDate: now\r\n'
    asked = b'If-None-Match: W/"b", W/"a"\r\n'
    assert not_modified(lines, asked) == b'ETag: W/"a"\r\nDate: now\r\n'
    assert not_modified(lines, b'If-None-Match: "a"\r\n') == lines
    assert not_modified(b"Date: now\r\n", asked) == b"Date: now\r\n"
