"""The wall clock is set while a gateway runs."""

import socket
from pathlib import Path

import pytest

from lbconsul.admin.client import Admin
from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import visits
from tests.support.consul_agent import ConsulAgent
from tests.support.moved_clock import MovedClock
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_wall_clock_is_set(
    consul: ConsulAgent,
    stage: Stage,
    own_servers: list[WebServer],
    workers: str,
    tmp_path: Path,
) -> None:
    """
    By ten minutes back, by a day forth: what is due happens when it is due, changes in
    Consul are seen, a dead instance is passed over, and what is shown has the new time.
    """
    port, admin_port, dead = free_ports(3)
    clock = MovedClock(tmp_path / "clock")
    stage.add(stage.servers[0])
    started = stage.gateway(
        "--consul",
        f"127.0.0.1:{consul.port}",
        "--consul-wait=1s",
        f"--admin=127.0.0.1:{admin_port}",
        "--workers",
        workers,
        f"--map={port}:{stage.service},idle-timeout=500ms,eject-base-time=500ms",
        env=clock.env,
    )
    admin = Admin(f"127.0.0.1:{admin_port}")
    begun = admin.status()["gateway"]
    for number, moved in enumerate((-600.0, 86_400.0), 1):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as idle:
            clock.by(moved)
            assert idle.recv(1) == b""  # for nothing moved on it for half a second
        stage.add(own_servers[number])
        stage.add(own_servers[0], Port=dead, ID=f"{stage.service}-{number}")
        started.wait_for(
            rf"{stage.service}: .*{stage.service}-{own_servers[number].name}@"
        )
        names = {"anna", *(each.name for each in own_servers[1 : number + 1])}
        eventually(lambda n=names: visits(port, 9).keys() == n, "all are used")  # type: ignore[misc]
        status = admin.status()
        now = status["gateway"]["now"]
        assert abs(now - begun["now"] - moved) < 60
        assert 0 <= now - status["gateway"]["started"] < 60
        assert all(0 <= each["age"] < 60 for each in status["watches"])
        [pool] = status["mappings"][0]["pools"]
        assert all(0 <= now - each["since"] < 60 for each in pool["upstreams"])
    started.stop()
