"""Renders a configuration as the texts of its options."""

from collections.abc import Set
from functools import lru_cache
from typing import Any

from lbconsul.config.affinity_options import STICKY_OPTIONS
from lbconsul.config.consul import ConsulConfig
from lbconsul.config.http_options import HTTP_OPTIONS
from lbconsul.config.lists import LISTS
from lbconsul.config.mapping_options import LISTEN_OPTIONS, MAPPING_OPTIONS
from lbconsul.config.model import Config, Mapping
from lbconsul.config.option import BARRED, Option, joined
from lbconsul.config.options import CONSUL_OPTIONS, GATEWAY_OPTIONS, SECRETS
from lbconsul.config.rewriting_options import REWRITING_OPTIONS
from lbconsul.config.sizes import size_text
from lbconsul.config.tag_options import TAG_OPTIONS
from lbconsul.text import decimal

_UNITS = {"check-jitter": "%", "shrink-guard": "%", "rebalance": "%/min"}
_SIZES = frozenset(
    {"log-file-size", "max-head", "max-uri", "max-body", "compress-min-size"}
)

#: Options that a mapping has only with ``mode=http``.
_OF_HTTP = frozenset(
    [
        "max-requests",
        *(each.name for each in (*HTTP_OPTIONS, *REWRITING_OPTIONS, *STICKY_OPTIONS)),
    ]
)

#: Options that a mapping has only where tags are its routes.
_OF_TAGS = frozenset(option.name for option in TAG_OPTIONS)

_DEFAULT = Mapping("web")

#: So many mappings' options are remembered: they are asked for again and again.
_MANY = 1 << 14


@lru_cache(_MANY)
def mapping_options(mapping: Mapping) -> dict[str, str]:
    """A mapping's options by name, defaults included, but without empty ones.

    A route has no options of the listening address, and only ``mode=http`` has those
    of HTTP.
    """
    hidden, shown = _hidden(mapping), _shown(MAPPING_OPTIONS, mapping)
    return {name: text for name, text in shown.items() if name not in hidden}


def _hidden(mapping: Mapping) -> Set[str]:
    hidden = LISTEN_OPTIONS if mapping.route else frozenset()
    if not mapping.tags.is_on:
        hidden |= _OF_TAGS
    return hidden if mapping.mode == "http" else hidden | _OF_HTTP


def gateway_options(config: Config) -> dict[str, str]:
    """The gateway's own options by name; secrets are hidden."""
    consul = ",".join(map(str, config.consul.addresses))
    shown = {"consul": consul, **_shown(CONSUL_OPTIONS, config.consul)}
    return shown | _shown(GATEWAY_OPTIONS, config)


def in_words(mapping: Mapping) -> str:
    """A mapping with its options that are not the defaults: ``80:web policy=p2c``."""
    words, hidden = [str(mapping)], _hidden(mapping)
    for name, option in MAPPING_OPTIONS.items():
        value = option.value_in(mapping)
        if value != option.value_in(_DEFAULT) and name not in hidden:
            words.append(f"{name}={_text(name, value)}")
    return " ".join(words)


def given_options(config: Config) -> str:
    """The gateway's options that are not the defaults, as on a command line.

    Consul's address is always among them; secrets are hidden.
    """
    usual = gateway_options(Config(ConsulConfig(), ()))
    return " ".join(
        f"--{name}={text}"
        for name, text in gateway_options(config).items()
        if name == "consul" or text != usual.get(name)
    )


def _shown(table: dict[str, Option], owner: object) -> dict[str, str]:
    texts = {
        name: _text(name, option.value_in(owner)) for name, option in table.items()
    }
    return {name: text for name, text in texts.items() if text}


def _text(name: str, value: Any) -> str:
    if name in SECRETS:
        return "(hidden)" if value else ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if name == "queue-timeout" and not value:
        return ""  # the same as connect-timeout
    if isinstance(value, float):
        return f"{decimal(value)}s" if value else "off"
    if name in _UNITS:
        return f"{value}{_UNITS[name]}" if value else "off"
    if name == "hash-balance-factor":
        return str(value or "off")
    if name == "sticky":
        return f"cookie:{value}" if value else "off"
    if name == "unix-mode":
        return f"{value:03o}"
    if name in _SIZES:
        return size_text(value)
    if name == "min-rate":
        return f"{size_text(value)}/s" if value else "off"
    if name == "compress" and not value:
        return "off"
    if name == "eject-latency":
        return str(value or "off")
    if name == "basic-auth":
        return value or "off"
    if name == "upstream-host":
        return value or "keep"
    if name == "retry-on":
        return ",".join(sorted(value)) or "off"
    if name in ("register", "kv-overrides"):
        return value or "off"
    if name == "check":
        return str(value or "off")
    if name == "tcp-listeners":
        return "-".join(map(str, value)) or "off"
    if name == "log-fields":
        return ",".join(value) or "off"
    if name == "workers":
        return str(value or "auto")
    if name == "health":
        return "any" if "critical" in value else ",".join(sorted(value))
    if name in LISTS:
        return joined(name, value)
    if isinstance(value, tuple):
        return ("|" if name in BARRED else ",").join(map(str, value))
    return "" if value is None else str(value)
