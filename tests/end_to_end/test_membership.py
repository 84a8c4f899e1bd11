"""Instances come, go and move while clients are connected."""

import pytest

from tests.end_to_end.registrar import Registrar
from tests.end_to_end.visits import (
    eventually_shared,
    held,
    is_closed_at_once,
    name_in,
    visits,
)
from tests.support.gateway import StartGateway
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul


def test_registration(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """An instance gets its share from its registration on."""
    (port,) = free_ports(1)
    registrar.add(service, servers[0])
    gateway("--map", f"{port}:{service},policy=roundrobin")
    assert visits(port, 4) == {"anna": 4}
    registrar.add(service, servers[1])
    eventually_shared(port, {"anna": 2, "bert": 2})


def test_deregistration(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """A deregistered instance gets no new connection, and keeps its old ones."""
    (port,) = free_ports(1)
    for server in servers[:2]:
        registrar.add(service, server)
    started = gateway("--map", f"{port}:{service},policy=roundrobin")
    with held(port, 4) as connections:
        old = dict(connections)
        registrar.remove(f"{service}-bert")
        started.wait_for(rf"{service}: 1 left \({service}-bert@")
        assert visits(port, 20) == {"anna": 20}
        assert name_in(old["bert"].ask()) == "bert"


def test_deregistration_of_all(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """
    Without any instance clients are closed at once, until there is one again;
    once it is believed that the last one has left.
    """
    (port,) = free_ports(1)
    registrar.add(service, servers[0])
    gateway("--map", f"{port}:{service},policy=roundrobin,shrink-hold=1s")
    assert visits(port, 2) == {"anna": 2}
    registrar.remove(f"{service}-anna")
    eventually(lambda: is_closed_at_once(port), "clients are closed")
    registrar.add(service, servers[1])
    eventually_shared(port, {"bert": 2})


def test_move(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """An instance that registers again with another port is found there."""
    (port,) = free_ports(1)
    registrar.add(service, servers[0], ID="mover")
    gateway("--map", f"{port}:{service},policy=roundrobin")
    assert visits(port, 2) == {"anna": 2}
    registrar.add(service, servers[1], ID="mover")
    eventually_shared(port, {"bert": 4})
