"""Parses the values of options that bring a client to the same instance again.

As in `lbconsul.config.values`, each function raises `ValueError` whose text says what
would be right.
"""

import re

#: What a name of a field or cookie consists of (RFC 9110, 5.6.2), and its length.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")

#: The name of the cookie where none is given.
COOKIE = "lbconsul"

#: A path without what would end it in a field.
_PATH = re.compile(r"/[!-+\--:<-~]{0,254}")

#: Values of ``SameSite``, and of ``Secure``.
SAME_SITE, SECURE = ("lax", "none", "strict"), ("auto", "off", "on")

_LEAST_FACTOR, _MOST_FACTOR = 101, 1000


def hash_by(text: str) -> str:
    """``source``, ``uri``, ``header:NAME`` or ``cookie:NAME``."""
    kind, colon, name = text.partition(":")
    if colon and kind in ("header", "cookie") and _NAME.fullmatch(name):
        return f"{kind}:{name.lower()}" if kind == "header" else text
    if text not in ("source", "uri"):
        raise ValueError(
            "must be source, uri, header:NAME or cookie:NAME, such as header:x-tenant"
        )
    return text


def sticky(text: str) -> str:
    """The name of the cookie of ``cookie`` or ``cookie:NAME``; empty for ``off``."""
    kind, colon, name = text.partition(":")
    if text == "off":
        return ""
    if kind != "cookie" or not _NAME.fullmatch(name if colon else COOKIE):
        raise ValueError("must be off, cookie or cookie:NAME, such as cookie:SRV")
    return name or COOKIE


def cookie_path(text: str) -> str:
    """The path of a cookie (RFC 6265, 4.1.1)."""
    if not _PATH.fullmatch(text):
        raise ValueError("must be a path such as / or /app, of at most 255 characters")
    return text


def balance_factor(text: str) -> int:
    """Percent from 101 to 1000; 0 for ``off``."""
    if text == "off":
        return 0
    factor = int(text) if re.fullmatch(r"\d{1,4}", text) else 0
    if not _LEAST_FACTOR <= factor <= _MOST_FACTOR:
        raise ValueError(
            f"must be off, or percent from {_LEAST_FACTOR} to {_MOST_FACTOR}"
        )
    return factor
