"""Parses one route tag.  Pure.

A tag is ``PREFIX ROUTE [OPTIONS]``: ``urlprefix-example.com/api strip=/api``.  The
route is ``HOST/PATH``, ``/PATH`` for any host, ``HOST``, or ``:PORT`` with
``proto=tcp``; options have blanks between them, and of two the later holds.
"""

import re
from typing import NamedTuple
from urllib.parse import quote

from attrs import evolve, frozen

from lbconsul.tags import glob
from lbconsul.tags.hosts import read_host
from lbconsul.tags.options import TagOptions, read_options
from lbconsul.tags.paths import read_path
from lbconsul.text import fit

#: The longest tag, in characters.
MOST_TAG = 4096

_LAST_PORT = 65535

#: As Go's ``os.Expand``: a name, or one character that is special in shells.
_VARIABLE = re.compile(r"\$(?:\{([^{}]*)\}|([A-Za-z0-9_]+|[*#$@!?-]))")


#: What a path has no place for in a line of text.
_ODD = re.compile(r"[^\S]|[^ -~\w]")


def _encoded(char: re.Match[str]) -> str:
    return quote(char[0], safe="", errors="surrogatepass")


class RouteKey(NamedTuple):
    """What tells two routes apart."""

    #: A pattern as `lbconsul.tags.hosts.read_host` returns it; empty: any host.
    host: str
    #: As `lbconsul.tags.paths.read_path` returns it; empty with TCP.
    path: str
    #: Whether the path ends where a segment does: ``/foo`` does not take ``/foobar``.
    is_bounded: bool = False
    #: The port of a TCP listener; 0: it is a route of requests.
    port: int = 0

    @property
    def place(self) -> str:
        """``HOST/PATH`` or ``:PORT``, without a blank."""
        if self.port:
            return f":{self.port}"
        return _ODD.sub(_encoded, f"{self.host}{self.path}")

    def __str__(self) -> str:
        return f"{self.place} boundary=segment" if self.is_bounded else self.place


class BadTag(ValueError):
    """A route tag that gets no requests; the text says what would be right.

    If its route can be read the route exists all the same: requests for it get 503
    where no other instance has it, and no shorter route takes them.
    """

    def __init__(self, why: str, key: RouteKey | None = None) -> None:
        super().__init__(why)
        #: The route; None if that is what is wrong.
        self.key = key


@frozen
class TagRules:
    """How tags are read; the same for all tags of a mapping."""

    #: What route tags begin with.
    prefix: str = "urlprefix-"
    #: The agent's datacenter, which replaces ``$DC``.
    datacenter: str = ""
    #: One of `lbconsul.config.tag_routing.MATCHERS`.
    matcher: str = "prefix"


@frozen
class RouteTag:
    """A parsed route tag."""

    key: RouteKey
    options: TagOptions = TagOptions()
    #: What is odd about it and has no effect, as the operator reads it.
    odd: tuple[str, ...] = ()


def is_route_tag(tag: str, rules: TagRules) -> bool:
    """Whether a tag is a route tag."""
    return tag.strip().startswith(rules.prefix)


def parse(tag: str, rules: TagRules) -> RouteTag:
    """Parse a route tag.

    :raises BadTag: it cannot be served.
    """
    if len(tag) > MOST_TAG:
        raise BadTag(f"a route tag may have {MOST_TAG} characters")
    text = tag.strip().removeprefix(rules.prefix).strip()
    route, _, options = text.partition(" ")
    odd = list[str]()
    if "/" in route:
        route = _expanded(route, rules.datacenter, odd)
    found = parse_route(route, options, rules)
    return evolve(found, odd=(*odd, *found.odd)) if odd else found


def parse_route(route: str, options: str, rules: TagRules) -> RouteTag:
    """The same for a route and its options, without variables.

    :raises BadTag: it cannot be served.
    """
    try:
        key = read_route(route, rules)
    except ValueError as error:
        raise BadTag(str(error)) from None
    try:
        found, of_route, odd = read_options(options)
        key = key._replace(is_bounded=_is_bounded(of_route.get("boundary")))
        _check_proto(key, found)
    except ValueError as error:
        raise BadTag(str(error), key) from None
    return RouteTag(key, found, tuple(odd))


def read_route(route: str, rules: TagRules) -> RouteKey:
    """The route that is written so, without options.

    :raises ValueError: it is none; the text says what would be right.
    """
    if not route:
        raise ValueError(
            f"{rules.prefix} must be followed by a route, such as"
            f" {rules.prefix}example.com/api or {rules.prefix}/api"
        )
    if route.startswith(":"):
        return RouteKey("", "", port=_port(route))
    host, _, path = route.partition("/")
    return RouteKey(read_host(host), _path(f"/{path}", rules.matcher))


def _port(route: str) -> int:
    text = route[1:]
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= _LAST_PORT:
        raise ValueError(
            f"{fit(route)!r} must be :PORT with a number from 1 to {_LAST_PORT} and"
            " proto=tcp, such as :3306 proto=tcp"
        )
    return int(text)


def _expanded(text: str, datacenter: str, odd: list[str]) -> str:
    """The text with the datacenter for ``$DC``, and nothing for other variables."""

    def value(variable: re.Match[str]) -> str:
        name = variable[1] if variable[2] is None else variable[2]
        if name == "DC":
            return datacenter
        odd.append(f"unknown variable {fit(variable[0])} is dropped; there is $DC only")
        return ""

    return _VARIABLE.sub(value, text)


def _path(text: str, matcher: str) -> str:
    if matcher == "glob" and glob.is_glob(text):
        glob.compiled(text)
        return text
    try:
        return read_path(text)
    except ValueError as error:
        raise ValueError(f"the path {fit(text)} {error}") from None


def _is_bounded(text: str | None) -> bool:
    if text not in (None, "segment"):
        raise ValueError(
            f"boundary={fit(text)} must be segment: the route and strip= then end where"
            " a segment of the path does"
        )
    return text is not None


def _check_proto(key: RouteKey, options: TagOptions) -> None:
    is_tcp = options.proto == "tcp"
    if key.port and not is_tcp:
        raise ValueError(f"{key} needs proto=tcp; a route of requests is HOST/PATH")
    if is_tcp and not key.port:
        raise ValueError(
            f"proto=tcp needs :PORT as in :3306 proto=tcp; {key} is a route of requests"
        )
