"""What the environment, a TOML file and the command line say.

Each becomes a `Source`: texts, each with the place where it stood, so that
whatever is wrong with it can be told there.
"""

import re
import tomllib
from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from typing import Any

from attrs import Factory, evolve, frozen

from lbconsul.config import grammar, values
from lbconsul.config.options import MAPPING_OPTIONS, OPTIONS
from lbconsul.errors import ConfigError

#: Consul's own variables and the option that each stands for, as its Go client has
#: them: https://github.com/hashicorp/consul/blob/main/api/api.go
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
_LISTS = frozenset({"health", "allow", "deny", "upstream-allow"})

#: Where Consul's own tools look for an agent.
DEFAULT_CONSUL = "127.0.0.1:8500"


@frozen
class SourcedText:
    """A text and the place where it stood, as an error would name it."""

    where: str
    text: str

    def wrong(self, why: str) -> ConfigError:
        """The error to raise about this text, without any password in it."""
        text = re.sub(r"//[^/@]*@|(token|http-auth)=[^,]*", "(hidden)", self.text)
        return ConfigError(f"{self.where} {text}: {why}")


def read(said: SourcedText, parse: Any) -> Any:
    try:
        return parse(said.text)
    except ValueError as error:
        raise said.wrong(str(error)) from None


@frozen
class RawMapping:
    """A mapping, cut up but not yet read; `said` is the whole of it."""

    said: SourcedText
    listen: str
    service: str
    options: AbstractMapping[str, str]

    def wrong(self, option: str, why: str) -> ConfigError:
        """The error to raise about one of its options."""
        whole = f"{self.said.where} {self.said.text}:"
        return SourcedText(whole, f"{option}={self.options[option]}").wrong(why)


@frozen
class Source:
    """What one source says: single values by option name, and the lists."""

    options: AbstractMapping[str, SourcedText] = Factory(dict)
    consul: tuple[SourcedText, ...] = ()
    mappings: tuple[RawMapping, ...] = ()
    #: Whether Consul is spoken to by TLS, even at an address that says http.
    tls: bool = False


def from_command_line(
    options: AbstractMapping[str, str],
    consul: Iterable[str],
    mappings: Iterable[str],
) -> Source:
    """What twistd's parser found, as a source."""
    return Source(
        {name: SourcedText(f"--{name}", text) for name, text in options.items()},
        tuple(SourcedText("--consul", text) for text in consul),
        tuple(_mapping_text(SourcedText("--map", text)) for text in mappings),
    )


def from_environment(environ: AbstractMapping[str, str]) -> Source:
    """Consul's own environment variables; an empty one counts as not set.

    :raises ConfigError: a boolean is none to Consul's tools.  These go on with a
        warning, without TLS, or without a look at Consul's certificate.
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
    """A TOML file's text; `path` is only named in errors.

    :raises ConfigError: it is not TOML (the line is told), or a key is not
        an option.
    """
    try:
        return _from_document(tomllib.loads(text), path)
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    except ValueError as error:  # of numbers with too many digits, too
        raise ConfigError(f"{path}: not TOML: {error}") from None


def _from_document(document: dict[str, Any], path: str) -> Source:
    maps = document.pop("map", [])
    consul = document.pop("consul", [])
    known = {"map", "consul", *OPTIONS}
    for key in document:
        if key not in OPTIONS:
            raise ConfigError(f"{path}: {grammar.unknown('option', key, known)}")
    if not isinstance(maps, list):
        raise ConfigError(f"{path}: map must be a list of strings or [[map]] tables")
    addresses = consul if isinstance(consul, list) else [consul]
    if not all(isinstance(each, str) for each in addresses):
        raise ConfigError(f"{path}: consul must be a string or a list of strings")
    return Source(
        {
            key: SourcedText(f"{path}: {key}", _toml_text(f"{path}: {key}", value))
            for key, value in document.items()
        },
        tuple(SourcedText(f"{path}: consul", each) for each in addresses),
        tuple(
            _toml_mapping(f"{path}: map {number}", each)
            for number, each in enumerate(maps, 1)
        ),
    )


def _toml_text(where: str, value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list) and where.rpartition(": ")[2] in _LISTS:
        return ",".join(map(str, value))
    if isinstance(value, str | int):
        return str(value)
    # Without the value, which may hold a token.
    raise ConfigError(f"{where}: must be a string, a whole number or a boolean")


def _toml_mapping(where: str, value: object) -> RawMapping:
    if isinstance(value, str):
        return _mapping_text(SourcedText(where, value))
    if not isinstance(value, dict):
        raise ConfigError(f"{where} {value}: must be a string or a [[map]] table")
    known = {"listen", "service", *MAPPING_OPTIONS}
    for key in value:
        if key not in known:
            raise ConfigError(f"{where}: {grammar.unknown('option', key, known)}")
    texts = {key: _toml_text(f"{where}: {key}", each) for key, each in value.items()}
    if missing := {"listen", "service"} - texts.keys():
        raise ConfigError(f"{where}: {' and '.join(sorted(missing))} must be given")
    listen, service = texts.pop("listen"), texts.pop("service")
    said = SourcedText(where, f"{listen}:{service}")
    return RawMapping(said, listen, service, texts)


def _mapping_text(said: SourcedText) -> RawMapping:
    return RawMapping(said, *read(said, grammar.split_mapping))
