"""Values of options of HTTP mode."""

import pytest

from lbconsul.config import http_values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("off", set()),
        ("503", {"503"}),
        ("502,timeout", {"502", "timeout"}),
        ("504+502", {"502", "504"}),
    ],
)
def test_retry_on(text: str, words: set[str]) -> None:
    """Each response to retry on is named."""
    assert http_values.retry_on(text) == words


@pytest.mark.parametrize("text", ["", "500", "on", "502,", "502 503", "5xx"])
def test_no_retry_on(text: str) -> None:
    """Other responses are passed on, and cannot be named."""
    with pytest.raises(
        ValueError, match="must be off, or some of 502,503,504,timeout with commas"
    ):
        http_values.retry_on(text)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("keep", ""),
        ("address", "address"),
        ("api.internal", "api.internal"),
        ("api.internal:8080", "api.internal:8080"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
    ],
)
def test_upstream_host(text: str, host: str) -> None:
    """Instances get the client's Host, their own address, or a name."""
    assert http_values.upstream_host(text) == host


@pytest.mark.parametrize(
    "text",
    ["", "a b", "http://a", "a/b", "::1", "a:", "a:0", "a:http", ":80", "ä.example"],
)
def test_no_upstream_host(text: str) -> None:
    """Anything else would be no Host."""
    with pytest.raises(ValueError, match="must be"):
        http_values.upstream_host(text)
