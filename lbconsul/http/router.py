"""Finds the route of a request.  Pure.

The host decides first: a name before a wildcard, a longer wildcard before a shorter
one, and routes for any host last.  Of one host's routes that of exactly the path comes
first, then the longest path of which the request's is a part, whole segments only: to
``/api`` belong ``/api`` and ``/api/x``, but not ``/apix``; to ``/api/`` belongs only
what is below it.  Of routes with one path those with conditions come first
(`lbconsul.config.route_pattern`).  The order in which routes are written means nothing.

Where no route of a host takes the request, those of the next less specific host may, as
in Traefik and fabio; in nginx and Envoy the first virtual host decides alone.  Beside
a service for everything else, ``example.com/api`` is meant as an exception from it, and
should not make an error of all other paths of that host.  A route without an instance
is found all the same: what it answers is not another route's.
"""

import re
from bisect import insort
from collections.abc import Mapping
from itertools import chain
from typing import Generic, TypeVar

from attrs import frozen

from lbconsul.config.route_pattern import RoutePattern
from lbconsul.config.server_names import ServerNames
from lbconsul.http.fields import Fields
from lbconsul.steps import Steps, finish

Value = TypeVar("Value")

_SLASH = ord("/")


@frozen
class Candidate(Generic[Value]):
    """A route that was considered for a request."""

    pattern: RoutePattern
    value: Value
    #: What about the request does not match; empty if everything does.
    mismatch: str


@frozen
class Explanation(Generic[Value]):
    """Why a request has its route."""

    #: All routes that are for its host, in the order in which they are considered.
    candidates: tuple[Candidate[Value], ...]
    #: None: no route takes the request.
    winner: Candidate[Value] | None
    #: How many routes are for other hosts only.
    others: int


class _Entry(Generic[Value]):
    """A route at one host and path."""

    __slots__ = ("_header", "_methods", "is_plain", "pattern", "value")

    def __init__(self, pattern: RoutePattern, value: Value) -> None:
        self.pattern, self.value = pattern, value
        self._methods = frozenset(each.encode("ascii") for each in pattern.methods)
        self._header = _line(pattern) if pattern.header else None
        #: Whether it has no conditions.
        self.is_plain = not pattern.methods and not pattern.header

    def takes(self, method: bytes, fields: Fields) -> bool:
        """Whether the conditions are met."""
        if self._methods and method not in self._methods:
            return False
        return self._header is None or self._header.search(fields.raw) is not None

    def mismatch(self, path: bytes, method: bytes, fields: Fields) -> str:
        """What about a request for this host does not match; empty if all does."""
        pattern = self.pattern
        own = pattern.path.encode("ascii")
        if path != own:
            if pattern.is_exact:
                return f"the path is not {pattern.path}"
            if own and not path.startswith(own.removesuffix(b"/") + b"/"):
                return f"the path is not {_below(pattern.path)}"
        if self._methods and method not in self._methods:
            return f"the method is not {' or '.join(sorted(pattern.methods))}"
        if self._header is None or self._header.search(fields.raw):
            return ""
        value = f": {pattern.value}" if pattern.value else ""
        return f"there is no field {pattern.header}{value}"


def _below(path: str) -> str:
    return f"below {path}" if path.endswith("/") else f"{path} or below it"


def _line(pattern: RoutePattern) -> re.Pattern[bytes]:
    """Finds the line of a field among those of a request."""
    name, value = (
        re.escape(each.encode("ascii")) for each in (pattern.header, pattern.value)
    )
    wanted = rb"[ \t]*%b[ \t]*\r\n" % value if value else b""
    return re.compile(rb"(?:\A|\r\n)(?i:%b):%b" % (name, wanted))


