"""Parses single values of HTTP mode.

As in `lbconsul.config.values`, each function raises `ValueError` whose text says what
would be right.
"""

import re

from lbconsul.config.address_values import is_host, port
from lbconsul.config.values import printable

#: What another instance may be tried for.
RETRY_ON = frozenset({"502", "503", "504", "timeout"})

#: Fields that hold passwords, tokens or the names of sessions, by their names in lower
#: case.
SECRET_FIELDS = frozenset(
    [
        "authorization", "cookie", "proxy-authorization", "set-cookie", "x-api-key",
        "x-auth-token", "x-csrf-token", "x-amz-security-token",
    ]
)  # fmt: skip

#: The most fields that a log line can have beside its own, and their longest name.
_MOST_FIELDS, _LONGEST_NAME = 10, 64

_LOG_FIELD = re.compile(r"(request|response):([!#$%&'*+.^_`|~0-9a-z-]+)")


def retry_on(text: str) -> frozenset[str]:
    """Some of `RETRY_ON`, with commas between them; none for ``off``."""
    if text == "off":
        return frozenset()
    words = frozenset(re.split(r"[,+]", text))
    if not words <= RETRY_ON:
        raise ValueError(
            f"must be off, or some of {','.join(sorted(RETRY_ON))} with commas between"
        )
    return words


def log_fields(text: str) -> tuple[str, ...]:
    """Some of ``request:NAME`` and ``response:NAME``; none for ``off``.

    Fields that hold secrets are refused: logs are read by more people than requests.
    """
    if text == "off":
        return ()
    found = [_log_field(each.strip(" ").lower()) for each in text.split(",")]
    if len(set(found)) < len(found):
        raise ValueError("must name each field once")
    if len(found) > _MOST_FIELDS:
        raise ValueError(f"must have at most {_MOST_FIELDS} fields")
    return tuple(found)


def _log_field(text: str) -> str:
    match = _LOG_FIELD.fullmatch(text)
    if match is None or len(match[2]) > _LONGEST_NAME:
        raise ValueError(
            f"{text!r} must be request:NAME or response:NAME, such as request:x-tenant;"
            " or off"
        )
    # CGI takes other characters for a dash.
    if re.sub(r"[^0-9a-z]", "-", match[2]) in SECRET_FIELDS:
        raise ValueError(f"{match[2]} must not be in a log: it holds secrets")
    return text


def password_file(text: str) -> str:
    """The path of a file; empty for ``off``."""
    return "" if text == "off" else printable(text)


def realm(text: str) -> str:
    """Text that can stand in quotes in a header field."""
    if not re.fullmatch(r"[ !#-\[\]-~]{1,100}", text):
        raise ValueError(
            "must be 1 to 100 characters of ASCII without quotes and backslashes"
        )
    return text


def upstream_host(text: str) -> str:
    """``address``, or a host with or without a port; empty for ``keep``."""
    if text == "keep":
        return ""
    host, colon, number = text, "", ""
    if not text.endswith("]"):
        host, colon, number = text.rpartition(":")
    if not colon:
        host = text
    if not text.isascii() or not is_host(host):
        raise ValueError("must be keep, address, or a host name such as api.internal")
    if colon:
        port(number)
    return text
