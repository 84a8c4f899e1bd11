"""Parses single values of HTTP mode.

As in `lbconsul.config.values`, each function raises `ValueError` whose text says what
would be right.
"""

import re

from lbconsul.config.address_values import is_host, port

#: What another instance may be tried for.
RETRY_ON = frozenset({"502", "503", "504", "timeout"})


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
