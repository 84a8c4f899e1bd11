"""The Consul agent crashes, and knows something new when it is back."""

import json
import time
from typing import Any

from chaos.row import Row
from chaos.scene import NAMES, SERVICE, Scene
from chaos.traffic import require_faultless
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

#: Within which the change must be seen once Consul tells of it, in seconds.
SEEN = 2.0


def play(scene: Scene) -> None:
    """Kill it, change its file of services, start it again."""
    servers = scene.servers()
    agent = scene.consul(persistent=True, extra_config=defining(servers[:2]))
    (port,) = free_ports(1)
    gateway = scene.gateway(
        f"--consul=127.0.0.1:{agent.port}", f"--map={port}:{SERVICE}"
    )
    with scene.traffic(port) as traffic:
        time.sleep(1.0)
        agent.kill()
        time.sleep(scene.either(60.0, 10.0))
        redefine(agent, servers[1:])
        agent.start()
        known = time_until_known(agent, {f"{SERVICE}-{each}" for each in NAMES[1:]})
        seen = time_until_seen(gateway)
        time.sleep(1.0)
        outcome = traffic.stop()
    require_faultless(scene.report, outcome)
    scene.report.at_most("change seen after", max(0.0, seen - known), SEEN, "s")
    # A connection that is kept stays where it is.
    after = {each.server for each in outcome.begun_after(seen + 0.1) if each.fresh}
    right = NAMES[2] in after and NAMES[0] not in after
    scene.report.require("served as changed", right, f"by {sorted(after)}")


def defining(servers: list[WebServer]) -> dict[str, Any]:
    """A configuration with these instances in it."""
    return {
        "services": [
            {
                "id": f"{SERVICE}-{each.name}",
                "name": SERVICE,
                "address": each.host,
                "port": each.port,
            }
            for each in servers
        ]
    }


def redefine(agent: ConsulAgent, servers: list[WebServer]) -> None:
    """Write other instances into its configuration."""
    path = agent.home / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | defining(servers)))


def time_until_known(agent: ConsulAgent, ids: set[str]) -> float:
    """When Consul itself tells of just these instances."""

    def is_known() -> bool:
        try:
            status, _, said = agent.api("GET", f"/v1/health/service/{SERVICE}?stale")
        except OSError:
            return False
        return status == 200 and {each["Service"]["ID"] for each in said} == ids

    eventually(is_known, "Consul knows of the change")
    return time.monotonic()


def time_until_seen(gateway: Gateway) -> float:
    """When the gateway has logged an instance that joined and one that left."""
    gateway.wait_for(rf"{SERVICE}: .*\b1 joined \({SERVICE}-{NAMES[2]}@")
    gateway.wait_for(rf"{SERVICE}: .*\b1 left \({SERVICE}-{NAMES[0]}@")
    return time.monotonic()


ROW = Row(
    "agent-killed",
    "the Consul agent is killed and comes back with a change made meanwhile",
    play,
)
