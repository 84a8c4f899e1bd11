"""Which instances a mapping selects, and what it asks Consul for that."""

import pytest

from tests.end_to_end.consul_relay import ConsulRelay
from tests.end_to_end.registrar import Registrar
from tests.end_to_end.visits import eventually_shared, visits
from tests.support.admin_side import AdminSide
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import StartGateway
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul


def test_tag(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """With tag= only instances with that tag get connections."""
    tagged, plain = free_ports(2)
    registrar.add(service, servers[0], Tags=["v1"])
    registrar.add(service, servers[1], Tags=["v1", "v2"])
    registrar.add(service, servers[2], Tags=["v2x"])
    maps = [f"{tagged}:{service},tag=V2,policy=roundrobin"]  # Consul tells no case
    maps += [f"{plain}:{service},policy=roundrobin"]
    gateway("--map", maps[0], "--map", maps[1])
    assert visits(tagged, 9) == {"bert": 9}
    assert visits(plain, 9) == {"anna": 3, "bert": 3, "carl": 3}
    registrar.add(service, servers[0], Tags=["v2"])
    eventually_shared(tagged, {"anna": 3, "bert": 3})


def test_any_name(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """A service may have a name with blanks, slashes and colons, and is told by it."""
    port, admin = free_ports(2)
    name = f'{service} a/b:80 "c"?#%2F'
    registrar.add(name, servers[0], ID="any-name")
    started = gateway(
        "--admin", str(admin), f'{port}:"{name}"'.replace('"c"', r"\"c\"")
    )
    started.wait_for(r'"test-any-name a/b:80 \\"c\\"\?#%2F": 1 joined')
    assert visits(port, 3) == {"anna": 3}
    [watch] = AdminSide(admin).status()["watches"]
    assert (watch["service"], watch["instances"]) == (name, 1)


def test_filter(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """With filter= Consul's own filter expression selects, commas and quotes too."""
    (port,) = free_ports(1)
    registrar.add(service, servers[0], Meta={"room": "first, on the left"})
    registrar.add(service, servers[1], Meta={"room": "second"})
    expression = 'Service.Meta.room == "first, on the left"'
    gateway("--map", f"{port}:{service},filter={expression},policy=roundrobin")
    assert visits(port, 6) == {"anna": 6}
    registrar.add(service, servers[2], Meta={"room": "first, on the left"})
    eventually_shared(port, {"anna": 2, "carl": 2})


def test_datacenter(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """With dc= the named datacenter is asked; one that is not there has no answer."""
    here, nowhere = free_ports(2)
    registrar.add(service, servers[0])
    absent = gateway("--map", f"{here}:{service},dc=dc1")
    assert visits(here, 2) == {"anna": 2}
    absent = gateway("--map", f"{nowhere}:{service},dc=atlantis", wait="listening")
    absent.wait_for(rf"{service},dc=atlantis: no answer .* No path to datacenter")


def test_two_services(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """Two mappings balance two services, each over its own instances."""
    first, second = free_ports(2)
    registrar.add(f"{service}-a", servers[0])
    registrar.add(f"{service}-b", servers[1])
    gateway("--map", f"{first}:{service}-a", "--map", f"{second}:{service}-b")
    assert visits(first, 5) == {"anna": 5}
    assert visits(second, 5) == {"bert": 5}


def test_shared_watch(
    consul: ConsulAgent,
    registrar: Registrar,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
) -> None:
    """Mappings of one service share one watch, unless they ask something else."""
    ports = free_ports(3)
    other = f"{service}-other"
    for server in servers[:2]:
        registrar.add(service, server, Tags=[server.name])
    registrar.add(other, servers[2])
    options = ["", ",tag=anna,policy=random", ",health=passing"]
    maps = [
        f"--map={port}:{service}{more}"
        for port, more in zip(ports, options, strict=True)
    ]
    asked = free_ports(2)
    maps += [f"--map={asked[0]}:{other}", f"--map={asked[1]}:{other},near=_agent"]
    with ConsulRelay(consul.port) as relay:
        gateway("--consul", f"127.0.0.1:{relay.port}", *maps)
        # The answer that is there at once, and then the one that blocks.
        eventually(lambda: len(relay.questions(other)) == 4, "four questions")
        eventually(lambda: len(relay.questions(service)) == 2, "two questions")
        registrar.remove(f"{service}-bert")
        eventually(lambda: len(relay.questions(service)) >= 3, "a third question")
        assert visits(ports[0], 4) == visits(ports[2], 4) == {"anna": 4}
        assert len(relay.questions(service)) == 3
        assert len(relay.questions(other)) == 4
