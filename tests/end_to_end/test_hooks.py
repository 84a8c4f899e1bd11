"""The examples of hooks, at work in real gateways."""

import os
import re
import socket
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import name_in
from tests.support.binaries import REPOSITORY
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.http_api import ask
from tests.support.loopback import PATIENCE, is_refused
from tests.support.ports import free_ports
from tests.support.waiting import eventually

pytestmark = pytest.mark.consul


def _gateway(stage: Stage, consul: ConsulAgent, *words: str, own: Path) -> Gateway:
    """A gateway that finds the examples, and modules in `own`."""
    path = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "examples", own)))
    address = f"127.0.0.1:{consul.port}"
    return stage.gateway("--consul", address, *words, env={"PYTHONPATH": path})


def _client(port: int, source: str = "127.0.0.1") -> socket.socket:
    """A client with this address."""
    return socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))


def _ask(client: socket.socket) -> str:
    """Which server answers a client."""
    asking = HTTPConnection("web")
    asking.sock = client
    asking.request("GET", "/")
    return name_in(asking.getresponse().read().decode())


@pytest.mark.parametrize("mode", ["tcp", "http"])
def test_stickiness(
    stage: Stage, consul: ConsulAgent, mode: str, tmp_path: Path
) -> None:
    """
    Each address has its upstream, in all workers: where that leaves, another one, and
    the other addresses keep theirs.
    """
    (port,) = free_ports(1)
    ids = {each.name: stage.add(each) for each in stage.servers}
    mapping = f"{port}:{stage.service},hooks=sticky:BySource,mode={mode}"
    _gateway(stage, consul, "--workers=2", f"--map={mapping}", own=tmp_path)
    sources = [f"127.0.0.{number}" for number in range(2, 12)]

    def servers_of(source: str) -> set[str]:
        names = set()
        for _ in range(3):
            with _client(port, source) as client:
                names |= {_ask(client), _ask(client)}
        return names

    before = {source: servers_of(source) for source in sources}
    assert {len(each) for each in before.values()} == {1}
    assert len(set().union(*before.values())) > 1
    gone = before[sources[0]]
    stage.registrar.remove(ids[min(gone)])

    def have_moved() -> bool:
        after = {source: servers_of(source) for source in sources}
        return (
            all(
                len(now) == 1 and (now == before[source] or before[source] == gone)
                for source, now in after.items()
            )
            and gone not in after.values()
        )

    eventually(have_moved, "its clients alone have moved")


def test_tenants_and_audit(stage: Stage, consul: ConsulAgent, tmp_path: Path) -> None:
    """
    A tenant has so many connections and no more, until one of them is over; the trail
    has a line for each begin and end.
    """
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    code = "from tenants import PerTenant\nclass Two(PerTenant):\n    most = 2\n"
    (tmp_path / "few.py").write_text(code)
    mapping = f"{port}:{stage.service},hooks=audit:Trail|few:Two"
    gateway = _gateway(stage, consul, f"--map={mapping}", own=tmp_path)
    with ExitStack() as held:
        one, _ = (held.enter_context(_client(port)) for _ in range(2))
        assert _ask(one) == stage.servers[0].name
        assert is_refused(lambda: _client(port))
        denied = 'PR error="denied by few:Two: 127.0.0.1 has 2 connections"'
        gateway.wait_for(denied)
        with _client(port, "127.0.0.9") as other:
            _ask(other)
        one.close()
        left = (
            rf"audit: 127.0.0.1 left {port}:\S+: \S+, \d+ bytes in, \d+ out, [\d.]+ s"
        )
        gateway.wait_for(left)
        again = held.enter_context(_client(port))
        assert _ask(again) == stage.servers[0].name
    came = rf" info audit: 127\.0\.0\.1 came to {port}:\S+ as anonymous"
    eventually(lambda: len(gateway.find(came)) == 4, "all that came are told")
    gateway.wait_for(rf"audit: 127.0.0.1 left {port}:\S+: no upstream, .*, PR")


def test_broken_hooks(stage: Stage, consul: ConsulAgent, tmp_path: Path) -> None:
    """
    Hooks that fail, or hold up the reactor, end nothing: they are named in the log, and
    counted over all workers.
    """
    port, admin = free_ports(2)
    stage.add(stage.servers[0])
    (tmp_path / "broken.py").write_text(_BROKEN)
    gateway = _gateway(
        stage,
        consul,
        "--workers=2",
        f"--map={port}:{stage.service},hooks=broken:Hooks",
        f"--admin={admin}",
        own=tmp_path,
    )
    for _ in range(6):
        with _client(port) as client:
            assert _ask(client) == stage.servers[0].name
    gateway.wait_for(
        r" warn broken:Hooks: on_accept raised KeyError: '127.0.0.1' \(broken.py, li"
        r"ne 5\); the client is let in"
    )
    gateway.wait_for(
        r" warn broken:Hooks: on_end took \d+ ms, while all clients of its"
    )

    def counts() -> dict[str, float]:
        text = str(ask(admin, "GET", "/metrics")[2])
        found = re.findall(
            r'extension_faults_total\{extension="broken:Hooks",kind="(\w+)"\} (.*)',
            text,
        )
        return {kind: float(count) for kind, count in found}

    eventually(lambda: counts() == {"failed": 6, "slow": 6}, "all are counted")


_BROKEN = """import time

class Hooks:
    def on_accept(self, client):
        return {}[client.address]

    def on_end(self, connection):
        time.sleep(0.05)
"""
