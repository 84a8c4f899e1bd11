"""How connections are shared among the instances of a service."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.registrar import Registrar
from tests.end_to_end.visits import eventually_shared, held, held_by, visits
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway, StartGateway
from tests.support.load import Visitor
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul

NAMES = ["anna", "bert", "carl", "dora"]


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    """A port for each policy."""
    policies = ["leastconn", "p2c", "random", "roundrobin"]
    return dict(zip(policies, free_ports(4), strict=True))


@pytest.fixture(scope="module")
def spreading(
    consul: ConsulAgent,
    servers: list[WebServer],
    ports: dict[str, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    """A gateway to four instances on one host, with a mapping for each policy."""
    registrar = Registrar(consul)
    for server in servers:
        registrar.add("spread", server)
    maps = [f"--map={port}:spread,policy={policy}" for policy, port in ports.items()]
    home = tmp_path_factory.mktemp("spread")
    with Gateway(home, "--consul", consul.url, *maps) as gateway:
        eventually_shared(ports["roundrobin"], dict.fromkeys(NAMES, 1))
        yield gateway
    registrar.clean_up()


def test_leastconn(spreading: Gateway, ports: dict[str, int]) -> None:
    """Connections that stay open are spread evenly, to the last one."""
    with held(ports["leastconn"], 40) as connections:
        assert held_by(connections) == dict.fromkeys(NAMES, 10)


def test_leastconn_fills_up(spreading: Gateway, ports: dict[str, int]) -> None:
    """Where connections have ended, the next ones go."""
    with held(ports["leastconn"], 20) as connections:
        before = len(spreading.find(r" --$"))
        freed = [visitor for name, visitor in connections if name == "bert"]
        for visitor in freed:
            visitor.leave()
        eventually(
            lambda: len(spreading.find(r" --$")) == before + 5, "five connections end"
        )
        with held(ports["leastconn"], 5) as more:
            assert held_by(more) == {"bert": 5}


def test_roundrobin(spreading: Gateway, ports: dict[str, int]) -> None:
    """With policy=roundrobin each instance has its turn, exactly."""
    assert visits(ports["roundrobin"], 40) == dict.fromkeys(NAMES, 10)


def test_random(spreading: Gateway, ports: dict[str, int]) -> None:
    """With policy=random each instance gets about its share, and not exactly."""
    counts = visits(ports["random"], 400)
    assert sorted(counts) == NAMES
    # The standard deviation of each is 8.7: six of them are one in a billion.
    assert all(48 <= count <= 152 for count in counts.values()), counts


def test_power_of_two_choices(spreading: Gateway, ports: dict[str, int]) -> None:
    """With policy=p2c open connections are spread nearly as evenly as can be."""
    with held(ports["p2c"], 80) as connections:
        counts = held_by(connections)
    assert sorted(counts) == NAMES
    assert max(counts.values()) - min(counts.values()) <= 8, counts


def test_one_connection_stays(spreading: Gateway, ports: dict[str, int]) -> None:
    """All requests on one connection are answered by the same instance."""
    with Visitor(ports["roundrobin"]) as visitor:
        assert len({visitor.ask() for _ in range(20)}) == 1


def test_same_id_on_two_nodes(
    servers: list[WebServer],
    registrar: Registrar,
    gateway: StartGateway,
    service: str,
) -> None:
    """Instances of two nodes that carry the same id are two instances."""
    (port,) = free_ports(1)
    registrar.add_elsewhere("node-one", service, servers[0], ID="same")
    registrar.add_elsewhere("node-two", service, servers[1], ID="same")
    gateway("--map", f"{port}:{service},policy=roundrobin")
    eventually_shared(port, {"anna": 2, "bert": 2})
