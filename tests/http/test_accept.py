"""Which of several types a client prefers."""

import pytest

from lbconsul.http.accept import accept_of, preferred

JSON, HTML, TEXT = b"application/json", b"text/html", b"text/plain"

FIREFOX = (
    b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
    b"image/png,image/svg+xml,*/*;q=0.8"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (FIREFOX, HTML),
        (b"", TEXT),
        (b"*/*", TEXT),
        (b"application/json", JSON),
        (b"APPLICATION/JSON", JSON),
        (b"application/*", JSON),
        (b"text/*", HTML),
        (b"application/json, text/plain, */*", JSON),  # axios
        (b"text/html;q=0.5, application/json;q=0.6", JSON),
        (b"text/html;q=0.6, application/json;q=0.5", HTML),
        (b"text/html ; level=1 ; Q=0.2 , application/json; q=0.10", HTML),
        (b"text/html;q=0, */*", TEXT),
        (b"text/plain;q=0, */*", HTML),
        (b"text/*;q=0.1, text/plain;q=0, */*;q=0", HTML),
        (b"text/html;q=1.001, application/json;q=0.1", JSON),
        (b"text/html;q=, application/json;q=0.1", JSON),
        (b"text/html;q=-1", TEXT),
        (b"image/png", TEXT),
        (b"application/json;q=0", TEXT),
        (b"text, /, html/, ;q=1, ,application/json", JSON),
        (b"text/html/x", TEXT),
        (b"\xff\xfe/\x00", TEXT),
        (b"image/png," * 60 + b"text/html", TEXT),
    ],
)
def test_preferred(accept: bytes, expected: bytes) -> None:
    """The best quality wins, then the type that is named, then the server's order."""
    assert preferred(accept, (JSON, HTML, TEXT)) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"\r\n", b""),
        (b"Host: a\r\n\r\n", b""),
        (b"Accept: text/html\r\n\r\n", b"text/html"),
        (b"Host: a\r\naccept:\ttext/html\r\nX: 1\r\n\r\n", b"text/html"),
        (b"Accept: a/b\r\nAccept-Language: de\r\nACCEPT: c/d\r\n\r\n", b"a/b, c/d"),
        (b"X-Accept: a/b\r\nX: Accept: a/b\r\n\r\n", b""),
    ],
)
def test_accept_of(lines: bytes, expected: bytes) -> None:
    """The value is found among the lines of a head, wherever it stands."""
    assert accept_of(lines) == expected
