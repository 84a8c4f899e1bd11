"""The hosts of routes."""

import pytest

from lbconsul.tags.hosts import is_literal, order, read_host, without_default_port


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("", ""),
        ("X.Com", "x.com"),
        ("x.com.", "x.com"),
        ("x.com.:8080", "x.com:8080"),
        ("*.X.com:80", "*.x.com:80"),
        ("[::1]", "[::1]"),
        ("[2001:DB8:0::1]:8080", "[2001:db8::1]:8080"),
        ("[a-c].x.com", "[a-c].x.com"),
        ("[::1]x", "[::1]x"),
        ("[:a]", "[:a]"),
        ("x.com:", "x.com:"),
    ],
)
def test_read(text: str, host: str) -> None:
    """A host is in lower case and has no final dot; an IPv6 address is canonical."""
    assert read_host(text) == host


def test_sets_and_addresses() -> None:
    """What is in brackets is an address if it can be one."""
    assert is_literal("[::1]:80")
    assert is_literal("x.com")
    assert not is_literal("[ab].com")


@pytest.mark.parametrize("text", ["x[", "a" * 600, "a\x00b"])
def test_no_hosts(text: str) -> None:
    """What no request can match is an error."""
    with pytest.raises(ValueError, match=r"has a \[|printable"):
        read_host(text)


def test_order() -> None:
    """Exact names come first, then longer wildcards; a port before none."""
    hosts = [
        "api.edge.foo.com",
        "*.edge.foo.com",
        "*.foo.com:80",
        "*.foo.com",
        "*foo.com",
        "*:80",
        "*",
    ]
    assert sorted(hosts, key=order, reverse=True) == sorted(
        hosts, key=lambda each: hosts.index(each)
    )


def test_default_ports() -> None:
    """The port of the scheme is none, on the listener for that scheme only."""
    assert without_default_port("x.com:80", False) == "x.com"
    assert without_default_port("x.com:80", True) == "x.com:80"
    assert without_default_port("x.com:443", True) == "x.com"
    assert without_default_port("x.com:8080", False) == "x.com:8080"
