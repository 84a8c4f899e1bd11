"""Finds the route of a request among those of tags, in fabio's order.  Pure.

The patterns of hosts are tried from the most specific one (`lbconsul.tags.hosts`), the
routes for any host last.  Of one host's routes the first is that whose path comes last
in byte order, of those that take the path of the request: of plain paths that is the
longest.  If none of them takes it, those of the next pattern may.
"""

import re
from collections.abc import Iterator
from typing import Generic, TypeVar

from lbconsul.config.route_pattern import RoutePattern
from lbconsul.config.server_names import ANY
from lbconsul.http.fields import Fields
from lbconsul.http.router import Candidate, Explanation
from lbconsul.tags import glob
from lbconsul.tags.host_routes import HostRoutes, as_it_is
from lbconsul.tags.hosts import is_literal, order, without_default_port
from lbconsul.tags.paths import matched
from lbconsul.tags.tag import RouteKey

Value = TypeVar("Value")

#: So many hosts are remembered with the patterns that they match.
_MOST_REMEMBERED = 1024


class TagRouter(Generic[Value]):
    """The routes of one listener, each with a value; they come and go one by one.

    To find a route costs a few steps for each label of the host and for each length
    that paths of routes have, however many routes there are; and one for each pattern
    of hosts that is neither a name nor ``*.`` and a name, if the host is not one of the
    last ones.
    """

    def __init__(self, *, is_tls: bool = False, matcher: str = "prefix") -> None:
        """`matcher` is one of `lbconsul.config.tag_routing.MATCHERS`."""
        self._is_tls = is_tls
        self._is_glob = matcher == "glob"
        self._fold = bytes.lower if matcher == "iprefix" else as_it_is
        self._default_port = 443 if is_tls else 80
        self._values: dict[RouteKey, Value] = {}
        self._hosts: dict[str, HostRoutes[Value]] = {}
        self._any: HostRoutes[Value] | None = None
        # By the host as requests have it, in the order in which they are tried.
        self._literal: dict[str, list[HostRoutes[Value]]] = {}
        self._wildcards: dict[str, list[HostRoutes[Value]]] = {}
        self._globs: dict[str, tuple[re.Pattern[str], HostRoutes[Value]]] = {}
        # What hosts match, if there are globs.
        self._remembered: dict[str, list[HostRoutes[Value]]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def put(self, key: RouteKey, value: Value) -> None:
        """Have a route of requests lead to a value."""
        self.drop(key)
        self._values[key] = value
        host = self._hosts.get(key.host)
        if host is None:
            host = HostRoutes[Value](key.host, self._is_glob, self._fold)
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

    def _place(self, host: HostRoutes[Value]) -> None:
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

    def _displace(self, host: HostRoutes[Value]) -> None:
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
        self, host: HostRoutes[Value]
    ) -> tuple[dict[str, list[HostRoutes[Value]]] | None, str]:
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

    def _matching(self, host: str | None, fields: Fields) -> list[HostRoutes[Value]]:
        """What the host matches, in the order in which it is tried."""
        if host is None:
            found = []
        elif self._globs:
            found = self._sorted(self._text(host, fields))
        else:
            text = self._text(host, fields)
            found = [*self._literal.get(text, ()), *self._below(text)]
        return found if self._any is None else [*found, self._any]

    def _sorted(self, text: str) -> list[HostRoutes[Value]]:
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

    def _below(self, text: str) -> Iterator[HostRoutes[Value]]:
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
