"""The options of a route tag: what a target does with the requests it gets.  Pure."""

import math
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import Any

from attrs import evolve, frozen

from lbconsul.config import rewriting_values, values
from lbconsul.config.http_values import upstream_host
from lbconsul.config.rewriting import Redirect, split_variables
from lbconsul.tags.paths import encoded_path
from lbconsul.text import fit

#: The statuses of redirects that have a ``Location`` (RFC 9110, 15.4).
REDIRECTS = (300, 301, 302, 303, 307, 308)

#: The longest text of an option, in characters.
_LONGEST = 1024

_PATH_VARIABLE = re.compile(r"/?\$path")


@frozen
class TagOptions:
    """What a route tag says beside the route.

    Two instances of a service whose tags have equal options are balanced together.
    """

    #: Cut from the front of the path; empty: nothing.
    strip: str = ""
    #: Put before the path after that, with a slash at the front and none at the end.
    prepend: str = ""
    #: ``http``, ``https`` or ``tcp``; empty: the mapping decides, which is ``http``
    #: unless it has ``upstream-tls``.
    proto: str = ""
    #: Whether the certificate of the instance is not verified.
    skip_verify: bool = False
    #: The ``Host`` for the instance: empty for the client's, ``address`` for the
    #: instance's, or a name.
    host: str = ""
    #: Where clients are sent in place of the instance; with the variables of
    #: `lbconsul.config.rewriting.REDIRECT_VARIABLES`.
    redirect: Redirect | None = None
    #: The fixed share of this one instance; 0: none.
    weight: float = 0.0
    #: Networks of clients, as ``10.0.0.0/8``; one of the two is empty.
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    #: The service as which the gateway registers itself while the route exists.
    register: str = ""
    #: Whether a TCP upstream gets a PROXY header (version 1).
    proxy_protocol: bool = False

    def __str__(self) -> str:
        """The options as a tag has them, in alphabetical order."""
        allow, deny = (
            ",".join(f"ip:{each}" for each in networks)
            for networks in (self.allow, self.deny)
        )
        told = {
            "allow": allow,
            "deny": deny,
            "host": "dst" if self.host == "address" else self.host,
            "prepend": self.prepend,
            "proto": self.proto,
            "pxyproto": "true" if self.proxy_protocol else "",
            # With $path in a URL without a query, tags mean the query, too.
            "redirect": str(self.redirect or "").removesuffix("?$query"),
            "register": self.register,
            "strip": self.strip,
            "tlsskipverify": "true" if self.skip_verify else "",
            "weight": f"{self.weight:g}" if self.weight else "",
        }
        return " ".join(f"{name}={text}" for name, text in told.items() if text)


def read_options(text: str) -> tuple[TagOptions, dict[str, str], list[str]]:
    """The options of a tag, those that belong to the route, and what is odd about them.

    :raises ValueError: one is invalid; the text says what would be right.
    """
    given = dict(_split(word) for word in text.split())
    of_route = {name: given.pop(name) for name in ("boundary",) if name in given}
    if "allow" in given and "deny" in given:
        raise ValueError(
            "allow= and deny= contradict each other: drop deny=, since allow= keeps all"
            " others out"
        )
    options, odd = TagOptions(), list[str]()
    for name, value in given.items():
        if name not in _OPTIONS:
            odd.append(_unknown(name))
            continue
        field, parse = _OPTIONS[name]
        options = evolve(options, **{field: parse(value)})
    odd += _oddities(given, options)
    return options, of_route, odd


