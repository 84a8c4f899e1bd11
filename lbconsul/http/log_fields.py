"""Header fields that the operator wants in the access log.  Pure."""

import re
from collections.abc import Iterable
from typing import Self

from attrs import frozen

from lbconsul.http.log_text import FIELD, escaped

_Patterns = tuple[tuple[str, re.Pattern[bytes]], ...]


@frozen
class LogFields:
    """Which fields of requests and of responses the lines of requests have."""

    _request: _Patterns
    _response: _Patterns

    @classmethod
    def of(cls, names: Iterable[str]) -> Self | None:
        """What the option ``log-fields`` says; None if it says nothing.

        Each name is ``request:NAME`` or ``response:NAME``, in lower case.
        """
        patterns = [(name, _pattern(name.partition(":")[2])) for name in names]
        if not patterns:
            return None
        return cls(
            tuple(each for each in patterns if each[0].startswith("request:")),
            tuple(each for each in patterns if each[0].startswith("response:")),
        )

    @property
    def needs_response(self) -> bool:
        """Whether there are any of responses."""
        return bool(self._response)

    def texts(self, request: bytes, response: bytes) -> dict[str, str]:
        """The values in two heads, by name, of those that are there.

        Heads need not be valid; what follows them does not count.  Several lines of one
        name are one value.  Each is bounded and escaped.
        """
        return {
            **_texts(self._request, request),
            **_texts(self._response, response),
        }


def _pattern(name: str) -> re.Pattern[bytes]:
    return re.compile(rb"(?mi)^%b:([^\r\n]*)" % re.escape(name).encode())


def _texts(patterns: _Patterns, head: bytes) -> dict[str, str]:
    if not patterns:
        return {}
    head = head.partition(b"\r\n\r\n")[0]
    found = {
        name: b", ".join([each.strip() for each in pattern.findall(head)])
        for name, pattern in patterns
    }
    return {name: escaped(value, FIELD) for name, value in found.items() if value}
