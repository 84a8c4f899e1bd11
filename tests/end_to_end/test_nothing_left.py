"""No instance is left: another service, another datacenter, or a little patience."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.end_to_end.registrar import Registrar
from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import is_closed_at_once, visit, visits
from tests.support.admin_side import AdminSide
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import StartGateway
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul


def test_wait(stage: Stage) -> None:
    """With ``when-empty=wait`` a client is held until there is an instance."""
    (port,) = free_ports(1)
    stage.gateway("--map", f"{port}:{stage.service},when-empty=wait=20s")
    timer = threading.Timer(1.0, stage.registrar.add, (stage.service, stage.servers[0]))
    timer.start()
    began = time.monotonic()
    assert visit(port) == "anna"
    assert time.monotonic() - began > 0.9
    timer.join()


def test_wait_in_vain(gateway: StartGateway, service: str) -> None:
    """A client that has waited long enough is closed, and the log says why."""
    (port,) = free_ports(1)
    started = gateway("--map", f"{port}:{service},when-empty=wait=1s")
    with pytest.raises(OSError, match=r"ended|reset"):
        visit(port)
    started.wait_for(rf"{port}:{service} - in=0 out=0 time=1\.\d+ retries=0 SC")


def test_fallback_service(stage: Stage) -> None:
    """Another service serves while there is no instance, and only then."""
    (port,) = free_ports(1)
    stage.registrar.add(f"{stage.service}-sorry", stage.servers[1])
    option = f"when-empty=fallback={stage.service}-sorry"
    stage.gateway("--map", f"{port}:{stage.service},shrink-hold=1s,{option}")
    assert visits(port, 4) == {"bert": 4}
    stage.add(stage.servers[0])
    eventually(lambda: visits(port, 4) == {"anna": 4}, "anna serves")
    stage.registrar.remove(f"{stage.service}-anna")
    eventually(lambda: visits(port, 4) == {"bert": 4}, "bert serves")


def test_fallback_address(
    servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """A fallback may be an address that Consul knows nothing of."""
    (port,) = free_ports(1)
    address = f"{servers[1].host}:{servers[1].port}"
    gateway("--map", f"{port}:{service},tag=v1,when-empty=fallback={address}")
    assert visits(port, 4) == {"bert": 4}


@pytest.fixture(scope="module")
def two_datacenters(consul_binary: str) -> Iterator[tuple[ConsulAgent, ConsulAgent]]:
    """Agents of the datacenters east and west, which know each other."""
    with ExitStack() as stack:
        east_wan, west_wan = free_ports(2)
        agents = []
        for name, wan, others in (
            ("east", east_wan, []),
            ("west", west_wan, [east_wan]),
        ):
            config = {
                "datacenter": name,
                "node_name": f"node-{name}",
                "ports": {"serf_wan": wan},
                "retry_join_wan": [f"127.0.0.1:{other}" for other in others],
                "retry_interval_wan": "1s",
            }
            agents.append(
                stack.enter_context(ConsulAgent(consul_binary, extra_config=config))
            )
        east, west = agents
        eventually(
            lambda: len(east.api("GET", "/v1/catalog/datacenters")[2]) == 2,
            "the datacenters know each other",
        )
        yield east, west


def test_datacenters(
    two_datacenters: tuple[ConsulAgent, ConsulAgent],
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
) -> None:
    """The second datacenter serves while the first is empty; then the first again."""
    (port,) = free_ports(1)
    east, west = map(Registrar, two_datacenters)
    west.add(service, servers[1])
    east.add(service, servers[0])
    options = "dc=east|west,shrink-hold=1s,failback-after=2s"
    mapping = f"{port}:{service},{options}"
    started = gateway("--consul", two_datacenters[0].url, "--map", mapping)
    started.wait_for(rf"{service},dc=west: 1 joined")
    assert visits(port, 4) == {"anna": 4}
    east.remove(f"{service}-anna")
    eventually(lambda: visits(port, 4) == {"bert": 4}, "bert serves")
    east.add(service, servers[0])
    started.wait_for(rf"(?s){service},dc=east: 1 left.*{service},dc=east: 1 joined")
    assert visits(port, 4) == {"bert": 4}  # it is to be well for a while
    eventually(lambda: visits(port, 4) == {"anna": 4}, "anna serves again")


@pytest.mark.parametrize("workers", [1, 2])
def test_unreachable_datacenter(
    two_datacenters: tuple[ConsulAgent, ConsulAgent],
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    workers: int,
) -> None:
    """A datacenter passes its checks, and nothing listens there, though there are as
    many instances as a client has attempts: each client reaches the second one, which
    is shown to be used, until one of the first is well.
    """
    port, place = free_ports(2)
    east, west = map(Registrar, two_datacenters)
    west.add(service, servers[1])
    dead = [WebServer(name) for name in ("dora", "emil", "fred")]
    for each in dead:
        east.add(service, each)
    options = "dc=east|west,eject-base-time=1s,failback-after=1s,shrink-guard=off"
    started = gateway(
        "--consul", two_datacenters[0].url, f"--workers={workers}", f"--admin={place}",
        "--map", f"{port}:{service},{options}",
    )  # fmt: skip
    if workers > 1:
        all_serve(started, workers)
    admin = AdminSide(place)

    def used() -> list[str]:
        pools = admin.status()["mappings"][0]["pools"]
        return [each["query"] for each in pools if each["used"]]

    def answered_by(name: str, pool: str) -> bool:
        return visits(port, 20) == {name: 20} and used() == [f"{service},dc={pool}"]

    assert visits(port, 40) == {"bert": 40}
    eventually(lambda: answered_by("bert", "west"), "the second one is used")
    with dead[0]:
        eventually(lambda: answered_by("dora", "east"), "the first is used again")


def test_neither_datacenter_has_one(
    two_datacenters: tuple[ConsulAgent, ConsulAgent],
    gateway: StartGateway,
    service: str,
) -> None:
    """Clients are closed at once where no datacenter has an instance."""
    (port,) = free_ports(1)
    mapping = f"{port}:{service},dc=east|west"
    gateway("--consul", two_datacenters[0].url, "--map", mapping)
    assert is_closed_at_once(port)
