"""A rate limit: how often each client may do something, as a frozen value."""

import re

from attrs import frozen

#: Units of the time in which something may happen so often, in seconds.
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"(\d{1,7})/(\d{0,5})([smhd])")

#: The most that a limit lets happen in its time, and at once.
_MOST = 1_000_000

#: The prefixes of IPv6 addresses that can be one client, in bits; and that which one
#: client usually has for itself (RFC 6177).
_SHORTEST, _LONGEST, SITE = 16, 128, 64

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,64}")

#: What clients are told apart by.
IP, HEADER, ROUTE = "ip", "header", "route"


@frozen
class RateLimit:
    """At most `count` in `period` seconds for each client, and `burst` at once."""

    count: int
    period: float
    #: The period as it is written: ``s``, ``10s``, ``m``.
    unit: str
    burst: int
    #: ``ip``, ``header`` or ``route``: all clients of a row together.
    by: str = IP
    #: The name of the header field in lower case, if it is by header.
    header: str = ""
    #: The bits of an IPv6 address that make one client.
    ipv6_prefix: int = SITE
    #: Whether it only counts what it would refuse.
    is_dry_run: bool = False
    #: The pattern of the route that it was given to; empty: it was the mapping, whose
    #: routes count with it.
    route: str = ""

    @property
    def interval(self) -> float:
        """Seconds for each one in the long run."""
        return self.period / self.count

    def __str__(self) -> str:
        words = [f"{self.count}/{self.unit}"]
        if self.burst != self.count:
            words.append(f"burst={self.burst}")
        if self.by != IP:
            words.append(f"by={self.by}" + (self.header and f":{self.header}"))
        if self.ipv6_prefix != SITE:
            words.append(f"ipv6-prefix={self.ipv6_prefix}")
        if self.is_dry_run:
            words.append("dry-run")
        return ";".join(words)


def rate_limit(text: str) -> RateLimit:
    """A limit from ``100/s;burst=200;by=header:x-api-key``.

    :raises ValueError: it is none; the text says what would be right.
    """
    rate, *terms = text.split(";")
    match = _RATE.fullmatch(rate)
    if match is None or not 0 < int(match[1]) <= _MOST or match[2].startswith("0"):
        raise ValueError(
            f"{rate!r} must be a number and a time, such as 100/s, 10/m, 100/h or"
            f" 50/10s, up to {_MOST}"
        )
    count, period = int(match[1]), int(match[2] or 1) * _UNITS[match[3]]
    values = _terms(terms)
    by, _, header = values.get("by", IP).partition(":")
    return RateLimit(
        count,
        period,
        match[2] + match[3],
        _number("burst", values.get("burst", str(count)), 1, _MOST),
        by,
        header,
        _number(
            "ipv6-prefix", values.get("ipv6-prefix", str(SITE)), _SHORTEST, _LONGEST
        ),
        "dry-run" in values,
    )


def _terms(terms: list[str]) -> dict[str, str]:
    """What follows the rate, by name."""
    values = dict[str, str]()
    for each in terms:
        name, equals, value = each.partition("=")
        if name in values:
            raise ValueError(f"{name} is given twice")
        if name == "by" and equals:
            values[name] = _by(value)
        elif (name in ("burst", "ipv6-prefix") and equals) or each == "dry-run":
            values[name] = value
        else:
            raise ValueError(
                f"{each!r} must be burst=NUMBER, by=ip, by=header:NAME, by=route,"
                " ipv6-prefix=BITS or dry-run"
            )
    return values


def _by(value: str) -> str:
    """What clients are told apart by, with the name of a field in lower case."""
    kind, colon, name = value.lower().partition(":")
    if kind == HEADER and _HEADER.fullmatch(name):
        return f"{kind}:{name}"
    if kind not in (IP, ROUTE) or colon:
        raise ValueError(
            f"by={value} must be by=ip, by=header:NAME such as by=header:x-api-key, or"
            " by=route"
        )
    return kind


def _number(name: str, text: str, least: int, most: int) -> int:
    if not (text.isdecimal() and text.isascii() and len(text) <= 7):
        text = "0"
    if not least <= int(text) <= most:
        raise ValueError(f"{name}= must be a number from {least} to {most}")
    return int(text)
