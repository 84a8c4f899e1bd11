"""Parses addresses and mappings.

Each function takes text and returns a value, or raises `ValueError` whose text says
what would be right; `lbconsul.config.sources` prefixes it with the place of the text.
"""

import re
from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from lbconsul.config import address_values, values
from lbconsul.config.consul import ConsulAddress
from lbconsul.config.listen import (
    Listen,
    SystemdListen,
    TCPListen,
    UnixListen,
)
from lbconsul.config.lists import LISTS
from lbconsul.config.model import Admin
from lbconsul.config.option import joined
from lbconsul.config.rewriting_options import TEXTS
from lbconsul.text import unquoted

#: Consul's own port for HTTP, and the customary one for HTTPS.
#: https://developer.hashicorp.com/consul/docs/reference/architecture/ports
CONSUL_PORTS = {"http": 8500, "https": 8501}

#: The ports that Consul's own tools use for a URL without one.
WEB_PORTS = {"http": 80, "https": 443}

_LISTEN = (
    r"""(?P<listen>unix:/[^:]*|systemd:[^:,]+|"""
    r"""(?:(?:\[[^\]]*\]|[^:,\[\]"]*):)?[^:,"/]*)"""
)
_SERVICE = r"""(?P<service>"(?:[^"\\]|\\.)*"|(?!")[^:,]*)(?:,(?P<options>.*))?"""
_MAPPING = re.compile(f"{_LISTEN}:{_SERVICE}", re.DOTALL)
_PATTERN = r"(?P<pattern>(?:\[[^\]]*\]|[^=:,/]*)(?:=?/[^=]*)?)"
_ROUTE = re.compile(f"{_LISTEN}:{_PATTERN}={_SERVICE}", re.DOTALL)
_LOOKS_LIKE_MAPPING = re.compile(
    r"\d+:|unix:(?!//|\d*$)|systemd:|(?:\[[^\]]*\]|[^:\[\]]*):\d+:"
)
#: Former names of options, and their present names.
RENAMED = {
    "eject-early": "eject-on-early-close",
    "eject-time": "eject-base-time",
}

_OPTION_NAME = re.compile(r"[a-z][a-z0-9-]*")
_OPTION_BREAK = re.compile(r""",(?=(?:[^"`]|"(?:[^"\\]|\\.)*"|`[^`]*`)*$)""")


def listen_address(text: str) -> Listen:
    """Parse ``[ADDRESS:]PORT``, ``unix:/PATH`` or ``systemd:NAME``."""
    scheme, _, rest = text.partition(":")
    if scheme == "unix":
        if not rest.startswith("/") or not rest.isprintable():
            raise ValueError("a UNIX socket's path must begin with / and be printable")
        return UnixListen(address_values.socket_path(rest))
    if scheme == "systemd":
        return SystemdListen(values.name(rest))
    host, _, number = text.rpartition(":")
    return TCPListen(_ip(host or "0.0.0.0"), address_values.port(number))


def admin(text: str) -> Admin:
    """Parse ``[ADDRESS:]PORT`` (loopback without an address), ``unix:/PATH`` or
    ``off``.
    """
    if text == "off":
        return Admin(None, is_needed=True)
    try:
        bare = re.fullmatch(r"\d+", text)
        listen = listen_address(f"127.0.0.1:{text}" if bare else text)
    except ValueError as error:
        raise ValueError(f"{error}, or off") from None
    if isinstance(listen, SystemdListen):
        raise ValueError("must be [ADDRESS:]PORT, unix:/PATH or off")
    return Admin(listen, is_needed=True)


def _ip(text: str) -> str:
    host = text.removeprefix("[").removesuffix("]")
    if host == "localhost":
        return "127.0.0.1"
    try:
        return str(ip_address(host))
    except ValueError:
        raise ValueError(
            f"address {host!r} must be an IP address, v6 ones in brackets"
        ) from None


def web_page(text: str) -> str:
    """The URL of a page, without credentials, query or fragment; or ``off``."""
    if text == "off":
        return text
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError:
        host = None
    if not host or url.scheme not in ("http", "https") or not text.isprintable():
        raise ValueError("must be a URL such as https://consul.example.com/ui, or off")
    if url.username is not None or url.query or url.fragment or " " in text:
        raise ValueError(
            "must be the URL of a page alone, without user, query and fragment"
        )
    return text.rstrip("/")


