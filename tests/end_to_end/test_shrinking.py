"""Most instances, or all of them, are gone at once: the shrink guard."""

import pytest

from tests.end_to_end.registrar import Registrar
from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import is_closed_at_once, visits
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import StartGateway
from tests.support.ports import free_ports
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul


def test_agent_that_lost_its_state(
    consul_binary: str, servers: list[WebServer], gateway: StartGateway
) -> None:
    """An agent that comes back with nothing at all empties no pool; that is said."""
    (port,) = free_ports(1)
    with ConsulAgent(consul_binary) as agent:
        registrar = Registrar(agent)
        for server in servers[:3]:
            registrar.add("web", server)
        started = gateway("--consul", agent.url, "--map", f"{port}:web")
        agent.restart()  # a dev agent remembers nothing
        line = started.wait_for("web: shrink guard: Consul took out 3 of 3 .*")
        assert "web-anna@test-node" in line[0]
        assert sum(visits(port, 10).values()) == 10
        registrar.add("web", servers[0])
        started.wait_for(r"web: 1 joined \(web-anna@")
        assert visits(port, 10) == {"anna": 10}


def test_what_is_gone_is_seen_to_be_gone(
    stage: Stage, own_servers: list[WebServer]
) -> None:
    """A suspect that refuses connections is out at once."""
    (port,) = free_ports(1)
    stage.add(own_servers[0])
    started = stage.gateway("--map", f"{port}:{stage.service}")
    assert visits(port, 1) == {"emil": 1}
    own_servers[0].kill()
    stage.registrar.remove(f"{stage.service}-emil")
    started.wait_for("shrink guard: ")
    assert is_closed_at_once(port)
    started.wait_for(
        rf"{stage.service}: {stage.service}-emil@.* confirmed: .*connections to it fail"
    )