class _Host(Generic[Value]):
    """The routes of one host, by path."""

    __slots__ = (
        "_any",
        "_exact",
        "_lengths",
        "_longest",
        "_ordered",
        "_prefixes",
        "next",
    )

    def __init__(self) -> None:
        #: The next less specific host, whose routes come after these.
        self.next: _Host[Value] | None = None
        # Those of one path are in the order in which they are considered.
        self._any: list[_Entry[Value]] = []
        self._exact: dict[bytes, list[_Entry[Value]]] = {}
        self._prefixes: dict[bytes, list[_Entry[Value]]] = {}
        self._lengths = frozenset[int]()
        self._longest = 0
        self._ordered: list[_Entry[Value]] | None = None

    def add(self, entry: _Entry[Value]) -> None:
        """Add a route."""
        path = entry.pattern.path.encode("ascii")
        if entry.pattern.is_exact:
            same = self._exact.setdefault(path, [])
        elif path:
            same = self._prefixes.setdefault(path, [])
            if len(path) not in self._lengths:
                self._lengths |= {len(path)}
            self._longest = max(self._longest, len(path))
        else:
            same = self._any
        insort(same, entry, key=_order)
        self._ordered = None

    @property
    def routes(self) -> list[_Entry[Value]]:
        """All of them, in the order in which they are considered."""
        if self._ordered is None:
            by_path = (*self._exact.values(), *self._prefixes.values(), self._any)
            self._ordered = sorted(chain.from_iterable(by_path), key=_order)
        return self._ordered

    def find(self, path: bytes, method: bytes, fields: Fields) -> _Entry[Value] | None:
        """The first route that takes the request."""
        if path in self._exact:
            for entry in self._exact[path]:
                if entry.is_plain or entry.takes(method, fields):
                    return entry
        lengths = self._lengths
        if lengths:
            end = _first_end(path, self._longest)
            while end > 1:
                if end in lengths:
                    for entry in self._prefixes.get(path[:end], ()):
                        if entry.is_plain or entry.takes(method, fields):
                            return entry
                is_slash = path[end - 1] == _SLASH
                end = end - 1 if is_slash else path.rfind(b"/", 0, end) + 1
        for entry in self._any:
            if entry.is_plain or entry.takes(method, fields):
                return entry
        return None


def _first_end(path: bytes, longest: int) -> int:
    """Where the longest part of the path ends that can be a route's.

    It is the whole path, or has a slash at its end or behind it; however many slashes a
    client sends, only as many are looked at as a route can have.
    """
    if len(path) <= longest:
        return len(path)
    slash = path.rfind(b"/", 0, longest + 1)
    return slash + 1 if slash < longest else slash


def _order(entry: _Entry[Value]) -> tuple[object, ...]:
    pattern = entry.pattern
    rank = tuple(not each for each in pattern.rank)
    place = (not pattern.is_exact, -len(pattern.path), pattern.path)
    return *place, rank, str(pattern)


class Router(Generic[Value]):
    """A table from the texts of `RoutePattern` to values; see the module.

    A lookup costs a few steps for each label of the host and each segment of the path,
    however many routes there are.
    """

    __slots__ = ("_count", "_default", "_hosts")

    def __init__(
        self, values: Mapping[str, Value], default: Value | None = None
    ) -> None:
        """`default` is for requests that no route takes."""
        self._hosts: ServerNames[_Host[Value]] = finish(_hosts(values))
        self._count = len(values)
        self._default = default

    @classmethod
    def making(cls, values: Mapping[str, Value]) -> Steps["Router[Value]"]:
        """Make one without a default in steps: of 10,000 routes it takes a while."""
        router = cls({})
        router._hosts = yield from _hosts(values)
        router._count = len(values)
        return router

    def with_default(self, default: Value | None) -> "Router[Value]":
        """The same routes, with this default."""
        router = Router[Value]({}, default)
        router._hosts, router._count = self._hosts, self._count
        return router

    def find(
        self, host: str | None, path: bytes, method: bytes, fields: Fields
    ) -> Value | None:
        """The value for a request; None if it has no route.

        `host` is as in `Host.name`, and None without a Host; the path as
        `normalized_path` returns it.
        """
        each = self._hosts.find(host)
        while each is not None:
            found = each.find(path, method, fields)
            if found is not None:
                return found.value
            each = each.next
        return self._default

    def explain(
        self, host: str | None, path: bytes, method: bytes, fields: Fields
    ) -> Explanation[Value]:
        """Why a request has its route; the parameters are those of `find`."""
        candidates = list[Candidate[Value]]()
        each = self._hosts.find(host)
        while each is not None:
            for route in each.routes:
                mismatch = route.mismatch(path, method, fields)
                candidates.append(Candidate(route.pattern, route.value, mismatch))
            each = each.next
        winner = next((one for one in candidates if not one.mismatch), None)
        others = self._count - len(candidates)
        return Explanation(tuple(candidates), winner, others)


def _hosts(values: Mapping[str, Value]) -> Steps[ServerNames[_Host[Value]]]:
    """The routes by host; each step adds one, or finds what comes after a host."""
    hosts: dict[str, _Host[Value]] = {}
    names = ServerNames[_Host[Value]]({})
    for text, value in values.items():
        pattern = RoutePattern.parse(text)
        host = hosts.get(pattern.host)
        if host is None:
            host = hosts[pattern.host] = _Host()
            names.add(pattern.host, host)
        host.add(_Entry(pattern, value))
        yield bool(pattern.header)  # to compile what finds it takes long
    for name, host in hosts.items():
        # A wildcard matches itself, and what its names match beside it.
        _, *others = names.matching(name)
        host.next = others[0] if others else None
        yield False
    return names