def consul_address(
    text: str,
    *,
    tls: bool = False,
    ports: AbstractMapping[str, int] = CONSUL_PORTS,
) -> ConsulAddress:
    """Parse ``host``, ``host:port``, or a URL with http, https or unix.

    With `tls` (``CONSUL_HTTP_SSL``) the address uses TLS even if its URL says http.
    `ports` are the default ports by scheme.
    """
    bare = "://" not in text
    unbracketed = bare and text.count(":") > 1 and not text.startswith("[")
    try:
        url = urlsplit(f"{'https' if tls else 'http'}://{text}" if bare else text)
    except ValueError:
        unbracketed = True
    if unbracketed:
        raise ValueError("must have an IPv6 address in brackets, as [::1]:8500")
    if url.scheme == "unix" and not url.netloc and url.path:
        return ConsulAddress("unix", path=address_values.socket_path(url.path), tls=tls)
    try:
        number = url.port
    except ValueError:
        raise ValueError("the port must be a number from 1 to 65535") from None
    if url.scheme not in ports or not url.hostname or number == 0:
        raise ValueError("must be host:port or a URL such as https://consul:8501")
    if url.query or url.fragment or "@" in url.netloc or " " in text:
        raise ValueError("must be host:port or a URL without user, query and fragment")
    scheme = "https" if tls else url.scheme
    _refuse_strange_host(scheme, url.hostname)
    if bare and url.path:
        raise ValueError("a path needs the URL form, such as http://host:8500/prefix")
    path = url.path.rstrip("/")
    return ConsulAddress(scheme, url.hostname, number or ports[scheme], path)


def _refuse_strange_host(scheme: str, host: str) -> None:
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError(f"{host!r} is not a host name") from None
    if scheme == "https" and "_" in host:
        raise ValueError(f"{host!r} has an underscore, which no certificate can name")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, reachable only from itself."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def looks_like_mapping(text: str) -> bool:
    """Whether `text` can only be meant as a mapping, not as Consul's address."""
    return _LOOKS_LIKE_MAPPING.match(text) is not None


def split_mapping(text: str) -> tuple[str, str | None, dict[str, str]]:
    """Split ``[ADDRESS:]PORT:SERVICE[,option=value...]`` into its three parts.

    A service in double quotes can have any name.  A comma within double quotes or
    backticks belongs to the value, so ``filter=`` can hold any expression; so does a
    comma after which no option begins, as in ``health=passing,warning``.  Options of
    `LISTS` may be given several times.  A service of ``-`` is none.
    """
    match = _MAPPING.fullmatch(text)
    if match is None:
        form = "must be [ADDRESS:]PORT:SERVICE[,option=value...]"
        quotes = ', with both quotes if the service is quoted: 80:"a b/c",tag=v2'
        raise ValueError(form + quotes if '"' in text else form)
    return match["listen"], _service(match["service"]), _split_options(match["options"])


def split_route(text: str) -> tuple[str, str, str | None, dict[str, str]]:
    """Split ``LISTEN:PATTERN=SERVICE[,option=value...]`` into its four parts.

    Quotes and a dash mean what they mean in a mapping.  A ``=`` before a ``/`` belongs
    to the pattern.
    """
    match = _ROUTE.fullmatch(text)
    if match is None:
        raise ValueError(
            "must be LISTEN:PATTERN=SERVICE[,option=value...], such as"
            " 443:api.example.com=api"
        )
    service = _service(match["service"])
    return match["listen"], match["pattern"], service, _split_options(match["options"])


def _service(text: str) -> str | None:
    if text == "-":
        return None
    if text[:1] == '"':
        return unquoted(text)
    try:
        return values.name(text)
    except ValueError as error:
        raise ValueError(f"service {error}, or in double quotes") from None


def _split_options(text: str | None) -> dict[str, str]:
    options: dict[str, str] = {}
    key = ""
    for part in _OPTION_BREAK.split(text) if text is not None else ():
        word, equals, value = part.partition("=")
        is_text = key in TEXTS and not _OPTION_NAME.fullmatch(word)
        if key and (not equals or is_text):
            options[key] += f",{part}"  # health=passing,warning
        elif not equals:
            raise ValueError(f"{part!r} must be option=value")
        elif word in options and word not in LISTS:
            raise ValueError(f"option {word!r} is given twice")
        else:
            key = word
            earlier = [options[key]] if key in options else []
            options[key] = joined(key, [*earlier, value])
    return options


def unknown(kind: str, word: str, known: Iterable[str]) -> str:
    """The error text for an unknown `word`, with the likeliest intended one."""
    choices = sorted(known)
    dashes = "--" if word.startswith("--") else ""
    renamed = dashes + RENAMED.get(word.removeprefix("--"), "")
    if renamed in choices:
        return f"{word} is called {renamed} now"
    near = values.nearest(word, choices)
    if near:
        return f"unknown {kind} {word!r}; did you mean {near!r}?"
    return f"unknown {kind} {word!r}; known are {', '.join(choices)}"
