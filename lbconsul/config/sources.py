"""Reads the environment, a TOML file and the command line.

Each becomes a `Source`: texts, each with its place, which error messages name.
"""

import re
from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from typing import Any

from attrs import Factory, evolve, frozen

from lbconsul.config import grammar, values
from lbconsul.config.lists import LISTS
from lbconsul.config.mapping_options import MAPPING_OPTIONS
from lbconsul.config.option import BARRED, joined
from lbconsul.config.options import OPTIONS
from lbconsul.config.route_pattern import CONDITIONS
from lbconsul.errors import ConfigError

#: Consul's own variables and the option that each sets, as in its Go client:
#: https://github.com/hashicorp/consul/blob/main/api/api.go
ENVIRONMENT = {
    "CONSUL_HTTP_TOKEN": "token",
    "CONSUL_HTTP_TOKEN_FILE": "token-file",
    "CONSUL_HTTP_AUTH": "http-auth",
    "CONSUL_HTTP_SSL_VERIFY": "verify",
    "CONSUL_CACERT": "ca-file",
    "CONSUL_CAPATH": "ca-path",
    "CONSUL_TLS_SERVER_NAME": "tls-server-name",
    "CONSUL_CLIENT_CERT": "client-cert",
    "CONSUL_CLIENT_KEY": "client-key",
    "CONSUL_NAMESPACE": "namespace",
    "CONSUL_PARTITION": "partition",
}

#: Options that a TOML file may give as a list.
_LISTS = frozenset(
    {
        "health", "allow", "deny", "upstream-allow", "accept-proxy", "retry-on",
        "trusted-proxies", "log-fields",
    }
)  # fmt: skip

#: Passwords and tokens.
_SECRET = re.compile(
    r"//[^/@]*@|(token|http-auth)=[^,]*"
    r"|(?i:(authorization|cookie|x-api-key|x-auth-token)): *[^,]*"
)

#: Where Consul's own tools look for an agent.
DEFAULT_CONSUL = "127.0.0.1:8500"


@frozen
class SourcedText:
    """A text and its place, as an error message names it."""

    where: str
    text: str

    def wrong(self, why: str) -> ConfigError:
        """The error about this text, with passwords removed."""
        text = _SECRET.sub("(hidden)", self.text)
        return ConfigError(f"{self.where} {text}: {why}")


def read(said: SourcedText, parse: Any) -> Any:
    try:
        return parse(said.text)
    except ValueError as error:
        raise said.wrong(str(error)) from None


@frozen
class RawMapping:
    """A mapping or a route, split but not parsed yet; `said` is its whole text."""

    said: SourcedText
    listen: str
    #: None: there is none.
    service: str | None
    options: AbstractMapping[str, str]
    #: Which clients a route takes; empty if this is no route.
    pattern: str = ""

    def wrong(self, option: str, why: str) -> ConfigError:
        """The error about one of the mapping's options."""
        whole = f"{self.said.where} {self.said.text}:"
        return SourcedText(whole, f"{option}={self.options[option]}").wrong(why)


@frozen
class Source:
    """The content of one source: single values by option name, and the lists."""

    options: AbstractMapping[str, SourcedText] = Factory(dict)
    consul: tuple[SourcedText, ...] = ()
    mappings: tuple[RawMapping, ...] = ()
    routes: tuple[RawMapping, ...] = ()
    #: Whether to use TLS to Consul, even at an address that says http.
    tls: bool = False


def from_command_line(
    options: AbstractMapping[str, str],
    consul: Iterable[str],
    mappings: Iterable[str],
    routes: Iterable[str] = (),
) -> Source:
    """The result of twistd's parser, as a source."""
    return from_texts(
        {name: SourcedText(f"--{name}", text) for name, text in options.items()},
        (SourcedText("--consul", text) for text in consul),
        (SourcedText("--map", text) for text in mappings),
        (SourcedText("--route", text) for text in routes),
    )


def from_texts(
    options: AbstractMapping[str, SourcedText],
    consul: Iterable[SourcedText],
    mappings: Iterable[SourcedText],
    routes: Iterable[SourcedText],
) -> Source:
    """A source that has its mappings and routes as texts."""
    return Source(
        options,
        tuple(consul),
        tuple(map(_mapping_text, mappings)),
        tuple(map(_route_text, routes)),
    )


def from_environment(environ: AbstractMapping[str, str]) -> Source:
    """Consul's own environment variables; an empty variable counts as unset.

    :raises ConfigError: a boolean is invalid to Consul's tools.  These continue with a
        warning, without TLS, or without verifying Consul's certificate.
    """
    said = {
        option: SourcedText(variable, environ[variable])
        for variable, option in ENVIRONMENT.items()
        if environ.get(variable)
    }
    if "verify" in said:
        verify = read(said["verify"], values.go_bool)
        said["verify"] = evolve(said["verify"], text="on" if verify else "off")
    address = SourcedText(
        "CONSUL_HTTP_ADDR", environ.get("CONSUL_HTTP_ADDR") or DEFAULT_CONSUL
    )
    tls = SourcedText("CONSUL_HTTP_SSL", environ.get("CONSUL_HTTP_SSL") or "false")
    return Source(said, (address,), tls=read(tls, values.go_bool))


