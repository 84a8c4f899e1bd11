"""Parses the option that says what a check does.

As in `lbconsul.config.values`, the function raises `ValueError` whose text says what
would be right.
"""

import re

from lbconsul.config.check import USUAL, Probe
from lbconsul.config.http_values import upstream_host

_METHODS = ("GET", "HEAD")

#: The longest path, and the most ranges of statuses.
_LONGEST_PATH, _MOST_RANGES = 1024, 20

#: What a request's target may hold (RFC 9112, 3.2.1) and a mapping's text can: no
#: comma, no semicolon.
_PATH = re.compile(r"/[!$%&'()*+\-./0-9:=?@A-Z_a-z~]*")
_RANGE = re.compile(r"([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?")

_FORM = (
    "must be tcp, /PATH or off; behind the path may follow ;status=200-399, ;host=NAME"
    " and ;method=HEAD"
)


def probe(text: str) -> Probe | None:
    """``tcp``, or ``/PATH[;status=RANGES][;host=NAME][;method=METHOD]``; or ``off``."""
    if text == "off":
        return None
    if text == "tcp":
        return Probe()
    path, *settings = text.split(";")
    if not _PATH.fullmatch(path) or len(path) > _LONGEST_PATH:
        raise ValueError(_FORM)
    found = dict[str, str]()
    for each in settings:
        name, equals, value = each.partition("=")
        if name not in ("status", "host", "method") or not equals or not value:
            raise ValueError(_FORM)
        if name in found:
            raise ValueError(f"{name} is given twice")
        found[name] = value
    method = found.get("method", "GET").upper()
    if method not in _METHODS:
        raise ValueError("method must be GET or HEAD")
    statuses = _statuses(found["status"]) if "status" in found else USUAL
    return Probe(path, method, statuses, _host(found.get("host", "")))


def _host(text: str) -> str:
    if not text:
        return ""
    try:
        if text in ("keep", "address"):
            raise ValueError
        return upstream_host(text)
    except ValueError:
        raise ValueError("host must be a host name such as api.internal") from None


def _statuses(text: str) -> tuple[tuple[int, int], ...]:
    """Ranges of statuses with ``|`` between them: ``200-299|401``."""
    found = []
    for each in text.split("|"):
        match = _RANGE.fullmatch(each)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise ValueError("status must be as 200-399 or 200-299|401")
        found.append((first, last))
    if len(found) > _MOST_RANGES:
        raise ValueError(f"status must have at most {_MOST_RANGES} ranges")
    return tuple(found)
