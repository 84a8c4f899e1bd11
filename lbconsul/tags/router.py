"""Finds the route of a request among those of tags, in fabio's order.  Pure.

The patterns of hosts are tried from the most specific one (`lbconsul.tags.hosts`), the
routes for any host last.  Of one host's routes the first is that whose path comes last
in byte order, of those that take the path of the request: of plain paths that is the
longest.  If none of them takes it, those of the next pattern may.
"""

import re
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from attrs import Factory, define

from lbconsul.config.route_pattern import RoutePattern
from lbconsul.config.server_names import ANY
from lbconsul.http.fields import Fields
from lbconsul.http.router import Candidate, Explanation
from lbconsul.tags import glob
from lbconsul.tags.hosts import is_literal, order, without_default_port
from lbconsul.tags.paths import matched
from lbconsul.tags.tag import RouteKey

Value = TypeVar("Value")

_SLASH = ord("/")

#: So many hosts are remembered with the patterns that they match.
_MOST_REMEMBERED = 1024


def _as_it_is(path: bytes) -> bytes:
    return path


@define(eq=False)
class _Host(Generic[Value]):
    """The routes of one pattern of hosts."""

    pattern: str
    #: Whether paths are patterns, and what makes them alike.
    _is_glob: bool
    _fold: Callable[[bytes], bytes]
    #: Routes by what their paths begin with, in the order in which they are tried.
    _prefixes: dict[bytes, list[tuple[RouteKey, Value]]] = Factory(dict)
    #: How many of them have a path of a length, and the lengths from the greatest.
    _counts: dict[int, int] = Factory(dict)
    _lengths: tuple[int, ...] = ()
    #: Routes with patterns as their paths, in the order in which they are tried.
    _globs: list[tuple[RouteKey, re.Pattern[str], Value]] = Factory(list)

    @property
    def is_empty(self) -> bool:
        """Whether it has no route."""
        return not self._prefixes and not self._globs

    @property
    def routes(self) -> list[tuple[RouteKey, Value]]:
        """All routes in the order in which they are tried."""
        found = [one for several in self._prefixes.values() for one in several]
        found += [(key, value) for key, _, value in self._globs]
        return sorted(found, key=lambda each: _path_order(each[0]), reverse=True)

    def put(self, key: RouteKey, value: Value) -> None:
        """Have a route, which it has not."""
        if self._is_glob and glob.is_glob(key.path):
            self._globs.append((key, glob.compiled(key.path), value))
            self._globs.sort(key=lambda each: _path_order(each[0]), reverse=True)
            return
        path = self._fold(key.path.encode())
        same = self._prefixes.setdefault(path, [])
        same.append((key, value))
        same.sort(key=lambda each: _path_order(each[0]), reverse=True)
        self._count(len(path), 1)

    def drop(self, key: RouteKey) -> None:
        """Have a route no more."""
        self._globs = [each for each in self._globs if each[0] != key]
        path = self._fold(key.path.encode())
        same = self._prefixes.get(path, [])
        others = [each for each in same if each[0] != key]
        if len(others) == len(same):
            return
        self._count(len(path), -1)
        if others:
            self._prefixes[path] = others
        else:
            del self._prefixes[path]

    def _count(self, length: int, more: int) -> None:
        count = self._counts.get(length, 0) + more
        if count == more:
            self._counts[length] = count
            self._lengths = tuple(sorted(self._counts, reverse=True))
        elif count:
            self._counts[length] = count
        else:
            del self._counts[length]
            self._lengths = tuple(sorted(self._counts, reverse=True))

    def find(self, path: bytes) -> tuple[RouteKey, Value] | None:
        """The first route that takes a path."""
        if self._is_glob:
            return self._find_glob(path)
        wanted, prefixes, most = self._fold(path), self._prefixes, len(path)
        found = None
        for length in self._lengths:
            if length > most:
                continue
            for each in prefixes.get(wanted[:length], ()):
                key = each[0]
                if key.is_bounded and not _ends(wanted, length):
                    continue
                if self._fold is _as_it_is:
                    return each
                if found is None or _path_order(key) > _path_order(found[0]):
                    found = each
        return found

    def _find_glob(self, path: bytes) -> tuple[RouteKey, Value] | None:
        literal = self._prefixes.get(path, [None])[0]
        text = path.decode("utf-8", "replace")
        for key, pattern, value in self._globs:
            if literal is not None and _path_order(literal[0]) > _path_order(key):
                break
            if pattern.fullmatch(text):
                return key, value
        return literal

    def mismatch(self, key: RouteKey, path: bytes) -> str:
        """What about a path does not match; empty if it does."""
        alone: _Host[None] = _Host(self.pattern, self._is_glob, self._fold)
        alone.put(key, None)
        if alone.find(path) is not None:
            return ""
        if self._is_glob:
            return f"the path is not {key.path}"
        if key.is_bounded:
            return f"the path is not {key.path} or below it"
        return f"the path does not begin with {key.path}"


