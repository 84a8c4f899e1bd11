"""Commands in Consul's KV that alter a table of routes, as fabio has them.  Pure.

There is one command a line: ``route add``, ``route del`` and ``route weight``
(https://fabiolb.net/feature/traffic-shaping/).  They act in their order on the routes
that tags make.  A line that is none is a problem, and harms no other.
"""

import math
import re
from collections.abc import Iterable
from enum import Enum, auto
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from lbconsul.tags.model import Problem
from lbconsul.tags.options import TagOptions
from lbconsul.tags.tag import BadTag, RouteKey, TagRules, parse_route, read_route
from lbconsul.text import fit

#: The most commands; lines after these are a problem.
MOST_COMMANDS = 10_000

#: The longest line, in characters.
_LONGEST = 4096

_COMMENT = re.compile(r"#|//|\Z")
_TAGS = r'\s+tags\s+"(?P<tags>[^"]*)"'
_ADD = re.compile(
    r"route\s+add\s+(?P<service>\S+)\s+(?P<src>\S+)\s+(?P<dst>\S+)"
    rf'(?:\s+weight\s+(?P<weight>\S+))?(?:{_TAGS})?(?:\s+opts\s+"(?P<opts>[^"]*)")?'
)
_DEL = (
    re.compile(rf"route\s+del(?:\s+(?P<service>\S+))?{_TAGS}"),
    re.compile(
        r"route\s+del\s+(?P<service>\S+)(?:\s+(?P<src>\S+)(?:\s+(?P<dst>\S+))?)?"
    ),
)
_WEIGHT = (
    re.compile(
        r"route\s+weight\s+(?P<service>\S+)\s+(?P<src>\S+)\s+weight\s+(?P<weight>\S+)"
        rf"(?:{_TAGS})?"
    ),
    re.compile(rf"route\s+weight\s+(?P<src>\S+)\s+weight\s+(?P<weight>\S+){_TAGS}"),
)

_PORTS = {"http": 80, "https": 443}
_SCHEMES = {"http": "http", "ws": "http", "https": "https", "tcp": "tcp"}


class Verb(Enum):
    """What a command does."""

    ADD = auto()
    DEL = auto()
    WEIGHT = auto()


@frozen
class Command:
    """One command."""

    verb: Verb
    #: Empty: of any service.
    service: str = ""
    #: Empty, as the whole place is None: of any route.
    host: str = ""
    path: str | None = None
    port: int = 0
    #: What a target must have, all of them.
    tags: tuple[str, ...] = ()
    #: ``host:port`` of a target; empty: of any.
    address: str = ""
    #: The share of all targets together; 0: none is fixed.
    weight: float = 0.0
    #: Of a target that is added, and whether it takes whole segments of paths only.
    options: TagOptions = field(factory=TagOptions)
    is_bounded: bool = False
    #: Where it stands, as a problem names it.
    where: str = field(default="", eq=False)

    def is_at(self, key: RouteKey) -> bool:
        """Whether it is about a route."""
        if self.path is None:
            return True
        same = (self.host, self.path, self.port) == (key.host, key.path, key.port)
        return same and (self.verb is not Verb.ADD or self.is_bounded == key.is_bounded)


def parse_commands(
    texts: Iterable[tuple[str, str]], rules: TagRules
) -> tuple[tuple[Command, ...], tuple[Problem, ...]]:
    """The commands in the texts of keys, in their order, and what is wrong there."""
    commands, problems = list[Command](), list[Problem]()
    for name, text in texts:
        for number, line in enumerate(text.split("\n"), 1):
            stripped = line.strip()
            if _COMMENT.match(stripped):
                continue
            where = f"{fit(name)}, line {number}: {fit(stripped, 120)}"
            try:
                if len(commands) == MOST_COMMANDS:
                    raise ValueError(f"it is beyond the {MOST_COMMANDS} that are read")
                command, odd = _command(stripped, rules)
            except ValueError as error:
                problems.append(Problem("", None, where, str(error)))
                continue
            commands.append(evolve(command, where=where))
            problems += [Problem("", None, where, why, True) for why in odd]
    return tuple(commands), tuple(problems)


