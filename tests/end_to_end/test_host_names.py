"""Instances that are registered under host names."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.registrar import Registrar
from tests.end_to_end.test_takeover import assert_untouched, next_one
from tests.end_to_end.visits import eventually_shared, visit, visits
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import StartGateway
from tests.support.load import Load
from tests.support.name_server import DEAD, NameServer, Reply
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul

#: ``twistd`` where names are looked up elsewhere than on this host.
RUN = """
from pathlib import Path
from lbconsul.consul import resolver
resolver.RESOLV_CONF, resolver.PORT = Path({conf!r}), {port}
from twisted.scripts.twistd import run
run()
"""


@pytest.fixture
def names() -> Iterator[NameServer]:
    """A DNS server whose zone is empty."""
    with NameServer() as server:
        yield server


@pytest.fixture
def twistd(names: NameServer, tmp_path: Path) -> list[str]:
    """How a gateway is run that asks it."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.1\noptions timeout:2\n")
    return [sys.executable, "-c", RUN.format(conf=str(conf), port=names.port)]


@pytest.mark.parametrize("workers", [1, 2])
def test_start(
    registrar: Registrar,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    names: NameServer,
    twistd: list[str],
    workers: int,
) -> None:
    """Clients who come while names are looked up are kept waiting, not turned away."""
    for number, server in enumerate(servers[:2]):
        name = f"web-{number}.example"
        names.zone[name] = Reply([server.host], delay=1.0)
        registrar.add(service, server, Address=name)
    for number in range(5):
        name = f"dead-{number}.example"
        names.zone[name] = DEAD
        registrar.add(service, servers[0], ID=f"{service}-{name}", Address=name)
    (port,) = free_ports(1)
    started = gateway(
        f"--workers={workers}",
        "--map",
        f"{port}:{service},policy=roundrobin",
        wait="listening",
        twistd=twistd,
    )
    assert sum(visits(port, 4).values()) == 4
    eventually_shared(port, {"anna": 1, "bert": 1})
    started.wait_for(r"5 host names cannot be resolved: dead-\d")


@pytest.mark.parametrize("workers", [1, 2])
def test_takeover(
    registrar: Registrar,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    names: NameServer,
    twistd: list[str],
    tmp_path: Path,
    workers: int,
) -> None:
    """A gateway takes over when it knows where to send clients; none is lost."""
    for number, server in enumerate(servers[:2]):
        name = f"web-{number}.example"
        names.zone[name] = Reply([server.host])
        registrar.add(service, server, Address=name)
    # Somebody who is known at once, but of no use.
    registrar.add(service, servers[2], Check={"TTL": "1h", "Status": "critical"})
    (port,) = free_ports(1)
    told = ["--map", f"{port}:{service}", "--takeover", str(tmp_path / "lb.sock")]
    told.append(f"--workers={workers}")
    old = gateway(*told, twistd=twistd)
    if workers > 1:
        all_serve(old, workers)
    for name, reply in list(names.zone.items()):
        names.zone[name] = Reply(reply.addresses, delay=1.0)
    with Load(port, 4) as load:
        new = next_one(gateway, *told, twistd=twistd)
        old.wait_until_gone()
        assert_untouched(load)
    new.stop()


def test_takeover_without_dns(
    registrar: Registrar,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    names: NameServer,
    twistd: list[str],
    tmp_path: Path,
) -> None:
    """While no name can be looked up, a gateway that takes over knows the addresses
    that its predecessor knew: it serves as that one did.
    """
    names.zone["web.example"] = Reply([servers[0].host])
    registrar.add(service, servers[0], Address="web.example")
    (port,) = free_ports(1)
    told = ["--map", f"{port}:{service}", "--takeover", str(tmp_path / "lb.sock")]
    old = gateway(*told, twistd=twistd)
    names.zone["web.example"] = DEAD
    with Load(port, 2) as load:
        new = next_one(gateway, *told, twistd=twistd)
        old.wait_until_gone()
        assert_untouched(load)
    new.stop()


def test_reload(
    registrar: Registrar,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    names: NameServer,
    twistd: list[str],
    tmp_path: Path,
    consul: ConsulAgent,
) -> None:
    """A mapping that is turned to a service under slow names loses no client."""
    names.zone["web.example"] = Reply([servers[1].host], delay=1.0)
    registrar.add(f"{service}-1", servers[0])
    registrar.add(f"{service}-2", servers[1], Address="web.example")
    (port,) = free_ports(1)
    config = tmp_path / "gateway.toml"

    def write(number: int) -> None:
        config.write_text(
            f'consul = ["127.0.0.1:{consul.port}"]\n'
            f'map = ["{port}:{service}-{number}"]\n'
        )

    write(1)
    # It asks the Consul of the file.
    started = gateway("--config", str(config), env={}, twistd=twistd, wait="listening")
    started.wait_for(r"1 in all")
    with Load(port, 4) as load:
        write(2)
        started.reload()
        eventually(lambda: visit(port) == "bert", "the other service")
        assert_untouched(load)


def test_several_addresses(
    registrar: Registrar,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    names: NameServer,
    twistd: list[str],
) -> None:
    """Of a name's addresses those are used that accept, as of localhost's."""
    # Nobody listens on the others, on this port.
    found = ["127.0.0.7", "127.0.0.8", servers[0].host]
    names.zone["web.example"] = Reply(found)
    registrar.add(service, servers[0], Address="web.example")
    registrar.add(f"{service}-2", servers[1], Address="localhost")
    one, other = free_ports(2)
    started = gateway(
        "--eject-after=1", f"{one}:{service}", f"{other}:{service}-2", twistd=twistd
    )
    assert visit(one) == "anna"
    assert visit(other) == "bert"
    assert sum(visits(one, 20).values()) == 20
    assert started.find("ejected") == []
