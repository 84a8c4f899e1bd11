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


def test_log_fields() -> None:
    """Fields for the log are named in any case; there may be none."""
    assert http_values.log_fields("off") == ()
    found = http_values.log_fields("request:X-Tenant, response:x-cache,response:age")
    assert found == ("request:x-tenant", "response:x-cache", "response:age")
    ten = [f"request:{number}" for number in range(10)]
    assert http_values.log_fields(",".join(ten)) == tuple(ten)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "'' must be request:NAME or response:NAME, such as request:x-tenant; or"),
        ("x-tenant", "'x-tenant' must be request:NAME or response:NAME"),
        ("request:", "'request:' must be"),
        ("request:a b", "'request:a b' must be"),
        ("request:" + "a" * 65, "'request:a*' must be"),
        ("request:a,", "'' must be"),
        ("trailer:a", "'trailer:a' must be"),
        ("request:a,request:A", "must name each field once"),
        (",".join(f"request:{n}" for n in range(11)), "must have at most 10 fields"),
        (
            "request:Authorization",
            "authorization must not be in a log: it holds secrets",
        ),
        ("request:cookie", "cookie must not"),
        ("response:set-cookie", "set-cookie must not"),
        ("request:x_api_key", "x_api_key must not"),
    ],
)
def test_no_log_fields(text: str, why: str) -> None:
    """What is no field, or holds secrets, is refused in one line."""
    with pytest.raises(ValueError, match=f"^{why}"):
        http_values.log_fields(text)


def test_realms() -> None:
    """What users are told stands in quotes in a field of ASCII."""
    assert http_values.realm("Staff only, please!") == "Staff only, please!"
    assert http_values.password_file("off") == ""
    for wrong in ("", 'a"b', "a\\b", "Bür", "a\nb", "a" * 101):
        with pytest.raises(ValueError, match="must be 1 to 100 characters of ASCII"):
            http_values.realm(wrong)
