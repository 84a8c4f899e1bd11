"""The options as environment variables: ``LBCONSUL_CONNECT_TIMEOUT``.

A container's environment says so what it could say on the command line.  Kubernetes and
Docker put variables of this form there as well, for a service that is called lbconsul.
"""

import re
from collections.abc import Iterator
from collections.abc import Mapping as AbstractMapping
from difflib import get_close_matches

from attrs import frozen

from lbconsul.config import grammar, values
from lbconsul.config.lists import LISTS
from lbconsul.config.option import joined
from lbconsul.config.options import OPTIONS
from lbconsul.config.sources import Source, SourcedText, from_texts, read
from lbconsul.errors import ConfigError

PREFIX = "LBCONSUL_"

#: What is no `Option`: it may be given several times, or is about the sources.
OTHERS = ("config", "consul", "dev", "map", "route")

#: What the commands that ask a gateway read beside its own variables.
_OF_COMMANDS = ("ADMIN_CA", "ADMIN_CERT")

#: Between two mappings or routes: a line break, or a blank behind which the
#: next mapping or route begins.
_BREAK = re.compile(
    r"\s*\n\s*|\s+(?=unix:/|systemd:|\d+:|\[[^\]\s]*\]:\d+:|[\w.-]+:\d+:)"
)

#: Between two addresses of Consul.
_BETWEEN_ADDRESSES = re.compile(r"[\s,]+")

#: What Kubernetes and Docker set for a service that is called lbconsul:
#: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_PLATFORM = re.compile(r"PORT(_.*)?|SERVICE_(HOST|PORT(_.*)?)|NAME|ENV_.*")

#: How alike a variable and an option's must be, from 0 to 1, to be taken for a slip.
_NEAR = 0.8


@frozen
class Variables:
    """What lbconsul's own variables say."""

    source: Source
    #: The path of the TOML file, and whether ``--dev`` is meant; None: not said.
    config: SourcedText | None = None
    dev: bool | None = None


def variable(option: str) -> str:
    """The environment variable of an option."""
    return PREFIX + option.upper().replace("-", "_")


def from_variables(environ: AbstractMapping[str, str]) -> Variables:
    """What ``LBCONSUL_*`` say; an empty variable counts as unset.

    :raises ConfigError: one has nearly the name of an option's, or an invalid value.
    """
    ours = {key: text for key, text in environ.items() if key.startswith(PREFIX)}
    known = {variable(each): each for each in (*OPTIONS, *OTHERS)}
    for key in sorted(ours.keys() - known.keys()):
        _refuse_mistyped(key, known)
    said = {known[key]: text for key, text in ours.items() if text and key in known}
    options = {
        name: SourcedText(variable(name), _option(name, text))
        for name, text in said.items()
        if name in OPTIONS
    }
    source = from_texts(
        options,
        _several("consul", said, _BETWEEN_ADDRESSES),
        _several("map", said, _BREAK),
        _several("route", said, _BREAK),
    )
    config = _said("config", said["config"]) if "config" in said else None
    dev = read(_said("dev", said["dev"]), values.switch) if "dev" in said else None
    return Variables(source, config, dev)


def _said(name: str, text: str) -> SourcedText:
    return SourcedText(variable(name), text)


def _several(
    name: str, said: AbstractMapping[str, str], between: re.Pattern[str]
) -> Iterator[SourcedText]:
    texts = between.split(said.get(name, "").strip())
    return (_said(name, each) for each in texts if each)


def _option(name: str, text: str) -> str:
    """An option's text; one that may be given several times has a line for each."""
    if name not in LISTS:
        return text
    return joined(name, filter(None, map(str.strip, text.splitlines())))


def _refuse_mistyped(key: str, known: AbstractMapping[str, str]) -> None:
    """Refuse a variable that is likely to be meant as an option.

    Others are none of our business: an image's LBCONSUL_VERSION, for example.
    """
    word = key.removeprefix(PREFIX)
    if word in _OF_COMMANDS or _PLATFORM.fullmatch(word):
        return
    option = word.lower().replace("_", "-")
    if option in grammar.RENAMED:
        raise ConfigError(f"{key} is called {variable(grammar.RENAMED[option])} now")
    near = get_close_matches(option, known.values(), 1, _NEAR)
    if near:
        raise ConfigError(f"unknown variable {key}; did you mean {variable(near[0])}?")
