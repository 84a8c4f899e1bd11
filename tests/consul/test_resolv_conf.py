"""What resolv.conf and hosts files say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.consul.resolv_conf import (
    ResolvConf,
    absolute,
    addresses_of,
    by_preference,
    parse_hosts,
    parse_resolv_conf,
)


def test_a_whole_resolv_conf() -> None:
    """Servers, domains and options are read; comments are not."""
    text = """# a comment
; another
nameserver 192.0.2.1 # the first
nameserver fe80::1%eth0
nameserver 2001:DB8:0::2
nameserver 192.0.2.4
search corp.example example.
options ndots:5 timeout:1 attempts:3 rotate
options use-vc no-aaaa
"""
    assert parse_resolv_conf(text) == ResolvConf(
        ("192.0.2.1", "fe80::1%eth0", "2001:db8::2"),
        ("corp.example", "example"),
        5,
        1,
        3,
        True,
        True,
        True,
    )


@pytest.mark.parametrize(
    "text", ["", "nameserver\nnameserver ns.example\noptions ndots:x ndots: timeout\n"]
)
def test_a_resolv_conf_without_sense(text: str) -> None:
    """Without a server that of this host is asked, as by the C library."""
    assert parse_resolv_conf(text) == ResolvConf(("127.0.0.1",))


def test_options_out_of_bounds() -> None:
    """
    Options out of bounds are clamped as in the C library; of several the last one
    holds.
    """
    conf = parse_resolv_conf(
        "options ndots:99 timeout:0 attempts:4294967297 ndots:98 attempts:9 timeout:99"
    )
    assert (conf.ndots, conf.timeout, conf.attempts) == (15, 30, 5)
    assert parse_resolv_conf("options timeout:0").timeout == 1


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("", ("corp.example",)),
        ("domain one.example two.example", ("one.example",)),
        ("search one.example\nsearch", ()),
        ("domain one.example\nsearch two.example", ("two.example",)),
        ("search . a..b bad\x00name fine.example", ("fine.example",)),
    ],
)
def test_search_domains(text: str, search: tuple[str, ...]) -> None:
    """The last line holds; without one it is the domain of the host's own name."""
    assert parse_resolv_conf(text, "host.corp.example").search == search


@pytest.mark.parametrize(
    ("name", "ndots", "candidates"),
    [
        ("web", 1, ["web.a.example", "web.b", "web"]),
        ("web.corp", 1, ["web.corp", "web.corp.a.example", "web.corp.b"]),
        ("web.corp", 2, ["web.corp.a.example", "web.corp.b", "web.corp"]),
        ("web.corp.", 5, ["web.corp"]),
        ("web", 0, ["web", "web.a.example", "web.b"]),
    ],
)
def test_candidates(name: str, ndots: int, candidates: list[str]) -> None:
    """A name with few dots is searched first, one with a dot at its end never."""
    conf = ResolvConf(search=("a.example", "b"), ndots=ndots)
    assert conf.candidates(name) == candidates


def test_a_name_too_long_to_be_searched() -> None:
    """A domain that makes a name too long is left out."""
    name = ".".join(["x" * 49] * 5)
    assert ResolvConf(search=("example", "a")).candidates(name) == [name, f"{name}.a"]


def test_a_whole_hosts_file() -> None:
    """Each name has the addresses of all its lines, whatever its case."""
    text = """127.0.0.1 localhost
::1\tlocalhost ip6-localhost # a comment
10.0.0.1 Web.Example web
10.0.0.2 web 10.0.0.1
10.0.0.1 web
# 10.0.0.3 web
10.0.0.4
nonsense web
"""
    hosts = parse_hosts(text)
    assert addresses_of("localhost", hosts) == ["127.0.0.1", "::1"]
    assert addresses_of("web.example", hosts) == ["10.0.0.1"]
    assert addresses_of("web", hosts) == ["10.0.0.1", "10.0.0.2"]
    assert addresses_of("a", hosts) == []


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Web.Example", "web.example"),
        ("web.example.", "web.example."),
        ("my_consul", "my_consul"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("x" * 63 + ".example", "x" * 63 + ".example"),
    ],
)
def test_host_names(host: str, name: str) -> None:
    """A name is asked for in ASCII; Docker's networks have underscores."""
    assert absolute(host) == name


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "a..b",
        "x" * 64,
        ".".join(["x" * 50] * 5),
        "a\nb",
        "a b",
        "\x00",
        "ü" * 70,
        ".bücher",
    ],
)
def test_no_host_names(host: str) -> None:
    """A name that no DNS message can hold, or that would break a line, is invalid."""
    with pytest.raises(ValueError):
        absolute(host)


def test_preference() -> None:
    """Unreachable addresses go last, and private IPv6 networks after IPv4."""
    found = ["10.0.0.1", "fd00::1", "2001:db8::1", "2001:db8::2", "10.0.0.1"]
    assert by_preference(found, {"2001:db8::1"}) == [
        "2001:db8::2",
        "10.0.0.1",
        "fd00::1",
        "2001:db8::1",
    ]
    assert by_preference(["127.0.0.1", "::1"], set()) == ["::1", "127.0.0.1"]


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    """Whatever the files hold, reading them raises nothing."""
    parse_hosts(text)
    conf = parse_resolv_conf(text, text)
    assert 1 <= len(conf.servers) <= 3
