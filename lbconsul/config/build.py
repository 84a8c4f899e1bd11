"""Builds one configuration from its sources.

The command line overrides lbconsul's own variables in the environment, these the file,
and the file Consul's variables.
"""

from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from functools import partial
from typing import Any

from attrs import evolve

from lbconsul.config import grammar, validate
from lbconsul.config.consul import ConsulAddress, ConsulConfig
from lbconsul.config.listen import UnixListen
from lbconsul.config.mapping_options import MAPPING_OPTIONS
from lbconsul.config.mappings import build_mappings
from lbconsul.config.model import Admin, Config
from lbconsul.config.options import CONSUL_OPTIONS, GATEWAY_OPTIONS, OPTIONS, SECRETS
from lbconsul.config.sources import (
    Source,
    SourcedText,
    from_command_line,
    read,
)
from lbconsul.errors import ConfigError

#: A token, and the file that may hold it instead.
_TOKENS = (
    ("token", "token-file"),
    ("admin-token", "admin-token-file"),
    ("admin-read-token", "admin-read-token-file"),
)


def configure(
    consul: Iterable[str] = (),
    mappings: Iterable[str] = (),
    routes: Iterable[str] = (),
    **options: str,
) -> Config:
    """Build a configuration for a program that embeds a gateway.

    The texts are those of the command line: ``configure(["consul:8500"],
    ["8080:web,tag=v2"], connect_timeout="1s")``; `routes` are those of ``--route``.
    Unlike there, the admin listener is off by default: ``admin="127.0.0.1:9200"``.

    :raises ConfigError: the configuration is invalid.
    """
    texts = {key.replace("_", "-"): text for key, text in options.items()}
    for key in texts:
        if key not in OPTIONS:
            raise ConfigError(grammar.unknown("option", key, OPTIONS))
    texts.setdefault("admin", "off")
    return build(Source(), Source(), from_command_line(texts, consul, mappings, routes))


def build(environment: Source, *sources: Source, dev: bool = False) -> Config:
    """Build the whole configuration.

    `environment` has Consul's own variables; of the other sources the weakest comes
    first.  Mappings and routes of all of them are served; a mapping of a stronger
    source replaces that of a weaker one with the same listening address, its routes
    included, and a route replaces that of a weaker one for the same clients.

    :raises ConfigError: the configuration is invalid.
    """
    options = _strongest(environment, *sources)
    values = {key: _read_option(key, each) for key, each in options.items()}
    defaults = {key: values[key] for key in values if key in MAPPING_OPTIONS}
    if not any(each.mappings for each in sources):
        raise _nothing_to_balance(sources[-1])
    sourced = build_mappings(sources, defaults)
    admin = values.get("admin", Admin(None))
    validate.reject_duplicates(sourced, values.get("takeover", ""), admin.listen)
    mappings = tuple(mapping for _, mapping in sourced)
    places = {key: each.where for key, each in options.items()}
    consul = ConsulConfig(places=places, **_chosen(values, CONSUL_OPTIONS))
    own_texts = [each.consul for each in sources if each.consul]
    consul_texts = own_texts[-1] if own_texts else environment.consul
    address = partial(
        grammar.consul_address,
        # The catalog of --dev speaks no TLS, whatever the variables say of another
        # Consul.
        tls=environment.tls and not dev,
        ports=grammar.CONSUL_PORTS if own_texts else grammar.WEB_PORTS,
    )
    if consul_texts:
        addresses = tuple(read(each, address) for each in consul_texts)
        consul = evolve(consul, addresses=addresses)
    if dev:
        consul = _dev_consul(consul, consul_texts)
    _refuse_half_a_pair(consul)
    _refuse_admin_tls(options, admin)
    return Config(consul, mappings, dev=dev, **_chosen(values, GATEWAY_OPTIONS))


def _strongest(*weak_to_strong: Source) -> dict[str, SourcedText]:
    """The options in force.

    A token or token file of a stronger source hides both of a weaker one, and so
    does a CA file or directory.
    """
    merged: dict[str, SourcedText] = {}
    environment = weak_to_strong[0]  # Consul's variables may have both
    for source in weak_to_strong:
        for pair in _TOKENS:
            tokens = source.options.keys() & pair
            if len(tokens) == 2 and source is not environment:
                where = source.options[pair[1]].where
                raise ConfigError(f"{where}: give a token or a token file, not both")
            if tokens:
                for each in pair:
                    merged.pop(each, None)
        if "ca-path" in source.options:
            merged.pop("ca-file", None)
        merged.update(source.options)
    return merged


def _chosen(
    values: AbstractMapping[str, Any], table: AbstractMapping[str, Any]
) -> dict[str, Any]:
    return {
        table[name].attribute: value for name, value in values.items() if name in table
    }


def _nothing_to_balance(command_line: Source) -> ConfigError:
    why = "nothing to balance: give --map PORT:SERVICE, such as --map 80:webserver"
    if len(command_line.consul) != 1:
        return ConfigError(why)
    # The operator may have mistyped a mapping.
    return command_line.consul[0].wrong(f"taken as Consul's address, so there is {why}")


def _dev_consul(consul: ConsulConfig, said: tuple[SourcedText, ...]) -> ConsulConfig:
    """The address of --dev's catalog: loopback only, since it has no access control."""
    for address, each in zip(consul.addresses, said, strict=False):
        if not _is_loopback(address):
            raise each.wrong(
                "with --dev this must be a loopback address, such as 127.0.0.1"
            )
    return ConsulConfig(addresses=consul.addresses[:1])


def _is_loopback(address: ConsulAddress) -> bool:
    return address.scheme == "http" and grammar.is_loopback(address.host)


def _refuse_admin_tls(options: AbstractMapping[str, SourcedText], admin: Admin) -> None:
    if "admin-client-ca" in options and "admin-tls" not in options:
        raise ConfigError(f"{options['admin-client-ca'].where} needs --admin-tls")
    if "admin-tls" in options and isinstance(admin.listen, UnixListen):
        raise options["admin-tls"].wrong(
            "needs a TCP address in --admin: a UNIX socket has no TLS"
        )


def _refuse_half_a_pair(consul: ConsulConfig) -> None:
    if consul.client_key and not consul.client_cert:
        raise ConfigError(f"{consul.where('client-key')} needs --client-cert")


def _read_option(name: str, said: SourcedText) -> Any:
    shown = evolve(said, text="(hidden)") if name in SECRETS else said
    try:
        return OPTIONS[name].parse(said.text)
    except ValueError as error:
        raise shown.wrong(str(error)) from None
