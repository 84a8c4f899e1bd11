"""Which instances a mapping selects, and what it asks Consul for that."""

import pytest

from tests.end_to_end.consul_relay import ConsulRelay
from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import visits
from tests.support.admin_side import AdminSide
from tests.support.consul_agent import ConsulAgent
from tests.support.ports import free_ports
from tests.support.waiting import eventually

pytestmark = pytest.mark.consul


def test_any_name(stage: Stage) -> None:
    """A service may have a name with blanks, slashes and colons, and is shown by it."""
    port, admin = free_ports(2)
    name = f'{stage.service} a/b:80 "c"?#%2F'
    stage.registrar.add(name, stage.servers[0], ID="any-name")
    started = stage.gateway(
        "--admin", str(admin), f'{port}:"{name}"'.replace('"c"', r"\"c\"")
    )
    started.wait_for(r'"test-any-name a/b:80 \\"c\\"\?#%2F": 1 joined')
    assert visits(port, 3) == {"anna": 3}
    [watch] = AdminSide(admin).status()["watches"]
    assert (watch["service"], watch["instances"]) == (name, 1)


def test_shared_watch(consul: ConsulAgent, stage: Stage) -> None:
    """Mappings of one service share one watch, unless they ask something else."""
    ports = free_ports(3)
    other = f"{stage.service}-other"
    for server in stage.servers[:2]:
        stage.add(server, Tags=[server.name])
    stage.registrar.add(other, stage.servers[2])
    options = ["", ",tag=anna,policy=random", ",health=passing"]
    maps = [
        f"--map={port}:{stage.service}{more}"
        for port, more in zip(ports, options, strict=True)
    ]
    asked = free_ports(2)
    maps += [f"--map={asked[0]}:{other}", f"--map={asked[1]}:{other},near=_agent"]
    with ConsulRelay(consul.port) as relay:
        stage.gateway("--consul", f"127.0.0.1:{relay.port}", *maps)
        # The answer that is there at once, and then the one that blocks.
        eventually(lambda: len(relay.queries(other)) == 4, "four questions")
        eventually(lambda: len(relay.queries(stage.service)) == 2, "two questions")
        stage.registrar.remove(f"{stage.service}-bert")
        eventually(lambda: len(relay.queries(stage.service)) >= 3, "a third question")
        assert visits(ports[0], 4) == visits(ports[2], 4) == {"anna": 4}
        assert len(relay.queries(stage.service)) == 3
        assert len(relay.queries(other)) == 4
