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