def _command(line: str, rules: TagRules) -> tuple[Command, list[str]]:
    """One command, and what is odd about it.

    :raises ValueError: the line is none; the text says what would be right.
    """
    if len(line) > _LONGEST:
        raise ValueError(f"a command may have {_LONGEST} characters")
    words = line.split(None, 2)
    verb = words[1] if words[0] == "route" and len(words) > 1 else ""
    if verb == "add":
        match = _ADD.fullmatch(line)
        if match is not None:
            return _add(match, rules)
        raise ValueError(
            'must be route add SERVICE SRC DST [weight W] [tags "a,b"] [opts "k=v"]'
        )
    if verb == "del":
        for pattern in _DEL:
            match = pattern.fullmatch(line)
            if match is not None:
                return _delete(match.groupdict(), rules), []
        raise ValueError(
            'must be route del SERVICE [SRC [DST]], or route del [SERVICE] tags "a,b"'
        )
    if verb == "weight":
        for pattern in _WEIGHT:
            match = pattern.fullmatch(line)
            if match is not None:
                return _weigh(match.groupdict(), rules), []
        raise ValueError(
            'must be route weight SERVICE SRC weight W [tags "a,b"], or'
            ' route weight SRC weight W tags "a,b"'
        )
    raise ValueError("must begin with route add, route del or route weight")


def _add(match: re.Match[str], rules: TagRules) -> tuple[Command, list[str]]:
    proto, address, odd = _target(match["dst"])
    # The weight is a word of its own, and the scheme that of the target.
    words = (match["opts"] or "").split()
    options = [each for each in words if each.partition("=")[0] not in _NOT_OF_ADD]
    try:
        tag = parse_route(match["src"], " ".join([*options, f"proto={proto}"]), rules)
    except BadTag as error:
        raise ValueError(str(error)) from None
    host, path, is_bounded, port = tag.key
    command = Command(
        Verb.ADD,
        match["service"],
        host,
        path,
        port,
        _tags(match["tags"]),
        address,
        max(0.0, _weight(match["weight"] or "0")),
        tag.options,
        is_bounded,
    )
    return command, [*odd, *tag.odd]


#: Options of a tag that a command says by other words.
_NOT_OF_ADD = ("proto", "weight")


def _target(dst: str) -> tuple[str, str, list[str]]:
    """The protocol, the address, and what is odd about the URL of a target."""
    try:
        url = urlsplit(dst)
        proto = _SCHEMES[url.scheme]
        port = url.port or _PORTS[url.scheme]
    except (KeyError, ValueError):
        port, proto = 0, ""
    if not port or not url.hostname or url.username is not None:
        raise ValueError(
            f"the target {fit(dst)} must be http://HOST:PORT/, https://HOST:PORT/ or"
            " tcp://HOST:PORT"
        )
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    odd = ["the target's query is ignored"] if url.query else []
    return proto, f"{host}:{port}", odd


def _delete(given: dict[str, str | None], rules: TagRules) -> Command:
    service, src, dst = (given.get(name) or "" for name in ("service", "src", "dst"))
    if "tags" in given:
        return Command(Verb.DEL, service, tags=_tags(given["tags"]))
    address = _target(dst)[1] if dst else ""
    return Command(Verb.DEL, service, **_place(src, rules), address=address)


def _weigh(given: dict[str, str | None], rules: TagRules) -> Command:
    return Command(
        Verb.WEIGHT,
        given.get("service") or "",
        **_place(given["src"] or "", rules),
        tags=_tags(given.get("tags")),
        weight=max(0.0, _weight(given["weight"] or "")),
    )


def _place(src: str, rules: TagRules) -> dict[str, Any]:
    """The route that is written so, as `Command` has it; fabio takes its host as it is.

    :raises ValueError: it is none.
    """
    if not src:
        return {}
    key = read_route(src, rules)
    host = "" if key.port else src.partition("/")[0]
    same = host if host.lower() == key.host else key.host
    return {"host": same, "path": key.path, "port": key.port}


def _tags(text: str | None) -> tuple[str, ...]:
    return tuple(sorted({each.strip() for each in text.split(",")})) if text else ()


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight):
        raise ValueError(f"the weight {fit(text)} must be a number, such as 0.1")
    return weight
