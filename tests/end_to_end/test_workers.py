"""Several worker processes, and one balance."""

import os
import random
import shutil
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.registrar import Registrar
from tests.end_to_end.stage import Stage
from tests.end_to_end.test_addresses import LIKE_SYSTEMD
from tests.end_to_end.visits import each_worker_shares, name_in, visits
from tests.support.binaries import REPOSITORY
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway, StartGateway
from tests.support.load import Load, Visitor, connect
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer
from tests.support.workers import (
    all_serve,
    frozen,
    has_open,
    is_alive,
    kill,
    one_by_one,
    pids,
    wait_until_gone,
)

pytestmark = pytest.mark.consul

NAMES = ["emil", "fred", "gina"]


@contextmanager
def crowd(port: int, count: int) -> Iterator[list[Visitor]]:
    """So many clients that all connect before any of them asks."""
    with ExitStack() as stack:
        visitors = [stack.enter_context(Visitor(port)) for _ in range(count)]
        for each in visitors:
            each.join()
        yield visitors


def shares(visitors: list[Visitor]) -> Counter[str]:
    """How many of these clients each server has."""
    return Counter(name_in(each.ask()) for each in visitors)


def assert_even(counts: Counter[str], total: int, names: list[str] = NAMES) -> None:
    """Each server has its part, give or take three."""
    part = total / len(names)
    assert sorted(counts) == names
    assert counts.total() == total
    assert all(abs(count - part) <= 3 for count in counts.values()), counts


def registered(registrar: Registrar, service: str, servers: list[WebServer]) -> None:
    """Let these servers be the instances of a service."""
    for server in servers:
        registrar.add(service, server)


def ended(gateway: Gateway) -> int:
    """How many connections are over, as the log has it."""
    return len(gateway.find(r" retries=\d+ ..$"))


def test_exact_balance(stage: Stage, own_servers: list[WebServer]) -> None:
    """Four workers balance as one does: 300 connections are 100, 100 and 100.

    So they are after half of them, chosen by chance, have gone and others came.
    """
    (port,) = free_ports(1)
    registered(stage.registrar, stage.service, own_servers)
    started = stage.gateway("--workers", "4", "--map", f"{port}:{stage.service}")
    all_serve(started, 4)
    with crowd(port, 300) as visitors:
        assert_even(shares(visitors), 300)
        random.Random(1).shuffle(visitors)
        for each in visitors[:150]:
            each.leave()
        eventually(lambda: ended(started) == 150, "150 connections are over")
        with crowd(port, 150) as others:
            assert_even(shares(visitors[150:]) + shares(others), 300)
    stopped = started.stop()
    assert stopped.accepted == 450
    assert stopped.leases == 0


def test_killed_worker(stage: Stage, own_servers: list[WebServer]) -> None:
    """
    A worker that dies takes its own clients along, and no others. Another one starts
    soon, and what the dead one had counted is forgotten.
    """
    (port,) = free_ports(1)
    registered(stage.registrar, stage.service, own_servers)
    started = stage.gateway("--workers", "3", "--map", f"{port}:{stage.service}")
    all_serve(started, 3)
    with crowd(port, 60) as visitors:
        assert_even(shares(visitors), 60)
        before = pids(started)
        with Load(port, 6) as load:
            load.more(200)
            kill(before[2])
            started.wait_for(rf"worker 2 \(process {before[2]}\) died: signal 9; ")
            eventually(lambda: pids(started)[2] != before[2], "there is another one")
            replaced = time.monotonic()
            load.more(200)
            outcome = load.stop()
        # Each client has one request under way at a time: at most those are lost.
        assert len(outcome.failed()) <= 6, outcome.failed()
        assert outcome.begun_after(replaced).failed() == []
        assert outcome.wrong() == []
        staying = [each for each in visitors if each.has_connection()]
        assert 0 < len(staying) < 60
        with crowd(port, 90 - len(staying)) as others:
            assert_even(shares(staying) + shares(others), 90)
    assert {each: is_alive(pid) for each, pid in pids(started).items()} == {
        1: True, 2: True, 3: True,
    }  # fmt: skip
    assert started.stop().leases == 0


