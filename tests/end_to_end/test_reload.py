"""SIGHUP: everything is read again, and what stays does not notice."""

import random
import re
import socket
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.end_to_end.consul_relay import ConsulRelay
from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import each_worker_shares, held, visit, visits
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway, StartGateway
from tests.support.load import Load, connect
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually
from tests.support.workers import all_serve, is_alive, kill, pids

pytestmark = pytest.mark.consul

#: In one process, and with others.
WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


class Running:
    """A gateway with a file, of which the mappings are rewritten."""

    def __init__(
        self, gateway: StartGateway, file: Path, workers: str, *mappings: str
    ) -> None:
        self.file = file
        self.write(*mappings)
        self.gateway: Gateway = gateway("--workers", workers, "--config", str(file))
        self.reloads = 0
        if workers != "1":
            all_serve(self.gateway, int(workers))

    def write(self, *mappings: str) -> None:
        """Say that these are the mappings."""
        words = ", ".join(f"'{each}'" for each in mappings)
        new = self.file.with_suffix(".new")  # a reload may be reading the old one
        new.write_text(f"map = [{words}]\n")
        new.rename(self.file)

    def reload(self, *mappings: str) -> str:
        """Reload with these mappings; what is said of it."""
        self.write(*mappings)
        self.gateway.reload()
        self.reloads += 1
        eventually(lambda: len(self.said()) == self.reloads, "it is reloaded")
        return self.said()[-1]

    def said(self) -> list[str]:
        """What was said of each reload."""
        return [each[1] for each in self.gateway.find(r" info reloaded: (.*)$")]


