"""Instances that are registered under host names."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.test_takeover import assert_untouched, next_one
from tests.end_to_end.visits import eventually_shared, visit, visits
from tests.support.consul_agent import ConsulAgent
from tests.support.load import Load
from tests.support.name_server import DEAD, NameServer, Reply
from tests.support.ports import free_ports
from tests.support.waiting import eventually
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
def test_clients_wait_while_names_are_looked_up(
    stage: Stage, names: NameServer, twistd: list[str], workers: int
) -> None:
    """Clients that come while names are looked up wait, and are not turned away."""
    for number, server in enumerate(stage.servers[:2]):
        name = f"web-{number}.example"
        names.zone[name] = Reply([server.host], delay=1.0)
        stage.add(server, Address=name)
    for number in range(5):
        name = f"dead-{number}.example"
        names.zone[name] = DEAD
        stage.add(stage.servers[0], ID=f"{stage.service}-{name}", Address=name)
    (port,) = free_ports(1)
    started = stage.gateway(
        f"--workers={workers}",
        "--map",
        f"{port}:{stage.service},policy=roundrobin",
        wait="listening",
        twistd=twistd,
    )
    assert sum(visits(port, 4).values()) == 4
    eventually_shared(port, {"anna": 1, "bert": 1})
    started.wait_for(r"5 host names cannot be resolved: dead-\d")


@pytest.mark.parametrize("workers", [1, 2])
def test_takeover(
    stage: Stage, names: NameServer, twistd: list[str], tmp_path: Path, workers: int
) -> None:
    """A gateway takes over when it knows where to send clients; none is lost."""
    for number, server in enumerate(stage.servers[:2]):
        name = f"web-{number}.example"
        names.zone[name] = Reply([server.host])
        stage.add(server, Address=name)
    # An address that is known at once, but of no use.
    stage.add(stage.servers[2], Check={"TTL": "1h", "Status": "critical"})
    (port,) = free_ports(1)
    told = ["--map", f"{port}:{stage.service}", "--takeover", str(tmp_path / "lb.sock")]
    told.append(f"--workers={workers}")
    old = stage.gateway(*told, twistd=twistd)
    if workers > 1:
        all_serve(old, workers)
    for name, reply in list(names.zone.items()):
        names.zone[name] = Reply(reply.addresses, delay=1.0)
    with Load(port, 4) as load:
        new = next_one(stage.gateway, *told, twistd=twistd)
        old.wait_until_gone()
        assert_untouched(load)
    new.stop()


def test_takeover_without_dns(
    stage: Stage, names: NameServer, twistd: list[str], tmp_path: Path
) -> None:
    """While no name can be looked up, a gateway that takes over knows the addresses
    that its predecessor knew: it serves as that one did.
    """
    names.zone["web.example"] = Reply([stage.servers[0].host])
    stage.add(stage.servers[0], Address="web.example")
    (port,) = free_ports(1)
    told = ["--map", f"{port}:{stage.service}", "--takeover", str(tmp_path / "lb.sock")]
    old = stage.gateway(*told, twistd=twistd)
    names.zone["web.example"] = DEAD
    with Load(port, 2) as load:
        new = next_one(stage.gateway, *told, twistd=twistd)
        old.wait_until_gone()
        assert_untouched(load)
    new.stop()


def test_reload(
    stage: Stage,
    names: NameServer,
    twistd: list[str],
    tmp_path: Path,
    consul: ConsulAgent,
) -> None:
    """A mapping that is turned to a service under slow names loses no client."""
    names.zone["web.example"] = Reply([stage.servers[1].host], delay=1.0)
    stage.registrar.add(f"{stage.service}-1", stage.servers[0])
    stage.registrar.add(f"{stage.service}-2", stage.servers[1], Address="web.example")
    (port,) = free_ports(1)
    config = tmp_path / "gateway.toml"

    def write(number: int) -> None:
        config.write_text(
            f'consul = ["127.0.0.1:{consul.port}"]\n'
            f'map = ["{port}:{stage.service}-{number}"]\n'
        )

    write(1)
    # It asks the Consul of the file.
    started = stage.gateway(
        "--config", str(config), env={}, twistd=twistd, wait="listening"
    )
    started.wait_for(r"1 in all")
    with Load(port, 4) as load:
        write(2)
        started.reload()
        eventually(lambda: visit(port) == "bert", "the other service")
        assert_untouched(load)


def test_several_addresses(stage: Stage, names: NameServer, twistd: list[str]) -> None:
    """Of a name's addresses those are used that accept, as of localhost's."""
    # No process listens on the others, on this port.
    found = ["127.0.0.7", "127.0.0.8", stage.servers[0].host]
    names.zone["web.example"] = Reply(found)
    stage.add(stage.servers[0], Address="web.example")
    stage.registrar.add(f"{stage.service}-2", stage.servers[1], Address="localhost")
    one, other = free_ports(2)
    started = stage.gateway(
        "--eject-after=1",
        f"{one}:{stage.service}",
        f"{other}:{stage.service}-2",
        twistd=twistd,
    )
    assert visit(one) == "anna"
    assert visit(other) == "bert"
    assert sum(visits(one, 20).values()) == 20
    assert started.find("ejected") == []
