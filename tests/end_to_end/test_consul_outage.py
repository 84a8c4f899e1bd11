"""Consul crashes and comes back under load."""

import time
from pathlib import Path

import pytest

from tests.end_to_end.registrar import Registrar
from tests.end_to_end.visits import visit, visits
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import StartGateway
from tests.support.load import Load
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul

#: How long Consul stays away, in seconds: enough for several tries to reach it.
AWAY = 3.0


def test_consul_crash(
    consul_binary: str, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """
    While Consul is dead no client notices; once it is back its changes are seen. Consul
    is killed with kill -9 and started again with its data. Clients that keep their
    connection and clients that do not ask all the time.
    """
    (port,) = free_ports(1)
    with ConsulAgent(consul_binary, persistent=True) as agent:
        registrar = Registrar(agent)
        for server in servers[:2]:
            registrar.add(service, server)
        place = f"127.0.0.1:{agent.port}"
        started = gateway("--consul", place, f"--map={port}:{service}")
        with Load(port, 4) as new, Load(port, 4, keep_alive=True) as kept:
            new.more(100)
            agent.kill()
            started.wait_for(rf"{service}: no answer .*; the last answer stays in us")
            time.sleep(AWAY)
            agent.restart()
            started.wait_for(rf"{service}: Consul answers again")
            registrar.add(service, servers[2])
            started.wait_for(rf"{service}: 1 joined \({service}-carl@.*; 3 in all$")
            registrar.remove(f"{service}-anna")
            started.wait_for(rf"{service}: 1 left \({service}-anna@")
            changed = time.monotonic()
            new.more(100)
            outcomes = [new.stop(), kept.stop()]
        for outcome in outcomes:
            assert outcome.failed() == []
            assert outcome.wrong() == []
        # Bert may have so many of the kept connections that carl gets all new ones.
        last = outcomes[0].begun_after(changed).servers()
        assert {"carl"} <= set(last) <= {"bert", "carl"}


@pytest.mark.parametrize("workers", [1, 2])
def test_start_while_consul_is_away(
    consul_binary: str,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    tmp_path: Path,
    workers: int,
) -> None:
    """
    A gateway that is started again while Consul is dead serves at once from what
    Consul said last, and follows Consul again once that is back.
    """
    (port,) = free_ports(1)
    told = [f"--map={port}:{service}", f"--state-dir={tmp_path / 'state'}"]
    told += [f"--workers={workers}"]
    with ConsulAgent(consul_binary, persistent=True) as agent:
        registrar = Registrar(agent)
        for server in servers[:2]:
            registrar.add(service, server)
        place = ["--consul", f"127.0.0.1:{agent.port}"]
        first = gateway(*place, *told)
        assert visit(port) in ("anna", "bert")
        first.stop()
        agent.kill()
        second = gateway(*place, *told, wait="listening")
        eventually(lambda: is_served(port), "it serves")
        assert second.find(rf"{service}: using the snapshot of \d+ s ago")
        agent.restart()
        second.wait_for(rf"{service}: Consul answers again")
        registrar.remove(f"{service}-anna")
        second.wait_for(rf"{service}: 1 left \({service}-anna@")
        eventually(lambda: set(visits(port, 5)) == {"bert"}, "only bert answers")


def is_served(port: int) -> bool:
    """Whether a request is answered."""
    try:
        return visit(port) in ("anna", "bert")
    except OSError:
        return False
