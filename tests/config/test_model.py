"""The configuration's values: how they show themselves, and what they hide."""

from typing import Any

import pytest

from lbconsul.config.consul import ConsulConfig
from lbconsul.config.listen import (
    Listen,
    TCPListen,
    UnixListen,
)
from lbconsul.config.model import (
    MOST_WORKERS,
    Config,
    Mapping,
    WhenEmpty,
    rows,
)
from lbconsul.errors import ConfigError


@pytest.mark.parametrize(
    ("listen", "text"),
    [
        (TCPListen("0.0.0.0", 80), "80:web"),
        (TCPListen("127.0.0.1", 80), "127.0.0.1:80:web"),
        (UnixListen("/run/web.sock"), "unix:/run/web.sock:web"),
        (None, "web"),
    ],
)
def test_mappings(listen: Listen | None, text: str) -> None:
    """A mapping shows itself as one would write it, at its shortest."""
    assert str(Mapping("web", listen)) == text


@pytest.mark.parametrize(
    ("meant", "text"),
    [
        (WhenEmpty(), "close"),
        (WhenEmpty(wait=0.5), "wait=0.5s"),
        (WhenEmpty(wait=60.0), "wait=60s"),
        (WhenEmpty(wait=3_600_000.0), "wait=3600000s"),
        (WhenEmpty(fallback="sorry:80", is_address=True), "fallback=sorry:80"),
    ],
)
def test_when_empty(meant: WhenEmpty, text: str) -> None:
    """What becomes of clients without an instance shows itself as one writes it."""
    assert str(meant) == text


def test_the_token_is_hidden() -> None:
    """A configuration that ends up in a log does not give the token away."""
    config = Config(ConsulConfig(token="s3cr3t"), (Mapping("web"),))
    assert "s3cr3t" not in repr(config)
    assert "s3cr3t" not in str(config)


@pytest.mark.parametrize("count", [0, 1, MOST_WORKERS])
def test_workers(count: int) -> None:
    """The number of workers has bounds."""
    assert Config(ConsulConfig(), (Mapping("web"),), workers=count).workers == count


@pytest.mark.parametrize("count", [-1, 300, 2.0, "4", None, True])
def test_no_number_of_workers(count: Any) -> None:
    """
    Values set in code are checked as well, and the error says what would be right.
    """
    with pytest.raises(ConfigError) as raised:
        Config(ConsulConfig(), (Mapping("web"),), workers=count)
    assert str(raised.value) == (
        f"workers: {count!r} must be a number of processes up to 256; 0 is one for"
        " each core, 1 is this process alone"
    )


def test_routes() -> None:
    """
    A mapping and each of its routes are shown by themselves, and keep their places
    while their options change.
    """
    listen = TCPListen("0.0.0.0", 443)
    a, b = (Mapping(name, listen, route=f"{name}.com") for name in "ab")
    mapping, other = Mapping("", listen, routes=(a, b)), Mapping("web")
    shown = list(rows([mapping, other]))
    assert list(map(str, shown)) == ["443:-", "443:a.com=a", "443:b.com=b", "web"]
    assert shown == [Mapping("", listen), a, b, other]
    assert [each.place for each in shown] == [
        (listen, ""),
        (listen, "a.com"),
        (listen, "b.com"),
        ("web", ""),
    ]
    assert str(Mapping("a", route="a.com")) == "a.com=a"
