"""The ways to say what is wanted, and what is kept secret of it."""

from pathlib import Path

import pytest

from tests.end_to_end.consul_relay import ConsulRelay
from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import eventually_shared, visit, visits
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import StartGateway
from tests.support.ports import free_ports

pytestmark = pytest.mark.consul


def test_positional(consul: ConsulAgent, stage: Stage) -> None:
    """The seed's command line works: Consul's address, then ports and services."""
    first, second = free_ports(2)
    stage.registrar.add(f"{stage.service}-a", stage.servers[0])
    stage.registrar.add(f"{stage.service}-b", stage.servers[1])
    maps = [
        f"{first}:{stage.service}-a",
        f"127.0.0.1:{second}:{stage.service}-b,policy=p2c",
    ]
    stage.gateway(f"127.0.0.1:{consul.port}", *maps, env={})
    assert visits(first, 3) == {"anna": 3}
    assert visits(second, 3) == {"bert": 3}


def test_toml(consul: ConsulAgent, stage: Stage, tmp_path: Path) -> None:
    """A TOML file says the same things, and the command line adds to it and wins."""
    filed, table, added = free_ports(3)
    for server in stage.servers[:2]:
        stage.add(server, Tags=[server.name])
    config = tmp_path / "lbconsul.toml"
    config.write_text(
        f'consul = "127.0.0.1:{consul.port}"\npolicy = "random"\n'
        f'[[map]]\nlisten = "{filed}"\nservice = "{stage.service}"\n'
        f'[[map]]\nlisten = "{table}"\nservice = "{stage.service}"\ntag = "bert"\n'
    )
    stage.gateway(
        f"--config={config}",
        f"--map={added}:{stage.service}",
        "--policy=roundrobin",
        env={},
    )
    eventually_shared(filed, {"anna": 4, "bert": 4})
    eventually_shared(added, {"anna": 4, "bert": 4})
    assert visits(table, 5) == {"bert": 5}


def test_environment(consul: ConsulAgent, stage: Stage) -> None:
    """Consul is found by CONSUL_HTTP_ADDR, as by Consul's own tools."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    stage.gateway(f"{port}:{stage.service}", env={"CONSUL_HTTP_ADDR": consul.url})
    assert visit(port) == "anna"


def test_second_consul(consul: ConsulAgent, stage: Stage) -> None:
    """Of two Consul addresses the first may be dead, from the start and for good."""
    port, dead = free_ports(2)
    stage.add(stage.servers[0])
    addresses = [f"127.0.0.1:{dead}", f"127.0.0.1:{consul.port}"]
    maps = f"--map={port}:{stage.service},policy=roundrobin"
    started = stage.gateway("--consul", addresses[0], "--consul", addresses[1], maps)
    assert visit(port) == "anna"
    stage.add(stage.servers[1])
    eventually_shared(port, {"anna": 2, "bert": 2})
    assert len(started.find(rf"no answer from Consul at http://127.0.0.1:{dead}")) == 1


def test_token(consul: ConsulAgent, stage: Stage) -> None:
    """A token reaches Consul, and neither the process list nor the log."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    secret = "5ecre7-0f-7h3-h0u53"
    with ConsulRelay(consul.port) as relay:
        place = f"127.0.0.1:{relay.port}"
        maps = f"--map={port}:{stage.service}"
        started = stage.gateway("--consul", place, "--token", secret, maps)
        assert visit(port) == "anna"
        assert f"x-consul-token: {secret}" in relay.heads[0].lower()
        command = Path(f"/proc/{started.pid}/cmdline").read_bytes()
        assert b"--token" in command
        assert secret.encode() not in command
        started.stop()
    assert secret not in started.log()
    assert not any(secret in head.split("\r\n")[0] for head in relay.heads)


def test_check(
    consul: ConsulAgent, gateway: StartGateway, service: str, tmp_path: Path
) -> None:
    """With --check nothing is started: the configuration is called sound."""
    (port,) = free_ports(1)
    with pytest.raises(AssertionError, match="has ended"):
        gateway("--check", f"--map={port}:{service}")
    log = (tmp_path / "gateway-0" / "gateway.log").read_text()
    assert (
        log
        == f"lbconsul: the configuration is valid; its mappings:\n  {port}:{service}\n"
    )