def test_killed_master(stage: Stage, own_servers: list[WebServer]) -> None:
    """When the master dies its workers end, and the port is free for the next one."""
    (port,) = free_ports(1)
    registered(stage.registrar, stage.service, own_servers)
    started = stage.gateway("--workers", "3", "--map", f"{port}:{stage.service}")
    all_serve(started, 3)
    with crowd(port, 12) as visitors:
        assert_even(shares(visitors), 12)
        workers = pids(started).values()
        started.kill()
        wait_until_gone(*workers)
        assert not any(each.has_connection() for each in visitors)
    with pytest.raises(ConnectionRefusedError):
        connect(port)
    again = stage.gateway("--workers", "2", "--map", f"{port}:{stage.service}")
    all_serve(again, 2)
    assert visits(port, 3).total() == 3


@pytest.mark.parametrize("everybody", [False, True])
def test_sigterm_ends_all_workers(
    stage: Stage, own_servers: list[WebServer], *, everybody: bool
) -> None:
    """
    SIGTERM ends all of them in order, sent to the master or to the whole group.
    Connections still open after drain-timeout are closed and logged.
    """
    (port,) = free_ports(1)
    registered(stage.registrar, stage.service, own_servers)
    maps = f"{port}:{stage.service},drain-timeout=1s"
    started = stage.gateway("--workers", "3", "--map", maps)
    all_serve(started, 3)
    with crowd(port, 9) as visitors:
        assert_even(shares(visitors), 9)
        workers = list(pids(started).values())
        if everybody:
            for pid in workers:
                os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGINT)
            time.sleep(0.3)
            assert all(each.has_connection() for each in visitors)
        stopped = started.stop()
        assert not any(map(is_alive, workers))
        assert not any(each.has_connection() for each in visitors)
    assert stopped == (9, 0, 0)
    assert len(started.find(r" KS$")) == 9
    assert " died" not in started.log()
    with pytest.raises(ConnectionRefusedError):
        connect(port)