@contextmanager
def dripping() -> Iterator[tuple[int, list[socket.socket]]]:
    """The port of a server that says a number each 10 ms, and its connections."""
    clients: list[socket.socket] = []
    is_over = threading.Event()

    def drip(client: socket.socket) -> None:
        # Its reader may go away, or reset the connection.
        with client, suppress(OSError):
            number = 0
            while not is_over.is_set():
                client.sendall(b"%d " % number)
                number += 1
                time.sleep(0.01)

    def accept() -> None:
        while True:
            client, _ = server.accept()
            if is_over.is_set():
                client.close()
                return
            clients.append(client)
            threading.Thread(target=drip, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield port, clients
        finally:
            is_over.set()
            socket.create_connection(("127.0.0.1", port)).close()
            accepting.join(PATIENCE)


def assert_whole(stream: bytes) -> int:
    """Nothing is missing from what was dripped; how much there is."""
    numbers = stream.split()[:-1]  # the last one may be cut off
    assert numbers == [b"%d" % number for number in range(len(numbers))]
    return len(numbers)


def refuses(port: int) -> bool:
    """Whether the port refuses connections."""
    try:
        connect(port).close()
    except ConnectionResetError:
        return False  # it was closed just then
    except ConnectionRefusedError:
        return True
    return False


@WORKERS
def test_added_altered_removed(stage: Stage, workers: str, tmp_path: Path) -> None:
    """Mappings come and go; connections of those that stay live on, and those of a
    mapping that is gone have their drain-timeout.
    """
    stays, altered, gone, new = free_ports(4)
    for server in stage.servers[:2]:
        stage.add(server, Tags=[server.name])
    running = Running(
        stage.gateway,
        tmp_path / "lb.toml",
        workers,
        f"{stays}:{stage.service}",
        f"{altered}:{stage.service},tag=anna",
        f"{gone}:{stage.service},drain-timeout=4s",
    )
    with held(stays, 4) as one, held(altered, 4) as other, held(gone, 4) as third:
        said = running.reload(
            f"{stays}:{stage.service}",
            f"{altered}:{stage.service},tag=bert",
            f"{new}:{stage.service}",
        )
        begun = time.monotonic()
        assert said == (
            f"1 added ({new}:{stage.service}), 1 altered ({altered}:{stage.service}),"
            f" 1 removed ({gone}:{stage.service}), 1 unchanged"
        )
        eventually(lambda: refuses(gone), "nobody listens any more")
        assert all(visitor.ask() for _, visitor in third)
        assert set(visits(new, 10)) <= {"anna", "bert"}
        each_worker_shares(altered, pids(running.gateway).values(), {"bert"}, 3)
        assert visits(altered, 10) == {"bert": 10}
        for _, visitor in third:
            eventually(lambda v=visitor: not v.has_connection(), "they are closed")  # type: ignore[misc]
        assert time.monotonic() - begun > 3.0
        assert {visitor.ask().split()[0] for _, visitor in other} == {"anna"}
        assert all(visitor.ask() for _, visitor in one)
    assert running.gateway.stop().leases == 0


def test_removed_and_added(stage: Stage, tmp_path: Path) -> None:
    """A removed mapping can be added again at once, however busy the workers are."""
    stays, port = free_ports(2)
    stage.add(stage.servers[0])
    one, other = f"{stays}:{stage.service}", f"{port}:{stage.service}"
    running = Running(stage.gateway, tmp_path / "lb.toml", "2", one, other)
    for _ in range(10):
        running.reload(one)
        running.reload(one, other)
    assert visits(port, 4) == {"anna": 4}
    assert not running.gateway.find("not reloaded|dropped the|failed")


@WORKERS
def test_other_service(stage: Stage, workers: str, tmp_path: Path) -> None:
    """
    The same port with another service: no client is refused or meets an empty pool.
    """
    (port,) = free_ports(1)
    names = [f"{stage.service}-{server.name}" for server in stage.servers[:2]]
    for name, server in zip(names, stage.servers, strict=False):
        stage.registrar.add(name, server)
    file = tmp_path / "lb.toml"
    running = Running(stage.gateway, file, workers, f"{port}:{names[0]}")
    with Load(port, 4, 0.001) as load:
        for _ in range(5):
            for name in reversed(names):
                running.reload(f"{port}:{name}")
                time.sleep(0.1)
        outcome = load.stop()
    assert outcome.failed() == outcome.wrong() == []
    assert set(outcome.servers()) == {"anna", "bert"}
    each_worker_shares(port, pids(running.gateway).values(), {"anna"}, 3)
    assert visits(port, 5) == {"anna": 5}
    running.gateway.stop()


def test_nothing_that_is_wrong(stage: Stage, tmp_path: Path) -> None:
    """
    A broken file or a port that is taken changes nothing, and is reported as at the
    start.
    """
    port, free = free_ports(2)
    stage.add(stage.servers[0])
    file = tmp_path / "lb.toml"
    running = Running(stage.gateway, file, "2", f"{port}:{stage.service}")
    started = running.gateway
    with held(port, 2) as connections, socket.create_server(("127.0.0.1", 0)) as taken:
        file.write_text("map = [")
        started.reload()
        started.expect(rf"not reloaded: {re.escape(str(file))}: not TOML: ")
        running.write(f"{port}:{stage.service},polcy=p2c")
        started.reload()
        started.expect("not reloaded: .*unknown option 'polcy'; did you mean 'policy'")
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        running.write(f"{free}:{stage.service}", f"{busy}:{stage.service}")
        started.reload()
        started.expect(f"not reloaded: cannot listen on {busy} for .* already in use; ")
        assert refuses(free)
        assert visits(port, 4) == {"anna": 4}
        assert all(visitor.has_connection() for _, visitor in connections)
    assert running.said() == []
    assert running.reload(f"{port}:{stage.service}").startswith(
        "0 added, 0 altered, 0 remo"
    )
    started.stop()


def test_what_needs_a_restart(stage: Stage, tmp_path: Path) -> None:
    """Options that a reload cannot change are logged; the rest is applied."""
    port, new = free_ports(2)
    stage.add(stage.servers[0])
    file = tmp_path / "lb.toml"
    file.write_text(f"map = ['{port}:{stage.service}']\n")
    started = stage.gateway("--config", str(file))
    file.write_text(
        f"map = ['{port}:{stage.service}', '{new}:{stage.service}']\nworkers = 2\n"
        "connection-log = false\n"
    )
    started.reload()
    started.wait_for(" warn --workers cannot be changed by a reload: rest")
    started.wait_for("reloaded: 1 added .*, 1 altered .*, 0 removed, 0 unchanged$")
    assert visits(port, 2) == visits(new, 2) == {"anna": 2}
    started.stop()
    assert "retries=" not in started.log()


def test_unix_socket(stage: Stage, tmp_path: Path) -> None:
    """The file of a UNIX socket stays the same one, with the mode that is asked for."""
    stage.add(stage.servers[0])
    path = tmp_path / "web.sock"
    file = tmp_path / "lb.toml"
    running = Running(stage.gateway, file, "1", f"unix:{path}:{stage.service}")
    before = path.stat()
    running.reload(f"unix:{path}:{stage.service},unix-mode=606")
    after = path.stat()
    assert (after.st_ino, stat.S_IMODE(after.st_mode)) == (before.st_ino, 0o606)
    assert visits(str(path), 3) == {"anna": 3}
    (port,) = free_ports(1)
    running.reload(f"{port}:{stage.service}")
    assert not path.exists()
    running.gateway.stop()


def test_token_file(consul: ConsulAgent, stage: Stage, tmp_path: Path) -> None:
    """With another token all watches restart at once; with the same one they do not,
    however often everything is read again.
    """
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    token = tmp_path / "token"
    token.write_text("first")
    with ConsulRelay(consul.port) as relay:
        started = stage.gateway(
            "--consul",
            f"127.0.0.1:{relay.port}",
            f"--token-file={token}",
            f"--map={port}:{stage.service}",
        )
        eventually(lambda: len(relay.queries(stage.service)) >= 2, "it waits for news")
        time.sleep(0.5)  # Consul has some more to say of what was registered just now
        before = len(relay.queries(stage.service))
        for number in range(1, 11):
            started.reload()
            eventually(lambda n=number: len(_reloads(started)) == n, "it is reloaded")  # type: ignore[misc]
        time.sleep(0.3)
        assert len(relay.queries(stage.service)) == before
        token.write_text("second")
        started.reload()
        eventually(lambda: len(relay.queries(stage.service)) > before, "it asks anew")
        assert "X-Consul-Token: second".lower() in relay.heads[-1].lower()
        token.unlink()
        started.reload()
        started.expect(f"not reloaded: --token-file {token}: cannot be read: No such")
        assert visits(port, 3) == {"anna": 3}
        stage.add(stage.servers[1])
        started.wait_for(rf"{stage.service}: 1 joined \({stage.service}-bert@")
        assert "no answer from Consul" not in started.log()
        assert len(started.find("all watches restarted")) == 1
        started.stop()


def _reloads(started: Gateway) -> Sequence[object]:
    return started.find("reloaded: 0 added, 0 altered, 0 removed, 1 unchanged$")


@WORKERS
def test_storm(stage: Stage, workers: str, tmp_path: Path) -> None:
    """Thirty reloads 20 to 200 ms apart, each of which alters something: no client is
    lost of those that come meanwhile, and a stream that was there before is whole.
    """
    port, stays, other = free_ports(3)
    for server in stage.servers[:3]:
        stage.add(server)
    chance = random.Random(1)
    with dripping() as (drip_port, _):
        stage.registrar.add(f"{stage.service}-drip", stage.servers[3], Port=drip_port)
        drips, fixed = free_ports(1)[0], f"{stays}:{stage.service}"
        lasting = f"{drips}:{stage.service}-drip"
        file = tmp_path / "lb.toml"
        running = Running(
            stage.gateway, file, workers, f"{port}:{stage.service}", fixed, lasting
        )
        with connect(drips) as stream, Load(f"{port},{stays}", 8, 0.0) as load:
            for number in range(30):
                mappings = [
                    f"{port}:{stage.service},idle-timeout={100 + number}s",
                    fixed,
                ]
                mappings.append(f"{lasting},idle-timeout={100 + number}s")
                running.write(*mappings, *[f"{other}:{stage.service}"] * (number % 2))
                running.gateway.reload()
                time.sleep(chance.uniform(0.02, 0.2))
            load.more(100)
            outcome = load.stop()
            eventually(lambda: bool(running.said()), "it is reloaded")
            running.gateway.wait_for("reloaded: .*")
            stream.settimeout(PATIENCE)
            received = b""
            end = time.monotonic() + 1.0
            while time.monotonic() < end:
                received += stream.recv(65536)
        assert outcome.failed() == outcome.wrong() == []
        assert assert_whole(received) > 0
        assert len(running.said()) > 15
        assert running.gateway.stop().leases == 0


def test_dead_worker(stage: Stage, tmp_path: Path) -> None:
    """A worker that takes a dead one's place serves what is served by then."""
    old, new = free_ports(2)
    stage.add(stage.servers[0])
    file = tmp_path / "lb.toml"
    running = Running(stage.gateway, file, "2", f"{old}:{stage.service}")
    before = pids(running.gateway)
    running.reload(f"{new}:{stage.service}")
    for pid in before.values():
        kill(pid)
        eventually(lambda pid=pid: not is_alive(pid), "it is gone")  # type: ignore[misc]
    eventually(
        lambda: not set(pids(running.gateway).values()) & set(before.values()),
        "others serve",
    )
    assert visits(new, 6) == {"anna": 6}
    assert refuses(old)
    running.gateway.stop()


def test_many_at_once(stage: Stage, tmp_path: Path) -> None:
    """A hundred mappings can be added, altered and removed in one reload."""
    ports = free_ports(150)
    stage.add(stage.servers[0])
    file = tmp_path / "lb.toml"
    first = [f"{port}:{stage.service}" for port in ports[:100]]
    running = Running(stage.gateway, file, "2", *first)
    assert visits(ports[0], 2) == {"anna": 2}
    said = running.reload(
        *(f"{port}:{stage.service},attempts=2" for port in ports[50:100]),
        *(f"{port}:{stage.service}" for port in ports[100:]),
    )
    assert said == "50 added, 50 altered, 50 removed, 0 unchanged"
    for port in ports[50:]:
        assert visit(port) == "anna"
    eventually(lambda: all(map(refuses, ports[:50])), "the others are gone")
    running.gateway.stop()
