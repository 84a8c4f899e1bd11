"""Parses the values of options that bring a client to the same instance again.

As in `lbconsul.config.values`, each function raises `ValueError` whose text says what
would be right.
"""

import re

#: What a name of a field or cookie consists of (RFC 9110, 5.6.2), and its length.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")

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