def test_changes_reach_all(stage: Stage) -> None:
    """Soon after the master every worker knows of a change."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    started = stage.gateway("--workers", "4", "--map", f"{port}:{stage.service}")
    all_serve(started, 4)
    assert visits(port, 20) == {"anna": 20}
    for old, new in ((0, 1), (1, 2), (2, 0)):
        stage.add(stage.servers[new])
        stage.registrar.remove(f"{stage.service}-{stage.servers[old].name}")
        started.wait_for(rf"1 left \({stage.service}-{stage.servers[old].name}@")
        name = stage.servers[new].name
        each_worker_shares(port, pids(started).values(), {name}, 3)
        with crowd(port, 40) as visitors:
            assert shares(visitors) == {stage.servers[new].name: 40}


def test_no_consul_at_the_start(
    consul_binary: str, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """While there is no answer workers let clients wait for connect-timeout, and then
    close them, as one process does.
    """
    (port,) = free_ports(1)
    agent = ConsulAgent(consul_binary)
    try:
        place = f"127.0.0.1:{agent.port}"
        maps = f"--map={port}:{service}"
        started = gateway("--consul", place, "--workers=2", maps, wait="listening")
        all_serve(started, 2)
        with crowd(port, 6) as visitors:
            eventually(
                lambda: not any(each.has_connection() for each in visitors),
                "all are closed",
            )
        agent.start()
        agent.wait_until_ready()
        Registrar(agent).add(service, servers[0])
        eventually(lambda: _answers(port), "it serves")
    finally:
        agent.close()


def _answers(port: int) -> bool:
    try:
        return visits(port, 1).total() == 1
    except OSError:
        return False


def test_frozen_worker(stage: Stage, own_servers: list[WebServer]) -> None:
    """A worker that hangs gets no new clients, and none of them waits for it."""
    (port,) = free_ports(1)
    registered(stage.registrar, stage.service, own_servers)
    started = stage.gateway("--workers", "2", "--map", f"{port}:{stage.service}")
    all_serve(started, 2)
    assert visits(port, 10).total() == 10
    with frozen(pids(started)[1]), crowd(port, 100) as visitors:
        assert_even(shares(visitors), 100)
    for _ in one_by_one(pids(started).values()):
        assert visits(port, 10).total() == 10
    assert started.stop().accepted == 130


def test_no_secrets(
    consul: ConsulAgent, gateway: StartGateway, service: str, tmp_path: Path
) -> None:
    """The token is in no worker's environment and on no worker's command line.

    Neither does a worker have more open than it needs.
    """
    (port,) = free_ports(1)
    token = "d34db33f-t0ken"
    environment = {"CONSUL_HTTP_TOKEN": token, "OTHER_SECRET": token}
    started = gateway(
        f"--consul={consul.url}",
        f"--token={token}",
        "--workers=2",
        f"--map={port}:{service}",
        env=environment,
    )
    workers = all_serve(started, 2)
    for pid in workers.values():
        for name in ("environ", "cmdline"):
            assert token not in Path(f"/proc/{pid}/{name}").read_text(errors="replace")
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        assert command[1:4] == ["-P", "-m", "lbconsul.workers"]
        # To the master two, where clients come from, the reactor's own two.
        assert has_open(pid)["socket"] <= 5


def test_dev(gateway: StartGateway) -> None:
    """--dev works with workers: the catalog is the master's."""
    consul, port = free_ports(2)
    place = f"127.0.0.1:{consul}"
    maps = f"--map={port}:web"
    started = gateway("--dev", "--consul", place, "--workers", "2", maps)
    all_serve(started, 2)
    for _ in range(4):
        with connect(port) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert sock.recv(12).endswith(b" 200")


def test_changed_code(gateway: StartGateway, tmp_path: Path) -> None:
    """Where another version was installed meanwhile, no worker of that is started.

    Those that run go on.
    """
    for each in ("lbconsul", "twisted"):
        shutil.copytree(REPOSITORY / each, tmp_path / "code" / each)
    consul, port = free_ports(2)
    started = gateway(
        "--dev",
        f"--consul=127.0.0.1:{consul}",
        "--workers=2",
        f"--map={port}:web",
        env={"PYTHONPATH": str(tmp_path / "code")},
    )
    before = all_serve(started, 2)
    messages = tmp_path / "code" / "lbconsul" / "workers" / "messages.py"
    messages.write_text(messages.read_text().replace("Setup", "Begin"))
    kill(before[2])
    started.wait_for(
        r"worker 2 \(process \d+\): the code was changed since the gateway started:"
        r" restart it$"
    )
    started.wait_for(r"worker 2 \(process \d+\) died: exit status 1; ")
    assert pids(started) == before
    with connect(port) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert sock.recv(12).endswith(b" 200")


def test_unix_and_systemd_sockets(stage: Stage, tmp_path: Path) -> None:
    """UNIX sockets and those that systemd passes in are served by all workers too."""
    stage.add(stage.servers[0])
    path = tmp_path / "web.sock"
    with socket.create_server(("127.0.0.1", 0)) as passed:
        prefix = [sys.executable, "-c", LIKE_SYSTEMD, "front", "1"]
        started = stage.gateway(
            "--workers=2",
            f"--map=unix:{path}:{stage.service}",
            f"--map=systemd:front:{stage.service}",
            prefix=[*prefix, str(passed.fileno())],
            pass_fds=[passed.fileno()],
        )
        assert visits(str(path), 10) == {"anna": 10}
        assert visits(passed.getsockname()[1], 10) == {"anna": 10}
        assert started.stop().accepted == 20
        assert not path.exists()