def from_toml(text: str, path: str) -> Source:
    """Read a TOML file's text; `path` is only named in errors.

    :raises ConfigError: it is not TOML (the error names the line), or a key is not an
        option.
    """
    import tomllib  # here: most gateways have no file

    try:
        return _from_document(tomllib.loads(text), path)
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    except ValueError as error:  # also raised for overlong numbers
        raise ConfigError(f"{path}: not TOML: {error}") from None


def _from_document(document: dict[str, Any], path: str) -> Source:
    maps = document.pop("map", [])
    routes = document.pop("route", [])
    consul = document.pop("consul", [])
    known = {"map", "route", "consul", *OPTIONS}
    for key in document:
        if key not in OPTIONS:
            raise ConfigError(f"{path}: {grammar.unknown('option', key, known)}")
    if not isinstance(maps, list):
        raise ConfigError(f"{path}: map must be a list of strings or [[map]] tables")
    if not _are_texts(routes):
        raise ConfigError(f"{path}: route must be a list of strings, or [[map.route]]")
    addresses = consul if isinstance(consul, list) else [consul]
    if not _are_texts(addresses):
        raise ConfigError(f"{path}: consul must be a string or a list of strings")
    read_maps = [
        _toml_mapping(f"{path}: map {number}", each)
        for number, each in enumerate(maps, 1)
    ]
    return Source(
        {
            key: SourcedText(f"{path}: {key}", _toml_text(f"{path}: {key}", value))
            for key, value in document.items()
        },
        tuple(SourcedText(f"{path}: consul", each) for each in addresses),
        tuple(mapping for mapping, _ in read_maps),
        (
            *(
                _route_text(SourcedText(f"{path}: route {number}", each))
                for number, each in enumerate(routes, 1)
            ),
            *(route for _, routes in read_maps for route in routes),
        ),
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _toml_text(where: str, value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        name = where.rpartition(": ")[2]
        if name in LISTS and value:
            return joined(name, value)
        if name in _LISTS:
            return ",".join(map(str, value))
        if name in BARRED and name not in (
            "compress",
            "dc",
        ):  # its order is one of preference
            return "|".join(map(str, value))
    if isinstance(value, str | int):
        return str(value)
    # The value is left out, since it may hold a token.
    raise ConfigError(f"{where}: must be a string, a whole number or a boolean")


def _toml_mapping(where: str, value: object) -> tuple[RawMapping, list[RawMapping]]:
    """A mapping and its routes."""
    if isinstance(value, str):
        return _mapping_text(SourcedText(where, value)), []
    if not isinstance(value, dict):
        raise ConfigError(f"{where} {value}: must be a string or a [[map]] table")
    routes = value.pop("route", [])
    if not isinstance(routes, list):
        raise ConfigError(f"{where}: route must be given as [[map.route]] tables")
    if routes:
        value.setdefault("service", "-")
    texts = _toml_texts(where, value, "listen", "service", also=("route",))
    listen, service = texts.pop("listen"), texts.pop("service")
    said = SourcedText(where, f"{listen}:{service}")
    mapping = RawMapping(said, listen, _service(service), texts)
    return mapping, [
        _toml_route(f"{where}: route {number}", listen, each)
        for number, each in enumerate(routes, 1)
    ]


def _toml_route(where: str, listen: str, value: object) -> RawMapping:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} {value}: must be a [[map.route]] table")
    texts = _toml_texts(where, value, "match", "service", also=CONDITIONS)
    pattern, service = texts.pop("match"), texts.pop("service")
    said = SourcedText(where, f"{listen}:{pattern}={service}")
    return RawMapping(said, listen, _service(service), texts, pattern)


def _service(text: str) -> str | None:
    return None if text == "-" else text


def _toml_texts(
    where: str, table: dict[str, Any], *needed: str, also: Iterable[str]
) -> dict[str, str]:
    """The texts of a table's values.

    Its keys are `needed`, `also` and options of mappings.
    """
    known = {*needed, *also, *MAPPING_OPTIONS}
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: {grammar.unknown('option', key, known)}")
    texts = {key: _toml_text(f"{where}: {key}", each) for key, each in table.items()}
    if missing := set(needed) - texts.keys():
        raise ConfigError(f"{where}: {' and '.join(sorted(missing))} must be given")
    return texts


def _mapping_text(said: SourcedText) -> RawMapping:
    return RawMapping(said, *read(said, grammar.split_mapping))


def _route_text(said: SourcedText) -> RawMapping:
    listen, pattern, service, options = read(said, grammar.split_route)
    return RawMapping(said, listen, service, options, pattern)