def _split(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


def _unknown(name: str) -> str:
    near = values.nearest(name, _OPTIONS)
    meant = f"; did you mean {near}=?" if near else ""
    return f"unknown option {fit(name)!r} is ignored{meant}"


def _oddities(given: Mapping[str, str], options: TagOptions) -> list[str]:
    """What has no effect, though it is no error in fabio."""
    odd = []
    strip = given.get("strip", "")
    if strip and not strip.startswith("/"):
        odd.append(f"strip={fit(strip)} has no effect: paths begin with a slash")
    if given.get("tlsskipverify", "true") not in ("true", "false"):
        odd.append("tlsskipverify= has no effect unless it is true")
    if options.skip_verify and options.proto != "https":
        odd.append("tlsskipverify=true has no effect without proto=https")
    if options.proxy_protocol and options.proto != "tcp":
        odd.append("pxyproto=true has no effect without proto=tcp")
    return odd


def _strip(text: str) -> str:
    if not text.startswith("/") or text == "/":
        return ""
    try:
        path = encoded_path(text)
    except ValueError as error:
        raise ValueError(f"strip={fit(text)} {error}") from None
    if len(path) > _LONGEST:
        raise ValueError(f"strip= may have {_LONGEST} characters")
    return path


def _prepend(text: str) -> str:
    if text in ("", "/"):
        return ""
    try:
        return rewriting_values.prefix(encoded_path(f"/{text.removeprefix('/')}"))
    except ValueError as error:
        raise ValueError(f"prepend={fit(text)} {error}") from None


def _proto(text: str) -> str:
    if text in ("grpc", "grpcs"):
        raise ValueError(
            f"proto={text} needs HTTP/2, which is not served; proto=tcp passes gRPC on"
        )
    if text == "tcp+sni":
        raise ValueError(
            "proto=tcp+sni is not read from tags: a mapping with mode=sni has a --route"
            " for each server name"
        )
    # fabio has an HTTP target for each name that it does not know.
    return text if text in ("https", "tcp") else "http"


def _host(text: str) -> str:
    if text == "dst":
        return "address"
    try:
        host = "" if text == "address" else upstream_host(text)
    except ValueError:
        host = ""
    if not host:
        raise ValueError(
            f"host={fit(text)} must be dst, or a host name such as api.internal"
        )
    return host


def _redirect(text: str) -> Redirect:
    status, comma, url = text.partition(",")
    if not comma or "," in url or status not in map(str, REDIRECTS):
        raise ValueError(
            f"redirect={fit(text)} must be STATUS,URL with one of"
            f" {', '.join(map(str, REDIRECTS))} and one comma, such as"
            " 301,https://www.example.com$path"
        )
    path_at = _PATH_VARIABLE.search(url)
    if path_at is not None:
        query = "" if "?" in url else "?$query"
        # fabio replaces it once.
        rest = url[path_at.end() :].replace("$path", "")
        url = f"{url[: path_at.start()]}$path{rest}{query}"
    try:
        for name in split_variables(url)[1::2]:
            if name not in ("host", "path", "query"):
                raise ValueError(f"has ${name}; known are $host and $path")
        found = rewriting_values.redirect(f"308,{url}")
    except ValueError as error:
        raise ValueError(f"redirect={fit(text)}: {error}") from None
    return Redirect(int(status), found.url)


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight):
        raise ValueError(f"weight={fit(text)} must be a number, such as 0.1")
    return max(weight, 0.0)


def _networks(name: str) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        found = []
        for element in text.split(","):
            kind, colon, address = element.partition(":")
            try:
                if not colon or kind.strip().lower() != "ip" or "%" in address:
                    raise ValueError
                found.append(str(ip_network(address.strip(), strict=False)))
            except ValueError:
                raise ValueError(
                    f"{name}={fit(text)} must be ip:NETWORK or ip:ADDRESS, several with"
                    f" commas, such as ip:10.0.0.0/8,ip:192.0.2.1; {fit(element)!r} is"
                    " none"
                ) from None
        return tuple(found)

    return parse


def _register(text: str) -> str:
    try:
        return values.service(text)
    except ValueError as error:
        raise ValueError(f"register={fit(text)}: {error}") from None


def _auth(text: str) -> str:
    raise ValueError(
        f"auth={fit(text)} is not supported: give the mapping basic-auth=FILE, and drop"
        " auth="
    )


_OPTIONS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "strip": ("strip", _strip),
    "prepend": ("prepend", _prepend),
    "proto": ("proto", _proto),
    "tlsskipverify": ("skip_verify", lambda text: text == "true"),
    "host": ("host", _host),
    "redirect": ("redirect", _redirect),
    "weight": ("weight", _weight),
    "allow": ("allow", _networks("allow")),
    "deny": ("deny", _networks("deny")),
    "register": ("register", _register),
    "pxyproto": ("proxy_protocol", lambda text: text == "true"),
    "auth": ("", _auth),
}
