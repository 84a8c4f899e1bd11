"""A gateway's first and last moments, and what it logs in between."""

import re
import resource
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from tests.end_to_end.consul_relay import ConsulRelay
from tests.end_to_end.registrar import Registrar
from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import (
    eventually_shared,
    held,
    is_closed_at_once,
    visit,
    visits,
)
from tests.support.admin_side import AdminSide
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway, StartGateway
from tests.support.load import Visitor, connect
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually
from tests.support.web_server import WebServer
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul

REQUEST = b"GET /?%s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


#: In one process, and with others.
WORKERS = pytest.mark.parametrize("workers", ["1", "2"])

#: How many answers are under way while it ends.
ANSWERS = 20


def test_start_before_consul(
    consul_binary: str, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """Without Consul it listens, says that it waits, and serves once Consul comes.

    Clients that come early are let in after connect-timeout, and closed.
    """
    (port,) = free_ports(1)
    agent = ConsulAgent(consul_binary)
    try:
        maps = f"--map={port}:{service},policy=roundrobin,connect-timeout=200ms"
        place = f"127.0.0.1:{agent.port}"
        started = gateway("--consul", place, maps, wait="listening")
        started.wait_for(
            rf"{service}: no answer from Consul at .*; waiting for the first answer"
        )
        eventually(lambda: is_closed_at_once(port), "clients are closed")
        agent.start()
        agent.wait_until_ready()
        Registrar(agent).add(service, servers[0])
        eventually_shared(port, {"anna": 2})
        assert len(started.find("waiting for the first answer")) == 1
        started.wait_for(rf"{service}: Consul answers again, after \d+ failures")
    finally:
        agent.close()


@WORKERS
def test_early_client(consul: ConsulAgent, stage: Stage, workers: str) -> None:
    """A client that comes before Consul's first answer waits for it."""
    port, consul_port = free_ports(2)
    stage.add(stage.servers[0])
    options = ["--consul", f"127.0.0.1:{consul_port}", "--workers", workers]
    maps = f"{port}:{stage.service},connect-timeout=25s"
    stage.gateway(*options, "--map", maps, wait="listening")
    with connect(port) as early:
        early.sendall(REQUEST % b"early")
        early.settimeout(0.5)
        with pytest.raises(TimeoutError):
            early.recv(1)
        early.settimeout(PATIENCE)
        with ConsulRelay(consul.port, consul_port):
            answer = b"".join(iter(lambda: early.recv(65536), b""))
    assert answer.endswith(b"anna early\n")


@WORKERS
def test_sigterm_lets_answers_complete(stage: Stage, workers: str) -> None:
    """
    SIGTERM lets all answers in progress complete; no new client is accepted meanwhile;
    then the gateway ends well.
    """
    port, place = free_ports(2)
    for server in stage.servers[:2]:
        stage.add(server)
    mapping = f"{port}:{stage.service}"
    started = stage.gateway(f"--admin={place}", "--workers", workers, "--map", mapping)
    all_in_place(started, workers)
    admin = AdminSide(place)
    with ThreadPoolExecutor(ANSWERS) as clients:
        answers = [clients.submit(slowly, port, 5.0) for _ in range(ANSWERS)]
        eventually(lambda: admin.status()["gateway"]["open"] == ANSWERS, "all began")
        started.terminate()
        started.wait_for("draining: listeners closed, ")
        eventually(lambda: _refuses(port), "new clients are refused")
        assert all(each.result().startswith(("anna", "bert")) for each in answers)
    stopped = started.wait_until_gone()
    assert stopped == (ANSWERS, 0, 0)
    assert started.find(f"draining: listeners closed, {ANSWERS} connections open")
    assert len(started.find("draining: done, no connection is open")) == 1


@WORKERS
def test_stop_while_idle(stage: Stage, workers: str) -> None:
    """Where nothing is open it ends at once."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    started = stage.gateway("--workers", workers, "--map", f"{port}:{stage.service}")
    all_in_place(started, workers)
    assert visit(port) == "anna"
    assert started.stop() == (1, 0, 0)


@WORKERS
def test_stop_at_the_latest(stage: Stage, workers: str) -> None:
    """A connection that stays is closed when drain-timeout is over."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    maps = f"{port}:{stage.service},drain-timeout=2s"
    started = stage.gateway("--workers", workers, "--map", maps)
    all_in_place(started, workers)
    with held(port, 6) as connections:
        begun = time.monotonic()
        started.terminate()
        stopped = started.wait_until_gone()
        assert time.monotonic() - begun > 1.5
        assert not any(visitor.has_connection() for _, visitor in connections)
    assert stopped == (6, 0, 0)
    assert len(started.find(r" KS$")) == 6  # by the drain, and no other way


@WORKERS
def test_stop_twice(stage: Stage, workers: str) -> None:
    """A second SIGTERM ends it at once."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    started = stage.gateway("--workers", workers, "--map", f"{port}:{stage.service}")
    all_in_place(started, workers)
    with held(port, 2) as connections:
        started.terminate()
        started.wait_for("draining: listeners closed, ")
        started.terminate()
        assert started.status() == 1
        eventually(
            lambda: not any(visitor.has_connection() for _, visitor in connections),
            "all are closed",
        )


@WORKERS
def test_interrupt(stage: Stage, workers: str) -> None:
    """Ctrl-C ends the gateway at once and in order, even while it drains."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    started = stage.gateway("--workers", workers, "--map", f"{port}:{stage.service}")
    all_in_place(started, workers)
    with held(port, 2):
        started.terminate()
        started.wait_for("draining: listeners closed, ")
        started.signal(signal.SIGINT)
        started.status()
    assert started.find("stopped: 2 connections accepted, 2 closed at the end")
    assert "Traceback" not in started.log()


@WORKERS
def test_grace(stage: Stage, workers: str) -> None:
    """With --shutdown-grace it goes on as before for so long after SIGTERM."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    options = ["--shutdown-grace=3s", "--workers", workers]
    started = stage.gateway(*options, "--map", f"{port}:{stage.service}")
    all_in_place(started, workers)
    begun = time.monotonic()
    started.terminate()
    started.wait_for(r"draining: listeners open until \d\d:\d\d:\d\d, 0 conn")
    assert visits(port, 5) == {"anna": 5}
    assert started.wait_until_gone() == (5, 0, 0)
    assert time.monotonic() - begun > 2.9
    assert _refuses(port)


def test_stop_while_dialling(stage: Stage) -> None:
    """A client that waits for an instance that does not accept is closed in the end."""
    port, place = free_ports(2)
    admin = AdminSide(place)
    with _deaf_port() as deaf:
        stage.add(stage.servers[0], Port=deaf)
        options = "connect-timeout=1h,drain-timeout=1s"
        maps = f"{port}:{stage.service},{options}"
        started = stage.gateway(f"--admin={place}", "--map", maps)
        with connect(port), connect(port):
            eventually(lambda: admin.status()["gateway"]["open"] == 2, "both wait")
            stopped = started.stop()
    assert stopped == (2, 0, 0)


def test_limit_of_descriptors(stage: Stage) -> None:
    """
    The gateway raises its limit of descriptors, and logs what the limit suffices for.
    """
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    started = stage.gateway("--map", f"{port}:{stage.service}")
    [said] = started.find(r"(\d+) descriptors: max-connections .* is (\d+)")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert int(said[1]) == (hard if 0 < hard < 1 << 20 else 1 << 20)
    assert 0 < int(said[2]) < int(said[1]) / 2


def test_log_line(stage: Stage) -> None:
    """Each connection is one line: client, upstream, bytes, time, termination."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    started = stage.gateway("--map", f"{port}:{stage.service}")
    request = REQUEST % b"one"
    with connect(port) as sock:
        own = sock.getsockname()
        sock.sendall(request)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    line = re.escape(
        f"{own[0]}:{own[1]} {port}:{stage.service}"
        f" {stage.service}-anna@test-node 127.0.0.1:{stage.servers[0].port}"
        f" in={len(request)} out={len(answer)}"
    )
    moment = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d info "
    started.wait_for(rf"{moment}{line} time=\d+\.\d{{3}} retries=0 --$")


def test_log_line_of_trouble(stage: Stage) -> None:
    """The line tells how often another instance was tried, and that none was had."""
    port, dead = free_ports(2)
    stage.add(stage.servers[0], Port=dead)
    started = stage.gateway("--map", f"{port}:{stage.service},policy=roundrobin")
    assert is_closed_at_once(port)
    started.wait_for(rf" {port}:{stage.service} - in=0 out=0 time=\S+ retries=1 SC$")
    stage.add(stage.servers[1])
    eventually(lambda: _answers(port), "the other one answers")
    assert visits(port, 6) == {"bert": 6}
    started.wait_for(rf"{stage.service}-bert@.* retries=1 --$")


def test_log_without_connections(stage: Stage) -> None:
    """With --connection-log off connections are not logged, and changes still are."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    started = stage.gateway(
        "--connection-log", "off", "--map", f"{port}:{stage.service}"
    )
    assert visits(port, 5) == {"anna": 5}
    stage.add(stage.servers[1])
    started.wait_for(rf"{stage.service}: 1 joined \({stage.service}-bert@")
    assert started.stop().accepted == 5
    assert "retries=" not in started.log()


def all_in_place(started: Gateway, workers: str) -> None:
    """Wait until workers serve, if there are any."""
    if workers != "1":
        all_serve(started, int(workers))


def slowly(port: int, seconds: float) -> str:
    """The answer of a server that takes so long for it."""
    with Visitor(port) as visitor:
        return visitor.ask(f"/slow?s={seconds}")


def _refuses(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionResetError:
        return False  # it was closed just then
    except ConnectionRefusedError:
        return True
    return False


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
