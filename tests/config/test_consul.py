"""Where Consul is, as text, and where its options were set."""

import pytest

from lbconsul.config.consul import ConsulAddress, ConsulConfig


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (ConsulAddress("http", "consul", 8500), "http://consul:8500"),
        (ConsulAddress("https", "::1", 8501, "/c"), "https://[::1]:8501/c"),
        (ConsulAddress("unix", path="/run/consul.sock"), "unix:///run/consul.sock"),
    ],
)
def test_consul_addresses(address: ConsulAddress, text: str) -> None:
    """Consul's address shows itself as a URL."""
    assert str(address) == text


@pytest.mark.parametrize(
    ("address", "netloc"),
    [
        (ConsulAddress("http", "consul", 8500, "/c"), "consul:8500"),
        (ConsulAddress("https", "::1", 8501), "[::1]:8501"),
        (ConsulAddress("unix", path="/run/consul.sock"), "localhost"),
    ],
)
def test_the_host_header(address: ConsulAddress, netloc: str) -> None:
    """Consul is called by the name under which it is reached."""
    assert address.netloc == netloc


def test_places() -> None:
    """An option is on the command line unless it was said elsewhere."""
    consul = ConsulConfig(places={"ca-file": "CONSUL_CACERT"})
    assert consul.where("ca-file") == "CONSUL_CACERT"
    assert consul.where("token-file") == "--token-file"
    assert consul == ConsulConfig()
