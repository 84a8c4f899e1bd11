"""Which requests a route takes, by host, path, method and a field.  Pure."""

import re
from ipaddress import IPv6Address, ip_address
from typing import Self

from attrs import frozen

from lbconsul.config.server_names import ANY, read_pattern
from lbconsul.config.url_path import normalized

#: Options of a route that say which requests it takes, beside its pattern.
CONDITIONS = ("if-method", "if-header")

_PATTERN = re.compile(
    r"(?P<host>\[[^\]]*\]|[^=/]*)(?P<exact>=(?=/))?(?P<path>/.*)?", re.DOTALL
)
_CONDITIONS = re.compile(r"(?:if-method=([^,]+))?,?(?:if-header=(.+))?")
_LIKE_ADDRESS = re.compile(r"[\[:]|[0-9]\Z")
_METHOD = re.compile(r"[A-Z][A-Z0-9-]{0,31}")
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


@frozen
class RoutePattern:
    """Which requests a route takes.

    Its text is the pattern as the operator writes it, in canonical form, and behind a
    blank the conditions: ``example.com/api if-method=GET|HEAD,if-header=x-beta:1``.
    """

    #: A name, a wildcard, or `ANY`, as in `lbconsul.config.server_names`; or an IP
    #: address, without brackets.
    host: str = ANY
    #: In normal form.  It stands for all paths below it, too; empty for every path.
    path: str = ""
    #: Whether it is that path alone.
    is_exact: bool = False
    #: Empty: all.
    methods: frozenset[str] = frozenset()
    #: The field that a request must have, in lower case, and the value that one of its
    #: lines must have; empty: none, and any.
    header: str = ""
    value: str = ""

    @classmethod
    def read(cls, text: str, methods: str = "", header: str = "") -> Self:
        """Parse ``[HOST][/PATH]`` or ``[HOST]=/PATH``, and the values of conditions.

        :raises ValueError: one is invalid; the text says what would be right.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} must be HOST, HOST/PATH or HOST=/PATH")
        is_exact, path = bool(match["exact"]), match["path"] or ""
        if path:
            path = _path(path)
        if path == "/" and not is_exact:
            path = ""
        return cls(
            _host(match["host"] or ANY),
            path,
            is_exact,
            _methods(methods) if methods else frozenset(),
            *(_header(header) if header else ()),
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """The pattern that has this text.

        :raises ValueError: none has.
        """
        pattern, _, conditions = text.partition(" ")
        match = _CONDITIONS.fullmatch(conditions)
        if match is None:
            raise ValueError(f"{conditions!r} are no conditions")
        return cls.read(pattern, match[1] or "", match[2] or "")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.path and host == ANY:
            host = ""
        pattern = f"{host}{'=' if self.is_exact else ''}{self.path}"
        conditions = []
        if self.methods:
            conditions.append(f"if-method={'|'.join(sorted(self.methods))}")
        if self.header:
            value = f":{self.value}" if self.value else ""
            conditions.append(f"if-header={self.header}{value}")
        return f"{pattern} {','.join(conditions)}" if conditions else pattern

    @property
    def place(self) -> tuple[str, str, bool]:
        """What patterns have in common that differ in their conditions only."""
        return self.host, self.path, self.is_exact

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        """Of patterns at one place those with the higher rank come first.

        A method counts more than a field, as in Kubernetes' Gateway API
        (https://gateway-api.sigs.k8s.io/reference/spec/#httprouterule), and a field
        with a value more than one without.
        """
        return bool(self.methods), bool(self.header), bool(self.value)

    def ties_with(self, other: Self) -> bool:
        """Whether a request can match both, and nothing tells which comes first.

        A request with a field twice can match two values of it: it goes to the first
        by alphabet.
        """
        if self.place != other.place or self.rank != other.rank:
            return False
        if self.methods and not self.methods & other.methods:
            return False
        are_values = self.header == other.header and self.value != other.value
        return not are_values


def _host(text: str) -> str:
    if not _LIKE_ADDRESS.search(text):  # most are not, and to try costs half of it all
        return _host_name(text)
    try:
        address = ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return _host_name(text)
    if isinstance(address, IPv6Address) != text.startswith("["):
        raise ValueError(f"{text!r} must have brackets if it is an IPv6 address")
    return str(address)


def _host_name(text: str) -> str:
    try:
        return read_pattern(text)
    except ValueError as error:
        raise ValueError(f"{text!r} {error}") from None


def _path(text: str) -> str:
    if "?" in text or "#" in text:
        raise ValueError(f"{text!r} must be a path, without a query")
    try:
        return normalized(text)
    except ValueError as error:
        raise ValueError(f"{text!r} {error}") from None


def _methods(text: str) -> frozenset[str]:
    methods = text.split("|")
    if not all(map(_METHOD.fullmatch, methods)):
        raise ValueError("if-method must be methods in upper case, such as GET|HEAD")
    return frozenset(methods)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    value = value.strip()
    is_valid = not colon or _FIELD_VALUE.fullmatch(value)
    if not is_valid or not _FIELD_NAME.fullmatch(name):
        raise ValueError("if-header must be NAME or NAME:VALUE, such as x-beta:1")
    return name.lower(), value
