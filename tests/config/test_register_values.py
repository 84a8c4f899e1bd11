"""Names, tags, metadata and addresses of registrations."""

from collections.abc import Callable

import pytest

from lbconsul.config import register_values as values
from lbconsul.config.build import build, configure
from lbconsul.config.register import Register
from lbconsul.config.sources import Source, from_toml


def test_name() -> None:
    """A service's name, or off."""
    assert values.service_or_off("web-edge") == "web-edge"
    assert values.service_or_off("off") == ""


def test_tags() -> None:
    """Tags have a bar between them, and each counts once."""
    assert values.tags("edge|traefik.enable=true|edge") == (
        "edge",
        "traefik.enable=true",
    )


def test_meta() -> None:
    """So do pairs; a value may be anything that is printable, a weight among them."""
    assert values.meta("zone=a b, c=d|lbconsul-weight=5") == (
        "zone=a b, c=d",
        "lbconsul-weight=5",
    )


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("10.0.0.7", ("10.0.0.7", 0)),
        ("10.0.0.7:8080", ("10.0.0.7", 8080)),
        ("edge.example.com:80", ("edge.example.com", 80)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:80", ("2001:db8::1", 80)),
    ],
)
def test_address(text: str, split: tuple[str, int]) -> None:
    """A host, with a port or without."""
    assert values.address(text) == text
    assert values.split_address(text) == split


@pytest.mark.parametrize(
    ("parse", "text", "why"),
    [
        (values.service_or_off, "a b", "or off"),
        (values.tags, "a||b", "1 to 255 printable characters"),
        (values.tags, "x" * 256, "1 to 255 printable characters"),
        (values.meta, "zone", "'zone' must be KEY=VALUE"),
        (values.meta, "a.b=c", "letters, digits, _ and -"),
        (values.meta, f"{'k' * 129}=c", "a key has 1 to 128"),
        (values.meta, "consul-x=c", "'consul-x' is reserved"),
        (values.meta, "lbconsul-gateway=c", "is reserved"),
        (values.meta, f"a={'v' * 513}", "longer than 512"),
        (values.meta, "a=", "must not be empty"),
        (values.meta, "a=1|a=2", "'a' is given twice"),
        (values.meta, "|".join(f"k{each}=v" for each in range(63)), "62 pairs at most"),
        (values.address, "0.0.0.0", "must be HOST or HOST:PORT"),
        (values.address, "[::]:80", "must be HOST or HOST:PORT"),
        (values.address, "2001:db8::1", "must be HOST or HOST:PORT"),
        (values.address, ":80", "must be HOST or HOST:PORT"),
        (values.address, "a:0", "from 1 to 65535"),
    ],
)
def test_wrong(parse: Callable[[str], object], text: str, why: str) -> None:
    """What is wrong is refused with what would be right."""
    with pytest.raises(ValueError, match=why):
        parse(text)


def test_forms() -> None:
    """A mapping, the gateway and a file say it alike; a file has lists, too."""
    register = Register("edge", ("a", "b"), ("x=1", "y=2"), "10.0.0.7:81", 30.0)
    said = "register=edge,register-tags=a|b,register-meta=x=1|y=2"
    said += ",register-address=10.0.0.7:81,register-ttl=30s"
    [mapping] = configure(mappings=[f"80:web,{said}"]).mappings
    assert mapping.register == register
    text = """
        register = "edge"
        register-tags = ["a", "b"]
        register-meta = ["x=1", "y=2"]
        register-address = "10.0.0.7:81"
        register-ttl = "30s"
        map = ["80:web", "81:mail,register=off"]
    """
    web, mail = build(Source(), from_toml(text, "lb.toml")).mappings
    assert (web.register, mail.register.name) == (register, "")
