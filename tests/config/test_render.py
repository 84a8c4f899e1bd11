"""What is configured, as it could be written."""

from collections.abc import Iterable
from typing import Any

import pytest
from attrs import evolve

from lbconsul.config.build import configure
from lbconsul.config.http_options import HTTP_OPTIONS
from lbconsul.config.mapping_options import LISTEN_OPTIONS, MAPPING_OPTIONS
from lbconsul.config.model import Admin, Config, Mapping
from lbconsul.config.options import CONSUL_OPTIONS, GATEWAY_OPTIONS, OPTIONS, SECRETS
from lbconsul.config.render import (
    gateway_options,
    given_options,
    in_words,
    mapping_options,
)
from lbconsul.config.rewriting_options import REWRITING_OPTIONS
from lbconsul.config.tag_options import TAG_OPTIONS

CONFIG = configure(mappings=["80:web,mode=http"])
TAGS_CONFIG = configure(mappings=["80:@tags,mode=http"])

#: Options that only a mapping of tags shows.
OF_TAGS = {option.name for option in TAG_OPTIONS}


def config(**options: str) -> Config:
    """A configuration with these options."""
    is_of_tags = {name.replace("_", "-") for name in options} & OF_TAGS
    mapping = "80:@tags,mode=http" if is_of_tags else "80:web,mode=http"
    return configure(["10.0.0.1:8500", "10.0.0.2"], [mapping], **options)


def shown(found: Config) -> dict[str, str]:
    """All that is shown of it."""
    [mapping] = found.mappings
    return gateway_options(found) | mapping_options(mapping)


def _texts() -> Iterable[tuple[str, str]]:
    for name, texts in {
        "head-timeout": ["1s", "1m"],
        "keepalive-timeout": ["75s"],
        "response-timeout": ["off", "5m"],
        "request-timeout": ["off", "30s"],
        "max-head": ["1KiB", "131072", "10000"],
        "max-uri": ["256", "16KiB"],
        "max-body": ["off", "1", "10MiB"],
        "min-rate": ["off", "1KiB/s", "500"],
        "keep-idle": ["0", "10"],
        "keep-idle-time": ["500ms"],
        "retry-on": ["off", "502", "timeout,504"],
        "trusted-proxies": ["10.0.0.0/8,::1"],
        "forwarded": ["on"],
        "upstream-host": ["keep", "address", "api.internal:8080"],
        "client-cert-headers": ["on"],
        "log-fields": ["off", "request:x-tenant", "response:a,request:a"],
        "eject-5xx": ["0", "5"],
        "basic-auth": ["off", "/etc/htpasswd"],
        "basic-auth-realm": ["Staff only"],
        "compress": ["off", "gzip", "br|gzip"],
        "compress-types": ["text/html,application/json"],
        "compress-min-size": ["1", "10KiB"],
        "compress-level": ["1", "9"],
        "tag": ["v2"],
        "filter": ["Node.Meta.ssd == yes"],
        "dc": ["dc1", "dc1|dc2|dc3"],
        "failback-after": ["500ms", "1h"],
        "near": ["_agent"],
        "sticky": ["off", "cookie:SRV"],
        "cookie-path": ["/", "/app"],
        "cookie-max-age": ["off", "3600s"],
        "cookie-secure": ["on", "off", "auto"],
        "cookie-http-only": ["off"],
        "cookie-same-site": ["strict", "none"],
        "hash-by": ["source", "uri", "header:x-tenant", "cookie:sid"],
        "hash-balance-factor": ["off", "101", "1000"],
        "policy": ["hash", "leastconn", "p2c", "random", "roundrobin", "pkg.mod:Own"],
        "hooks": ["pkg.mod:Own", "audit|pkg.mod:Own"],
        "health": ["passing", "passing,warning", "any"],
        "node-checks": ["on", "off"],
        "connect-timeout": ["1ms", "1234567s", "0.1s"],
        "attempts": ["1", "100"],
        "eject-after": ["0", "7"],
        "eject-latency": ["off", "p99>2s", "p50>250ms;factor=2.5;samples=10"],
        "eject-on-early-close": ["off"],
        "shrink-guard": ["off", "99%"],
        "when-empty": ["close", "wait=2m", "fallback=sorry", "fallback=h:80"],
        "slow-start": ["off", "30s"],
        "max-connections-per-upstream": ["0", "10"],
        "queue-timeout": ["7s"],
        "drain-timeout": ["277777h"],
        "close-on-critical": ["on"],
        "max-age": ["off", "1h"],
        "rebalance": ["off", "5%/min"],
        "max-connections": ["0", "999999999"],
        "allow": ["10.0.0.0/8,::1"],
        "deny": ["192.0.2.1"],
        "unix-mode": ["660", "0600", "007"],
        "allow-empty": ["on", "off"],
        "token-file": ["/token"],
        "ca-file": ["/ca"],
        "verify": ["on", "off"],
        "ca-path": ["/cas"],
        "tls-server-name": ["consul.example", "::1"],
        "namespace": ["team"],
        "partition": ["east"],
        "state-dir": ["/state"],
        "shutdown-grace": ["off", "5s"],
        "takeover": ["/run/lb.sock"],
        "connection-log": ["off"],
        "log-format": ["json"],
        "admin": ["off", "0.0.0.0:9200", "unix:/run/admin", "9201"],
        "admin-token-file": ["/admin"],
        "admin-open-read": ["on"],
        "consul-ui": ["https://consul.example.com/ui", "off"],
        "workers": ["auto", "1", "7"],
        "log-file-size": ["off", "64KiB", "10240KiB"],
        "mode": ["http"],
        "set-header": ["X-A: $host", "X-A: 1, 2,set-header=X-B: 3"],
        "remove-header": ["X-A", "X-A,remove-header=X-B"],
        "strip-prefix": ["/api"],
        "rewrite": ["^/a(/.*)?$ /b$1"],
        "redirect": ["301,https://a.com$path?$query"],
        "redirect-https": ["on"],
        "hsts": ["8760h;includeSubDomains;preload"],
        "register": ["off", "web-edge"],
        "register-tags": ["edge", "edge|a=b"],
        "register-meta": ["zone=a|team=web"],
        "register-address": ["edge.example.com", "[2001:db8::1]:80"],
        "register-ttl": ["30s"],
        "register-remove-after": ["1h"],
        "tag-prefix": ["route-"],
        "tcp-listeners": ["off", "3000-3999"],
        "kv-overrides": ["off", "fabio/config"],
        "route-hold": ["off", "1m"],
        "error-page": ["503:/a.html,error-page=502:/b.txt"],
    }.items():
        yield from ((name, text) for text in texts)