def _path_order(key: RouteKey) -> tuple[bytes, bool]:
    return key.path.encode(), key.is_bounded


def _ends(path: bytes, length: int) -> bool:
    """Whether a segment of the path ends after this length."""
    return length == len(path) or _SLASH in (path[length - 1], path[length])


class TagRouter(Generic[Value]):
    """The routes of one listener, each with a value; they come and go one by one.

    To find a route costs a few steps for each label of the host and for each length
    that paths of routes have, however many routes there are; and one for each pattern
    of hosts that is neither a name nor ``*.`` and a name, if the host is not one of the
    last ones.
    """

    def __init__(self, *, is_tls: bool = False, matcher: str = "prefix") -> None:
        """`matcher` is one of `lbconsul.tags.tag.MATCHERS`."""
        self._is_tls = is_tls
        self._is_glob = matcher == "glob"
        self._fold = bytes.lower if matcher == "iprefix" else _as_it_is
        self._default_port = 443 if is_tls else 80
        self._values: dict[RouteKey, Value] = {}
        self._hosts: dict[str, _Host[Value]] = {}
        self._any: _Host[Value] | None = None
        # By the host as requests have it, in the order in which they are tried.
        self._literal: dict[str, list[_Host[Value]]] = {}
        self._wildcards: dict[str, list[_Host[Value]]] = {}
        self._globs: dict[str, tuple[re.Pattern[str], _Host[Value]]] = {}
        # What hosts match, if there are globs.
        self._remembered: dict[str, list[_Host[Value]]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def put(self, key: RouteKey, value: Value) -> None:
        """Have a route of requests lead to a value."""
        self.drop(key)
        self._values[key] = value
        host = self._hosts.get(key.host)
        if host is None:
            host = _Host[Value](key.host, self._is_glob, self._fold)
            self._hosts[key.host] = host
            self._place(host)
        host.put(key, value)

    def drop(self, key: RouteKey) -> None:
        """Have the route no more, if there is one."""
        if key not in self._values:
            return
        del self._values[key]
        host = self._hosts[key.host]
        host.drop(key)
        if host.is_empty:
            del self._hosts[key.host]
            self._displace(host)

    def _place(self, host: _Host[Value]) -> None:
        """Find it by its pattern from now on."""
        self._remembered.clear()
        if not host.pattern:
            self._any = host
            return
        table, name = self._table_of(host)
        if table is None:
            self._globs[host.pattern] = glob.compiled(name), host
            return
        same = table.setdefault(name, [])
        same.append(host)
        same.sort(key=lambda each: order(each.pattern), reverse=True)

    def _displace(self, host: _Host[Value]) -> None:
        self._remembered.clear()
        if not host.pattern:
            self._any = None
            return
        table, name = self._table_of(host)
        if table is None:
            del self._globs[host.pattern]
            return
        table[name].remove(host)
        if not table[name]:
            del table[name]

    def _table_of(
        self, host: _Host[Value]
    ) -> tuple[dict[str, list[_Host[Value]]] | None, str]:
        """Where it is looked up, and by which text; None: nowhere, it is a glob."""
        name = without_default_port(host.pattern, self._is_tls)
        if is_literal(name):
            return self._literal, name
        if name == "*":
            return self._wildcards, ""
        if name.startswith("*.") and is_literal(name[2:]):
            return self._wildcards, name[2:]
        return None, name

    def find(
        self, host: str | None, path: bytes, method: bytes, fields: Fields
    ) -> Value | None:
        """The value for a request; None if it has no route.

        The parameters are those of `lbconsul.http.router.Router.find`; `fields` have
        the port that the client wrote.
        """
        if b"%" in path:
            path = matched(path)
        if host is not None and not self._globs:  # most are found at once
            text = self._text(host, fields)
            for each in self._literal.get(text, ()):
                found = each.find(path)
                if found is not None:
                    return found[1]
            hosts = [*self._below(text)] if self._wildcards else []
            if self._any is not None:
                hosts.append(self._any)
        else:
            hosts = self._matching(host, fields)
        for each in hosts:
            found = each.find(path)
            if found is not None:
                return found[1]
        return None

    def matching(
        self, host: str | None, path: bytes, method: bytes, fields: Fields
    ) -> Iterator[Value]:
        """The values for a request, of which the first is that which is found.

        There is one at most of each pattern of hosts.  The next is for a request that
        the route would redirect to where it came from.
        """
        path = matched(path)
        for each in self._matching(host, fields):
            found = each.find(path)
            if found is not None:
                yield found[1]

    def explain(
        self, host: str | None, path: bytes, method: bytes, fields: Fields
    ) -> Explanation[Value]:
        """Why a request has its route; the parameters are those of `find`."""
        path = matched(path)
        candidates = [
            Candidate(_pattern(key), value, each.mismatch(key, path))
            for each in self._matching(host, fields)
            for key, value in each.routes
        ]
        winner = next((one for one in candidates if not one.mismatch), None)
        return Explanation(
            tuple(candidates), winner, len(self._values) - len(candidates)
        )

    def _matching(self, host: str | None, fields: Fields) -> list[_Host[Value]]:
        """What the host matches, in the order in which it is tried."""
        if host is None:
            found = []
        elif self._globs:
            found = self._sorted(self._text(host, fields))
        else:
            text = self._text(host, fields)
            found = [*self._literal.get(text, ()), *self._below(text)]
        return found if self._any is None else [*found, self._any]

    def _sorted(self, text: str) -> list[_Host[Value]]:
        """The patterns that a host matches, where some are looked at one by one."""
        found = self._remembered.get(text)
        if found is None:
            found = [*self._literal.get(text, ()), *self._below(text)]
            for pattern, host in self._globs.values():
                if pattern.fullmatch(text):
                    found.append(host)
            found.sort(key=lambda each: order(each.pattern), reverse=True)
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[text] = found
        return found

    def _text(self, host: str, fields: Fields) -> str:
        """The host as patterns have it."""
        told = fields.host
        port = None if told is None else told.port
        if ":" in host:
            host = f"[{host}]"
        return host if port in (None, self._default_port) else f"{host}:{port}"

    def _below(self, text: str) -> Iterator[_Host[Value]]:
        """The wildcards that a host is below, the longest first."""
        wildcards = self._wildcards
        _, dot, name = text.partition(".")
        while dot:
            if name in wildcards:
                yield from wildcards[name]
            _, dot, name = name.partition(".")
        yield from wildcards.get("", ())


def _pattern(key: RouteKey) -> RoutePattern:
    """The route as those of the configuration are shown."""
    return RoutePattern(key.host.strip("[]") or ANY, key.path)
