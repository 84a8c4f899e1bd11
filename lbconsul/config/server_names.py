"""Server names of TLS clients, and patterns of them that lead to values.  Pure.

A pattern is a name (``api.example.com``), a wildcard (``*.example.com``: every name
below ``example.com``, of any depth, but not ``example.com``), or ``*``: any client,
even one that sends no name.  A name comes before a wildcard, and a longer wildcard
before a shorter one, whatever their order.  So it is in nginx and in Envoy; in
certificates a ``*`` is one label only (RFC 9525, 6.3), but a route proves nothing.
"""

import re
from collections.abc import Mapping
from typing import Generic, TypeVar

Value = TypeVar("Value")

#: The pattern that every client matches.
ANY = "*"

#: Longest name in characters, without a final dot (RFC 1035, 2.3.4).
_LONGEST = 253

#: Labels of letters, digits, ``-`` and ``_``, the last of which is no number: URLs and
#: inet_aton(3) take such a name for an IPv4 address.
_NAME = re.compile(
    r"(?:[a-z0-9_-]{1,63}\.)*(?!(?:[0-9]+|0x[0-9a-f]*)$)[a-z0-9_-]{1,63}"
)


def canonical_name(text: str) -> str | None:
    """The server name in lower case and without a final dot; None if it is none.

    IP addresses are no server names (RFC 6066, 3).
    """
    if not text.isascii():  # some other letters are ASCII ones in lower case
        return None
    name = text.lower().removesuffix(".")
    return name if len(name) <= _LONGEST and _NAME.fullmatch(name) else None


def read_pattern(text: str) -> str:
    """A pattern in lower case and without a final dot.

    :raises ValueError: it is none; the text says what would be right.
    """
    if text == ANY:
        return text
    beginning = "*." if text.startswith("*.") else ""
    name = canonical_name(text.removeprefix(beginning))
    if name is None or len(beginning) + len(name) > _LONGEST:
        raise ValueError(_what_is_wrong(text))
    return beginning + name


def _what_is_wrong(text: str) -> str:
    if not text.isascii():
        return f"must be as clients send it{_encoded(text)}"
    if "*" in text.removeprefix("*."):
        return "may have a * as the whole first label only, as in *.example.com"
    if re.fullmatch(r"[\d.]+|\[?[0-9a-fA-F:]*:[0-9a-fA-F:.]*\]?", text):
        return "is an IP address, for which TLS clients send no server name"
    if re.fullmatch(r"[^:]+:\d*", text):
        return "must be without a port"
    return "must be a server name, such as api.example.com, *.example.com, or *"


def _encoded(text: str) -> str:
    """The ASCII form of an internationalized name, to be shown; empty if there is none.

    Python's codec has IDNA of 2003, which suffices for a hint.
    """
    try:
        return f", as in {text.encode('idna').decode()}"
    except UnicodeError:
        return ", in ASCII"


class ServerNames(Generic[Value]):
    """A table from patterns to values; a lookup costs one step for each label.

    The patterns are those that `read_pattern` returns.
    """

    __slots__ = ("_any", "_exact", "_wildcards")

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._exact: dict[str, Value] = {}
        self._wildcards: dict[str, Value] = {}
        self._any: Value | None = None
        for pattern, value in values.items():
            self.add(pattern, value)

    def add(self, pattern: str, value: Value) -> None:
        """Add a pattern: tables of very many are made in steps."""
        if not pattern.startswith("*"):
            self._exact[pattern] = value
        elif pattern == ANY:
            self._any = value
        else:
            self._wildcards[pattern[2:]] = value

    def find(self, name: str | None) -> Value | None:
        """The value for a client that sends this name, as `canonical_name` returns it.

        None if no pattern matches; a client without a name matches ``*`` alone.
        """
        if name is None:
            return self._any
        if name in self._exact:
            return self._exact[name]
        if self._wildcards:
            _, dot, name = name.partition(".")
            while dot:
                if name in self._wildcards:
                    return self._wildcards[name]
                _, dot, name = name.partition(".")
        return self._any

    def matching(self, name: str | None) -> list[Value]:
        """The values of all patterns that match; the first is the one that is found."""
        found: list[Value] = []
        if name is not None:
            if name in self._exact:
                found.append(self._exact[name])
            while name:
                name = name.partition(".")[2]
                if name in self._wildcards:
                    found.append(self._wildcards[name])
        if self._any is not None:
            found.append(self._any)
        return found