@pytest.mark.parametrize(("name", "text"), list(_texts()))
def test_can_be_written(name: str, text: str) -> None:
    """An option's shown text can be written back, with the same value."""
    found = shown(config(**{name.replace("-", "_"): text}))[name]
    assert OPTIONS[name].parse(found) == OPTIONS[name].parse(text)


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - SECRETS))
def test_defaults(name: str) -> None:
    """The defaults are shown where there is one, so that they could be written."""
    config = TAGS_CONFIG if name in OF_TAGS else CONFIG
    found = shown(config)
    option = OPTIONS[name]
    owners: list[tuple[dict[str, Any], Any]] = [
        (MAPPING_OPTIONS, config.mappings[0]),
        (CONSUL_OPTIONS, config.consul),
        (GATEWAY_OPTIONS, config),
    ]
    [value] = [option.value_in(owner) for table, owner in owners if name in table]
    if name in found:
        assert option.parse(found[name]) == value
    else:
        assert not value


def test_secrets() -> None:
    """Of a token or password only that there is one is shown."""
    for name in SECRETS:
        found = shown(config(**{name.replace("-", "_"): "s3cret"}))
        assert found[name] == "(hidden)"
        assert "s3cret" not in str(found)
        assert name not in shown(CONFIG)


def test_addresses() -> None:
    """Consul's addresses are shown, all of them."""
    found = gateway_options(config())
    assert found["consul"] == "http://10.0.0.1:8500,http://10.0.0.2:8500"


def test_not_said() -> None:
    """An option without a value is not shown."""
    found = mapping_options(Mapping("web"))
    assert not {"tag", "filter", "dc", "near", "allow", "queue-timeout"} & found.keys()
    assert found["max-connections"] == "0"


def test_of_http() -> None:
    """A mapping has options of HTTP with `mode=http` only."""
    names = {option.name for option in HTTP_OPTIONS}
    [http] = CONFIG.mappings
    assert names - mapping_options(http).keys() == {"trusted-proxies"}
    names |= {option.name for option in REWRITING_OPTIONS}
    assert not names & mapping_options(evolve(http, mode="tcp")).keys()


def test_in_words() -> None:
    """In words a mapping has its options that are not the defaults."""
    for mapping in (
        "80:web",
        "81:web policy=p2c health=any",
        "82:web drain-timeout=7s mode=http max-body=1MiB",
        "83:web mode=http set-header=X-A: a,set-header=Authorization: (hidden)",
    ):
        text = mapping.replace("(hidden)", "s3cret").replace(" ", ",")
        [found] = configure(mappings=[text.replace(":,", ": ")]).mappings
        assert sorted(in_words(found).split()) == sorted(mapping.split())


def test_given_options() -> None:
    """Of the gateway's options those are given that are not the defaults."""
    plain = "--consul=http://127.0.0.1:8500 --admin=off"
    assert given_options(configure(mappings=["80:web"])) == plain
    found = given_options(config(admin="127.0.0.1:9200", token="t0p", workers="2"))
    consul = "http://10.0.0.1:8500,http://10.0.0.2:8500"
    assert found == f"--consul={consul} --token=(hidden) --workers=2"


def test_secret_fields() -> None:
    """Of a header field with a secret only the name is shown."""
    found = shown(config(set_header="Authorization: Bearer s3cret"))
    assert found["set-header"] == "Authorization: (hidden)"


def test_embedded() -> None:
    """Nowhere to look at is off."""
    assert gateway_options(evolve(CONFIG, admin=Admin(None)))["admin"] == "off"


def test_route() -> None:
    """A route is shown without the options of the address, which it cannot have."""
    mappings, routes = ["443:-,mode=sni,policy=p2c"], ["443:a.com=a,tag=v2"]
    [mapping] = configure(mappings=mappings, routes=routes).mappings
    [route] = mapping.routes
    shown = mapping_options(route)
    assert (shown["policy"], shown["tag"]) == ("p2c", "v2")
    assert shown.keys() == mapping_options(mapping).keys() - LISTEN_OPTIONS | {"tag"}
