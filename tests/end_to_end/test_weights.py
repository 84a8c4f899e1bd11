"""Weights, as Consul holds them and as a tag says them."""

import pytest

from tests.end_to_end.registrar import TOLD, Registrar
from tests.end_to_end.visits import (
    eventually_shared,
    held,
    held_by,
    name_in,
    visits,
)
from tests.support.gateway import StartGateway
from tests.support.ports import free_ports
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul


def weights(passing: int, warning: int = 1) -> dict[str, int]:
    return {"Passing": passing, "Warning": warning}


def test_passing_weight(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """Three times the weight are three times the open connections."""
    (port,) = free_ports(1)
    registrar.add(service, servers[0], Weights=weights(1))
    registrar.add(service, servers[1], Weights=weights(3))
    gateway("--map", f"{port}:{service}")
    with held(port, 40) as connections:
        counts = held_by(connections)
    assert counts["bert"] in (29, 30, 31), counts
    assert counts.total() == 40


def test_warning_weight(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """While it warns an instance has its other weight."""
    (port,) = free_ports(1)
    registrar.add(service, servers[0], Weights=weights(2))
    bert = registrar.add(service, servers[1], Weights=weights(6, 1), Check=TOLD)
    gateway("--map", f"{port}:{service},policy=roundrobin")
    assert visits(port, 16) == {"anna": 4, "bert": 12}
    registrar.check(bert, "warn")
    eventually_shared(port, {"anna": 4, "bert": 2})
    registrar.check(bert, "pass")
    eventually_shared(port, {"anna": 4, "bert": 12})


def test_tag_weight(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """The tag lbconsul-weight replaces Consul's weights; 0 lets old connections be."""
    (port,) = free_ports(1)
    registrar.add(service, servers[0], Weights=weights(2))
    registrar.add(service, servers[1], Tags=["lbconsul-weight=6"])
    gateway("--map", f"{port}:{service},policy=roundrobin")
    assert visits(port, 16) == {"anna": 4, "bert": 12}
    with held(port, 4) as connections:
        old = dict(connections)
        registrar.add(service, servers[1], Tags=["lbconsul-weight=0"])
        eventually_shared(port, {"anna": 8})
        assert name_in(old["bert"].ask()) == "bert"


def test_meta_weight(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """So does lbconsul-weight in the registration's metadata."""
    (port,) = free_ports(1)
    registrar.add(service, servers[0])
    registrar.add(service, servers[1], Meta={"lbconsul-weight": "4"})
    gateway("--map", f"{port}:{service},policy=roundrobin")
    assert visits(port, 20) == {"anna": 4, "bert": 16}
