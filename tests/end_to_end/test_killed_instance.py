"""An instance dies, or freezes, and Consul does not know of it."""

import time

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import eventually_shared, visit
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.load import Load, Visitor
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul

CLIENTS = 8


def ended(gateway: Gateway) -> int:
    """How many connections are over, as the log has it."""
    return len(gateway.find(r" --$"))


@pytest.mark.parametrize("policy", ["leastconn", "roundrobin"])
def test_killed_instance(
    consul: ConsulAgent, stage: Stage, own_servers: list[WebServer], policy: str
) -> None:
    """When one of three instances dies, only what it was just answering is lost.

    Each request comes on a connection of its own.  Every one begun after the
    death gets its answer from the other two, though Consul still names three.
    """
    (port,) = free_ports(1)
    for server in own_servers:
        stage.add(server)
    started = stage.gateway("--map", f"{port}:{stage.service},policy={policy}")
    victim = own_servers[0]
    with Load(port, CLIENTS) as load:
        load.more(200)
        victim.kill()
        killed = time.monotonic()
        load.more(400)
        outcome = load.stop()
    _, _, listed = consul.api("GET", f"/v1/health/service/{stage.service}?passing")
    assert len(listed) == 3
    after = outcome.begun_after(killed)
    assert outcome.wrong() == []
    assert after.failed() == []
    assert len(outcome.failed()) <= CLIENTS, outcome.failed()
    assert sorted(after.servers()) == ["fred", "gina"]
    assert outcome.servers()[victim.name] > 0
    started.wait_for(r" retries=1 --$")


def test_killed_instance_of_kept_connections(
    stage: Stage, own_servers: list[WebServer]
) -> None:
    """Clients that keep their connections lose no more than one request each.

    A request that is under way to the dying instance is lost; see
    `tests.support.load` for what else might be, and is not.
    """
    (port,) = free_ports(1)
    for server in own_servers:
        stage.add(server)
    stage.gateway("--map", f"{port}:{stage.service}")
    with Load(port, CLIENTS, keep_alive=True) as load:
        load.more(200)
        own_servers[0].kill()
        killed = time.monotonic()
        load.more(400)
        outcome = load.stop()
    after = outcome.begun_after(killed)
    assert outcome.wrong() == []
    assert [each for each in after.failed() if each.fresh] == []
    assert len(outcome.failed()) <= CLIENTS, outcome.failed()
    assert outcome.servers()["emil"] > 0
    assert sorted(after.servers()) == ["fred", "gina"]


def test_frozen_instance(stage: Stage, own_servers: list[WebServer]) -> None:
    """A client of a frozen instance holds no other up, and is served at last."""
    (port,) = free_ports(1)
    for server in own_servers:
        stage.add(server)
    started = stage.gateway("--map", f"{port}:{stage.service}")
    with Visitor(port) as waiting:
        frozen = waiting.ask().split()[0]
        (server,) = [each for each in own_servers if each.name == frozen]
        server.pause()
        try:
            # Its connection counts, so the idle ones are preferred to it.
            for number in range(1, 21):
                assert visit(port) != frozen
                eventually(lambda n=number: ended(started) == n, "it is over")  # type: ignore[misc]
        finally:
            server.resume()
        assert waiting.ask().split()[0] == frozen


def test_set_aside(stage: Stage, own_servers: list[WebServer]) -> None:
    """
    A dead instance that Consul does not know of is ejected after three refusals, so
    that few connections need a second try; once it is back it has its share again.
    """
    (port,) = free_ports(1)
    for server in own_servers:
        stage.add(server)
    started = stage.gateway(
        "--map", f"{port}:{stage.service},eject-base-time=1s,policy=roundrobin"
    )
    victim = own_servers[0]
    victim.kill()
    with Load(port, CLIENTS) as load:
        load.more(300)
        outcome = load.stop()
    assert outcome.failed() == []
    # Three refusals, those that were under way then, and two trials.
    assert len(started.find(r" retries=1 --$")) <= 3 + CLIENTS + 2
    started.wait_for(rf"{stage.service}: .* ejected: \d+ consecutive connect failures")
    victim.start()
    victim.wait_until_listening()
    eventually_shared(port, {server.name: 3 for server in own_servers})
    started.wait_for(rf"{stage.service}: .* restored: ")
