"""What Consul says of instances, and how clients are shared among them.

One case of each kind: the rules are in `tests.balance` and `tests.consul`.
"""

import pytest

from tests.end_to_end.registrar import TOLD, Registrar
from tests.end_to_end.visits import eventually_shared, held, held_by, visits
from tests.support.gateway import StartGateway
from tests.support.ports import free_ports
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul


def test_least_connections(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """Connections that stay open are spread evenly, to the last one, and all requests
    on one connection are answered by the same instance.
    """
    (port,) = free_ports(1)
    for server in servers:
        registrar.add(service, server)
    gateway("--map", f"{port}:{service}")
    with held(port, 40) as connections:
        assert held_by(connections) == {server.name: 10 for server in servers}
        for name, visitor in connections:
            assert visitor.ask().startswith(name)


def test_same_id_on_two_nodes(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """Instances of two nodes that carry the same id are two instances."""
    (port,) = free_ports(1)
    registrar.add_elsewhere("node-one", service, servers[0], ID="same")
    registrar.add_elsewhere("node-two", service, servers[1], ID="same")
    gateway("--map", f"{port}:{service},policy=roundrobin")
    eventually_shared(port, {"anna": 2, "bert": 2})


def test_warning(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """While it warns an instance has its other weight."""
    (port,) = free_ports(1)
    registrar.add(service, servers[0], Weights={"Passing": 2, "Warning": 1})
    weights = {"Passing": 6, "Warning": 1}
    bert = registrar.add(service, servers[1], Weights=weights, Check=TOLD)
    gateway("--map", f"{port}:{service},policy=roundrobin")
    assert visits(port, 16) == {"anna": 4, "bert": 12}
    registrar.check(bert, "warn")
    eventually_shared(port, {"anna": 4, "bert": 2})
    registrar.check(bert, "pass")
    eventually_shared(port, {"anna": 4, "bert": 12})


def test_critical(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """A critical instance gets nothing but where any health will do, until it passes;
    one in maintenance gets nothing, whatever health is asked for.
    """
    default, lenient = ports = free_ports(2)
    registrar.add(service, servers[0])
    bert = registrar.add(service, servers[1], Check=TOLD)
    gateway(
        f"--map={default}:{service},policy=roundrobin",
        f"--map={lenient}:{service},policy=roundrobin,health=any",
    )
    registrar.check(bert, "fail")
    eventually_shared(default, {"anna": 4})
    assert visits(lenient, 4) == {"anna": 2, "bert": 2}
    registrar.check(bert, "pass")
    eventually_shared(default, {"anna": 2, "bert": 2})
    registrar.maintain(bert, True)
    for port in ports:
        eventually_shared(port, {"anna": 4})
    registrar.maintain(bert, False)
    for port in ports:
        eventually_shared(port, {"anna": 2, "bert": 2})
