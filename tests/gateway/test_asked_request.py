"""The request that a gateway is asked about, before any mapping has it."""

from typing import Any

import pytest

from lbconsul.admin.why import Question
from lbconsul.errors import CannotExplain
from lbconsul.gateway.asked_request import AskedRequest


def refused(url: str = "http://example.com/", **asked: Any) -> str:
    """Why no request can be made of this."""
    with pytest.raises(CannotExplain) as caught:
        AskedRequest.of(Question(url, **asked))
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "scheme", "port", "host", "target"),
    [
        ("http://example.com", "http", 80, "example.com", "/"),
        ("HTTPS://example.com?a=/", "https", 443, "example.com", "/?a=/"),
        ("example.com:81/a?b#c", "http", 81, "example.com:81", "/a?b"),
        ("http://[::1]:81/", "http", 81, "[::1]:81", "/"),
    ],
)
def test_url(url: str, scheme: str, port: int, host: str, target: str) -> None:
    """The URL says scheme, port, host, and what is asked for."""
    asked = AskedRequest.of(Question(url))
    assert (asked.scheme, asked.port, asked.host) == (scheme, port, host)
    assert asked.target == target


def test_host() -> None:
    """A Host among the fields stands for that of the URL, whose port is meant."""
    fields = (("HOST", " www.example.com "), ("A", "b"))
    asked = AskedRequest.of(Question("http://127.0.0.1:81/", "PUT", fields))
    assert (asked.port, asked.host) == (81, "www.example.com")
    assert (asked.method, asked.fields) == ("PUT", (("A", "b"),))
    assert asked.server_name == "www.example.com"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "must be http://HOST:PORT/PATH"),
        ("ftp://example.com/", "must be http://HOST:PORT/PATH or https://..."),
        ("http://", "must be http://HOST:PORT/PATH"),
        ("http://example.com/a b", "with blanks and other letters percent-encoded"),
        ("http://example.com/\r\nX: y", "percent-encoded"),
        ("http://exämple.com/", "percent-encoded"),
        ("http://user@example.com/", "host is not valid"),
        ("http://example.com:99999/", "host has a port that is not valid"),
    ],
)
def test_no_url(url: str, why: str) -> None:
    """A URL that no client could have asked for is refused: it says what is right."""
    assert why in refused(url)


@pytest.mark.parametrize("field", [("", "a"), ("A B", "c"), ("A", "b\r\nc: d")])
def test_no_field(field: tuple[str, str]) -> None:
    """So is a field that would be something else."""
    assert "must be Name: value" in refused(fields=(field,))


def test_no_method() -> None:
    """So is a method of two words."""
    assert refused(method="GET /") == "method: 'GET /' must be one word"
