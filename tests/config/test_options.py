"""The table of options: it agrees with the values, the policies and itself."""

import re

import pytest
from attrs import fields

from lbconsul.balance import policies
from lbconsul.config.affinity import Affinity
from lbconsul.config.check import Check
from lbconsul.config.compression import Compression
from lbconsul.config.consul import ConsulConfig
from lbconsul.config.cookies import CookieAttributes
from lbconsul.config.http import HTTP
from lbconsul.config.lists import LISTS
from lbconsul.config.mapping_options import MAPPING_OPTIONS, POLICIES
from lbconsul.config.model import (
    TLS,
    Config,
    Drain,
    Ejection,
    Limits,
    Mapping,
    ProxyProtocol,
    ShrinkGuard,
    Timeouts,
    UpstreamTLS,
)
from lbconsul.config.option import Option
from lbconsul.config.options import CONSUL_OPTIONS, GATEWAY_OPTIONS, OPTIONS
from lbconsul.config.register import Register
from lbconsul.config.rewriting import Rewriting
from lbconsul.config.tag_routing import TagRouting

#: What a mapping has beside its options.
ITS_OWN = {"service", "listen", "route", "routes", "selection", "part", "parts"}

#: What only mappings of tags in Consul, and their rows, have beside them.
OF_TAGS = {
    "rewriting.strips_within_segments",
    "rewriting.redirects_rewritten",
    "tags.is_on",  # the service of the mapping says so
}


#: Fields of a mapping that hold a group of options.
GROUPS = {
    "affinity": Affinity,
    "cookies": CookieAttributes,
    "timeouts": Timeouts,
    "limits": Limits,
    "ejection": Ejection,
    "shrink_guard": ShrinkGuard,
    "drain": Drain,
    "tls": TLS,
    "upstream_tls": UpstreamTLS,
    "proxy_protocol": ProxyProtocol,
    "http": HTTP,
    "compression": Compression,
    "rewriting": Rewriting,
    "register": Register,
    "tags": TagRouting,
    "check": Check,
}


def _field_names(of: type) -> set[str]:
    return {each.name for each in fields(of)}


def test_a_mapping_has_a_place_for_each_option() -> None:
    """Each option of a mapping is kept in it, and it keeps nothing else."""
    attributes = {option.attribute for option in MAPPING_OPTIONS.values()}
    grouped = {
        f"{name}.{each}"
        for name, group in GROUPS.items()
        for each in _field_names(group)
    }
    own = (_field_names(Mapping) - ITS_OWN - GROUPS.keys()) | grouped
    assert attributes == own - OF_TAGS


def test_the_other_options_have_their_places_too() -> None:
    """Each option about Consul, or about the gateway, is kept in the configuration."""
    consul = {option.attribute for option in CONSUL_OPTIONS.values()}
    assert consul == _field_names(ConsulConfig) - {"addresses", "places"}
    gateway = {option.attribute for option in GATEWAY_OPTIONS.values()}
    assert gateway == _field_names(Config) - {"consul", "mappings", "dev"}


def test_no_two_options_share_a_name() -> None:
    """Each option's name alone says which part it concerns."""
    tables = (MAPPING_OPTIONS, CONSUL_OPTIONS, GATEWAY_OPTIONS)
    assert len(OPTIONS) == sum(map(len, tables))


def test_the_policies_are_those_there_are() -> None:
    """Each policy that can be named exists, and each that exists can be named."""
    assert set(POLICIES) == set(policies.POLICIES)


def _promised() -> list[tuple[Option, str]]:
    promises = []
    for option in OPTIONS.values():
        promised = re.search(r"\[([^\]]*)\]$", option.help)
        if promised and option.name != "dc":  # [the agent's own] is no text
            promises.append((option, promised[1]))
    return promises


@pytest.mark.parametrize(("option", "default"), _promised())
def test_the_help_tells_the_defaults(option: Option, default: str) -> None:
    """The defaults in the help are those that hold."""
    config = Config(ConsulConfig(), (Mapping("web"),))
    owners = (
        (MAPPING_OPTIONS, config.mappings[0]),
        (CONSUL_OPTIONS, config.consul),
        (GATEWAY_OPTIONS, config),
    )
    [owner] = [owner for table, owner in owners if option.name in table]
    assert option.value_in(owner) == option.parse(default)


def test_defaults_are_told_at_all() -> None:
    """The help tells the defaults of numbers, durations, switches and choices; the
    queue's timeout depends on another option, which it names."""
    assert "if not given, as long as connect-timeout" in OPTIONS["queue-timeout"].help
    assert {option.name for option, _ in _promised()} == {
        "policy", "health", "node-checks", "connect-timeout", "attempts",
        "hash-balance-factor", "sticky", "cookie-path", "cookie-max-age",
        "cookie-secure", "cookie-http-only", "cookie-same-site",
        "idle-timeout", "half-close-timeout", "max-connections", "unix-mode", "verify",
        "connection-log", "workers", "eject-latency", "eject-after", "eject-base-time",
        "eject-on-early-close",
        "failback-after", "shrink-guard", "shrink-hold", "when-empty", "slow-start",
        "max-connections-per-upstream", "queue-length", "drain-timeout",
        "close-on-critical", "max-age", "rebalance", "max-connections-per-client",
        "shutdown-grace", "log-format", "admin", "admin-open-read", "allow-empty",
        "consul-wait", "log-file-size", "log-file-keep", "mode", "tls-min",
        "client-verify", "upstream-tls", "upstream-verify", "send-proxy",
        "first-byte-timeout", "wait-for-client", "head-timeout", "keepalive-timeout",
        "response-timeout", "request-timeout", "max-head", "max-uri", "max-body",
        "min-rate", "keep-idle", "keep-idle-time", "retry-on", "forwarded", "via",
        "upstream-host", "traceparent", "client-cert-headers", "server-timing",
        "log-fields", "eject-5xx", "redirect-https", "hsts", "register",
        "basic-auth", "basic-auth-realm", "compress", "compress-min-size",
        "compress-level", "register-ttl", "register-remove-after", "max-requests",
        "shed-lag", "split-sticky", "tag-prefix", "tcp-listeners", "kv-overrides",
        "route-hold", "tag-matcher",
        "check", "check-interval",
        "check-fast-interval", "check-timeout", "check-rise", "check-fall",
        "check-jitter", "check-init", "check-fail-open", "check-rate",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["filter", "token", "token-file", "ca-file"])
def test_texts(name: str) -> None:
    """A text is taken as it is, if there is one, and no control character in it."""
    parse = OPTIONS[name].parse
    assert parse('Service.Meta.zone == "a, b"') == 'Service.Meta.zone == "a, b"'
    for wrong in ("", "a\nb", "\x00"):
        with pytest.raises(ValueError, match="must not be empty or hold control"):
            parse(wrong)


def test_lists() -> None:
    """An option that may be given more than once says so."""
    for option in OPTIONS.values():
        assert option.is_list == ("may be given more than once" in option.help)
        assert option.is_list == (option.name in LISTS)
