"""Values of the options that bring a client to the same instance again."""

import pytest

from lbconsul.config import affinity_values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("source", "source"),
        ("uri", "uri"),
        ("header:X-Tenant", "header:x-tenant"),
        ("cookie:SID", "cookie:SID"),
    ],
)
def test_hash_by(text: str, value: str) -> None:
    """A field is named in any case, a cookie in its own."""
    assert affinity_values.hash_by(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "ip", "header", "header:", "header:a b", "cookie:a;b", "uri:x", "source:1",
     "cookie:" + "a" * 65],
)  # fmt: skip
def test_no_hash_by(text: str) -> None:
    """What else it could be is told."""
    with pytest.raises(ValueError, match="must be source, uri, header:NAME or cookie"):
        affinity_values.hash_by(text)


def test_balance_factor() -> None:
    """As HAProxy's: percent, or off."""
    assert affinity_values.balance_factor("off") == 0
    assert affinity_values.balance_factor("125") == 125


@pytest.mark.parametrize("text", ["", "100", "0", "1001", "125%", "1.25", "-150"])
def test_no_balance_factor(text: str) -> None:
    """Below 101 not all connections would have a place."""
    with pytest.raises(ValueError, match="must be off, or percent from 101 to 1000"):
        affinity_values.balance_factor(text)


def test_sticky() -> None:
    """A cookie of a name, or of the usual one."""
    assert affinity_values.sticky("off") == ""
    assert affinity_values.sticky("cookie") == "lbconsul"
    assert affinity_values.sticky("cookie:__Host-SRV") == "__Host-SRV"


@pytest.mark.parametrize(
    "text", ["", "on", "cookie:", "cookie:a b", "cookie:a=b", "ip"]
)
def test_not_sticky(text: str) -> None:
    """What a browser would not take is refused."""
    with pytest.raises(ValueError, match="must be off, cookie or cookie:NAME"):
        affinity_values.sticky(text)


def test_cookie_path() -> None:
    """A path of the site; what would end it in the field is refused."""
    assert affinity_values.cookie_path("/app/1") == "/app/1"
    for wrong in ("", "app", "/a;b", "/a b", "/" + "a" * 255, "/\r\nX: 1"):
        with pytest.raises(ValueError, match="must be a path such as / or /app"):
            affinity_values.cookie_path(wrong)
