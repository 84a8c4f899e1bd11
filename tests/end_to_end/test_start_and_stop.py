"""A gateway's first and last moments, and what it logs in between."""

import re
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.end_to_end.registrar import Registrar
from tests.end_to_end.visits import (
    eventually_shared,
    held,
    is_closed_at_once,
    visit,
    visits,
)
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import StartGateway, eventually
from tests.support.load import Visitor, connect
from tests.support.ports import free_ports
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul

REQUEST = b"GET /?%s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


def test_start_before_consul(
    consul_binary: str, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """Without Consul it listens, says that it waits, and serves once Consul comes."""
    (port,) = free_ports(1)
    agent = ConsulAgent(consul_binary)
    try:
        maps = f"--map={port}:{service},policy=roundrobin"
        place = f"127.0.0.1:{agent.port}"
        started = gateway("--consul", place, maps, wait="listening")
        started.wait_for(rf"{service}: no answer from Consul at .*; waiting for one")
        assert is_closed_at_once(port)
        agent.start()
        agent.wait_until_ready()
        Registrar(agent).add(service, servers[0])
        eventually_shared(port, {"anna": 2})
        assert len(started.find("waiting for one")) == 1
        started.wait_for(rf"{service}: Consul answers again, after \d+ failures")
    finally:
        agent.close()


def test_stop(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """SIGTERM ends it soon and well, and it says how many connections that closed."""
    (port,) = free_ports(1)
    for server in servers[:2]:
        registrar.add(service, server)
    started = gateway("--map", f"{port}:{service}")
    assert visit(port) in ("anna", "bert")
    with held(port, 6) as connections, connect(port) as waiting:
        waiting.sendall(b"GET /slow?s=20 HTTP/1.1\r\nHost: test\r\n\r\n")
        assert visit(port) in ("anna", "bert")
        eventually(lambda: len(started.find(r" --$")) == 2, "two visits are over")
        begun = time.monotonic()
        stopped = started.stop()
        assert time.monotonic() - begun < 10
        assert stopped.closed == 7
        assert stopped.accepted == 9
        assert stopped.leases == 0
        for _, visitor in connections:
            assert not visitor.has_connection()
    with pytest.raises(ConnectionRefusedError):
        visit(port)


def test_stop_while_dialling(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """So it does while a client waits for an instance that does not accept."""
    (port,) = free_ports(1)
    with _deaf_port() as deaf:
        registrar.add(service, servers[0], Port=deaf)
        started = gateway("--map", f"{port}:{service},connect-timeout=1h")
        with connect(port), connect(port):
            time.sleep(0.3)
            stopped = started.stop()
    assert stopped.closed == 2
    assert stopped.leases == 0


def test_limit_of_descriptors(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """It takes all the descriptors that it may have, and says for what they do."""
    (port,) = free_ports(1)
    registrar.add(service, servers[0])
    started = gateway("--map", f"{port}:{service}")
    [said] = started.find(r"(\d+) descriptors: max-connections .* is (\d+)")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert int(said[1]) == (hard if 0 < hard < 1 << 20 else 1 << 20)
    assert 0 < int(said[2]) < int(said[1]) / 2


def test_log_line(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """Each connection is one line: who, where to, how much, how long, how it ended."""
    (port,) = free_ports(1)
    registrar.add(service, servers[0])
    started = gateway("--map", f"{port}:{service}")
    request = REQUEST % b"one"
    with connect(port) as sock:
        own = sock.getsockname()
        sock.sendall(request)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    line = re.escape(
        f"{own[0]}:{own[1]} {port}:{service}"
        f" {service}-anna@test-node 127.0.0.1:{servers[0].port}"
        f" in={len(request)} out={len(answer)}"
    )
    moment = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[lbconsul\.proxy\S*#info\] "
    started.wait_for(rf"{moment}{line} time=\d+\.\d{{3}} retries=0 --$")


def test_log_line_of_trouble(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """The line tells how often another instance was tried, and that none was had."""
    port, dead = free_ports(2)
    registrar.add(service, servers[0], Port=dead)
    started = gateway("--map", f"{port}:{service},policy=roundrobin")
    assert is_closed_at_once(port)
    started.wait_for(rf" {port}:{service} - in=0 out=0 time=\S+ retries=1 SC$")
    registrar.add(service, servers[1])
    eventually(lambda: _answers(port), "the other one answers")
    assert visits(port, 6) == {"bert": 6}
    started.wait_for(rf"{service}-bert@.* retries=1 --$")


def test_log_without_connections(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """With --connection-log off connections are not logged, and changes still are."""
    (port,) = free_ports(1)
    registrar.add(service, servers[0])
    started = gateway("--connection-log", "off", "--map", f"{port}:{service}")
    assert visits(port, 5) == {"anna": 5}
    registrar.add(service, servers[1])
    started.wait_for(rf"{service}: 1 joined \({service}-bert@")
    assert started.stop().accepted == 5
    assert "retries=" not in started.log()


def _answers(port: int) -> bool:
    try:
        with Visitor(port) as visitor:
            return bool(visitor.ask())
    except OSError:
        return False


@contextmanager
def _deaf_port() -> Iterator[int]:
    """A port whose queue is full, so that connecting to it takes for ever."""
    with ExitStack() as stack:
        deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        yield deaf.getsockname()[1]
