"""How rate limits are written."""

import pytest

from lbconsul.config.rate_limit import RateLimit, rate_limit


@pytest.mark.parametrize(
    ("text", "limit", "interval"),
    [
        ("100/s", RateLimit(100, 1.0, "s", 100), 0.01),
        ("10/m", RateLimit(10, 60.0, "m", 10), 6.0),
        ("100/h", RateLimit(100, 3600.0, "h", 100), 36.0),
        ("1/d", RateLimit(1, 86400.0, "d", 1), 86400.0),
        ("50/10s", RateLimit(50, 10.0, "10s", 50), 0.2),
        ("5/s;burst=20", RateLimit(5, 1.0, "s", 20), 0.2),
        ("5/s;by=route;dry-run", RateLimit(5, 1.0, "s", 5, "route", "", 64, True), 0.2),
        (
            "5/s;by=header:x-api-key;ipv6-prefix=56",
            RateLimit(5, 1.0, "s", 5, "header", "x-api-key", 56),
            0.2,
        ),
    ],
)
def test_sound(text: str, limit: RateLimit, interval: float) -> None:
    """A limit is shown as it is written."""
    assert rate_limit(text) == limit
    assert str(limit) == text
    assert limit.interval == interval


def test_usual_terms_need_not_be_written() -> None:
    """Terms that say what holds without them are left out when it is shown."""
    assert str(rate_limit("9/s;burst=9;by=IP;ipv6-prefix=64")) == "9/s"
    assert rate_limit("9/s;by=header:X-Api-Key").header == "x-api-key"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "'' must be a number and a time, such as 100/s"),
        ("100", "must be a number and a time"),
        ("0/s", "must be a number and a time"),
        ("5/0s", "must be a number and a time"),
        ("2000000/s", "up to 1000000"),
        ("5/ms", "must be a number and a time"),
        ("5/s;burst=0", "burst= must be a number from 1 to 1000000"),
        ("5/s;burst=x", "burst= must be a number"),
        ("5/s;burst", "'burst' must be burst=NUMBER, by=ip"),
        ("5/s;", "'' must be burst=NUMBER"),
        ("5/s;dry-run=on", "'dry-run=on' must be"),
        ("5/s;by=ip;by=ip", "by is given twice"),
        ("5/s;by=cookie", "by=cookie must be by=ip, by=header:NAME"),
        ("5/s;by=ip:x", "by=ip:x must be"),
        ("5/s;by=header", "by=header must be"),
        ("5/s;by=header:a b", "by=header:a b must be"),
        ("5/s;ipv6-prefix=8", "ipv6-prefix= must be a number from 16 to 128"),
        ("5/s;ipv6-prefix=129", "ipv6-prefix= must be a number from 16 to 128"),
    ],
)
def test_mistaken(text: str, error: str) -> None:
    """A mistake is told with what would be right."""
    with pytest.raises(ValueError) as caught:
        rate_limit(text)
    assert error in str(caught.value)
