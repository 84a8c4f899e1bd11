"""One gateway takes over from another, and no client notices."""

import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from lbconsul.admin.client import Admin, CannotAsk
from tests.end_to_end.registrar import Registrar
from tests.end_to_end.stage import Stage
from tests.end_to_end.test_addresses import LIKE_SYSTEMD
from tests.end_to_end.visits import held, visit
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway, StartGateway, run_to_its_end
from tests.support.load import Address, Load, connect
from tests.support.loopback import full_queue, receive_all
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually
from tests.support.web_server import WebServer
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul

#: What a new gateway says when it is the gateway.
TAKEN_OVER = r"taken over from the gateway at /"


@pytest.fixture
def meeting(tmp_path: Path) -> str:
    """Where gateways meet."""
    return str(tmp_path / "lb.sock")


@pytest.fixture
def web(registrar: Registrar, servers: list[WebServer], service: str) -> str:
    """A service with two instances."""
    for server in servers[:2]:
        registrar.add(service, server)
    return service


def next_one(gateway: StartGateway, *arguments: str, **keywords: object) -> Gateway:
    """A gateway that has taken over."""
    started = gateway(*arguments, wait="listening", **keywords)
    started.wait_for(TAKEN_OVER)
    return started


def assert_untouched(load: Load) -> None:
    """Every single request of a load was answered, and so are the next ones."""
    load.more(20)
    outcome = load.stop()
    assert outcome.failed() == []
    assert outcome.wrong() == []


def test_under_load(gateway: StartGateway, web: str, meeting: str) -> None:
    """Of five takeovers in a row clients see nothing: none is refused, none is cut."""
    (port,) = free_ports(1)
    arguments = ["--map", f"{port}:{web}", "--takeover", meeting]
    gateways = [gateway(*arguments)]
    with Load(port, 6) as fresh, Load(port, 4, keep_alive=True) as kept:
        for _ in range(5):
            time.sleep(random.uniform(0.02, 0.2))
            gateways.append(next_one(gateway, *arguments))
        assert_untouched(fresh)
        assert_untouched(kept)
    *old, last = gateways
    for each in old:
        assert each.wait_until_gone().closed == 0
    assert stat.S_IMODE(os.stat(meeting).st_mode) == 0o600
    last.stop()
    assert os.listdir(os.path.dirname(meeting)).count("lb.sock") == 0


def test_snapshot(
    gateway: StartGateway, web: str, meeting: str, tmp_path: Path
) -> None:
    """A gateway that knows the instances from a snapshot starts each worker once."""
    (port,) = free_ports(1)
    told = ["--map", f"{port}:{web}", "--takeover", meeting, "--workers", "2"]
    told += ["--state-dir", str(tmp_path / "state")]
    gateway(*told).wait_for(r"worker 2 \(process \d+\) serves")
    new = next_one(gateway, *told)
    assert len(new.find(r"worker \d \(process \d+\) serves")) == 2
    assert len(new.find(r"balancing ")) == 1


@pytest.mark.parametrize("kind", ["port", "path"])
def test_admin_listener(
    gateway: StartGateway, web: str, meeting: str, tmp_path: Path, kind: str
) -> None:
    """The admin listener is the new gateway's at once, though the old one still drains:
    what asks for readiness finds the gateway that serves.
    """
    port, admin = free_ports(2)
    at = f"127.0.0.1:{admin}" if kind == "port" else f"unix:{tmp_path}/admin.sock"
    told = ["--map", f"{port}:{web}", "--takeover", meeting, "--admin", at]
    old = gateway(*told)
    asked = Admin(at)
    with held(port, 1):
        new = next_one(gateway, *told)
        eventually(lambda: _process(asked) == new.pid, "the new one answers")
        assert asked.status()["gateway"]["ready"]
        assert not old.find("stopped: ")
    old.wait_until_gone()


def _process(asked: Admin) -> int:
    """The process that answers at an admin listener; 0 if none does."""
    try:
        return int(asked.status()["gateway"]["pid"])
    except CannotAsk:
        return 0


def test_unix_and_systemd(
    gateway: StartGateway, web: str, meeting: str, tmp_path: Path
) -> None:
    """UNIX sockets and systemd's are taken over as well; a file goes with the last."""
    path = str(tmp_path / "web.sock")
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)) as passed:
        fd = passed.fileno()
        prefix = [sys.executable, "-c", LIKE_SYSTEMD, "front", "1", str(fd)]
        told = ["--map", f"unix:{path}:{web}", "--map", f"systemd:front:{web}"]
        told += ["--takeover", meeting]
        old = gateway(*told, prefix=prefix, pass_fds=[fd])
    with Load(path, 4) as by_path, Load(port, 4) as by_port:
        for _ in range(3):
            new = next_one(gateway, *told)
            old.wait_until_gone()
            old = new
        assert_untouched(by_path)
        assert_untouched(by_port)
    old.stop()
    assert not os.path.exists(path)


@pytest.mark.parametrize(("before", "after"), [(2, 2), (1, 2), (2, 1)])
def test_workers(
    gateway: StartGateway, web: str, meeting: str, before: int, after: int
) -> None:
    """With workers the masters pass the sockets on."""
    (port,) = free_ports(1)
    told = ["--map", f"{port}:{web}", "--takeover", meeting]
    old = gateway(*told, "--workers", str(before))
    if before > 1:
        all_serve(old, before)
    with Load(port, 6) as load:
        for _ in range(2):
            new = next_one(gateway, *told, "--workers", str(after))
            old.wait_until_gone()
            old = new
        assert_untouched(load)


def test_history(gateway: StartGateway, web: str, meeting: str) -> None:
    """The new gateway's page shows what was before the takeover, too."""
    port, before, after = free_ports(3)

    def times(admin: int) -> list[float]:
        url = f"http://127.0.0.1:{admin}/history"
        with urlopen(url, timeout=PATIENCE) as answer:
            return list(json.load(answer)["times"])

    told = ["--map", f"{port}:{web}", "--takeover", meeting, "--admin"]
    old = gateway(*told, str(before))
    eventually(lambda: times(before), "the first sample is taken")
    known = times(before)
    next_one(gateway, *told, str(after))
    old.wait_until_gone()
    assert [round(each) for each in times(after)[: len(known)]] == [
        round(each) for each in known
    ]


@contextmanager
def trickling(seconds: float) -> Iterator[int]:
    """A server that says 2 MiB to each client, and takes its time."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    threading.Thread(target=trickle, args=[client]).start()

        def trickle(client: socket.socket) -> None:
            with client:
                for _ in range(64):
                    client.sendall(b"x" * 32768)
                    time.sleep(seconds / 64)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_slow_streams(stage: Stage, meeting: str) -> None:
    """Answers in progress arrive whole, from the old gateway, which then is gone."""
    (port,) = free_ports(1)
    told = ["--map", f"{port}:{stage.service}", "--takeover", meeting]
    with trickling(6) as upstream:
        stage.add(stage.servers[0], Port=upstream)
        old = stage.gateway(*told)
        clients = [connect(port) for _ in range(5)]
        for each in clients:
            assert each.recv(1) == b"x"
        next_one(stage.gateway, *told)
        for each in clients:
            with each:
                assert len(receive_all(each)) == 64 * 32768 - 1
        stopped = old.wait_until_gone()
    assert (stopped.accepted, stopped.closed, stopped.leases) == (5, 0, 0)


def test_drain_timeout(gateway: StartGateway, web: str, meeting: str) -> None:
    """
    Connections still open at the drain timeout are closed, and the old gateway ends.
    """
    (port,) = free_ports(1)
    told = ["--map", f"{port}:{web},drain-timeout=1s", "--takeover", meeting]
    old = gateway(*told)
    with held(port, 3):
        next_one(gateway, *told)
        assert old.wait_until_gone().accepted >= 3


def test_nobody_there(gateway: StartGateway, web: str, meeting: str) -> None:
    """Without a running gateway it starts as always; also after one was killed."""
    (port,) = free_ports(1)
    told = ["--map", f"{port}:{web}", "--takeover", meeting]
    first = gateway(*told)
    assert first.find(r"tak(ing|en) over") == []
    assert visit(port) in ("anna", "bert")
    first.kill()
    assert os.path.exists(meeting)
    second = gateway(*told)
    assert second.find(r"tak(ing|en) over") == []
    assert visit(port) in ("anna", "bert")


def test_port_of_somebody_else(
    web: str, consul: ConsulAgent, meeting: str, tmp_path: Path
) -> None:
    """A port that another program has is as taken as ever."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        told = ["--consul", f"127.0.0.1:{consul.port}", "--takeover", meeting]
        ended = run_to_its_end(tmp_path, *told, "--map", f"{place}:{web}")
        _, said = ended.communicate(timeout=PATIENCE)
    assert ended.returncode == 1
    assert said.endswith(": Address already in use\n")
    assert not os.path.exists(meeting)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/nonexistent/lb.sock", "there is no directory /nonexistent"),
        ("/dev/null", "exists and is not a socket"),
    ],
)
def test_unfit_path(web: str, tmp_path: Path, path: str, why: str) -> None:
    """An unusable path is one line of error, and nothing starts."""
    (port,) = free_ports(1)
    ended = run_to_its_end(tmp_path, "--takeover", path, "--map", f"{port}:{web}")
    _, said = ended.communicate(timeout=PATIENCE)
    assert ended.returncode == 1
    assert said == f"lbconsul: --takeover {path}: {why}\n"


def test_check_takes_nothing(
    gateway: StartGateway, web: str, meeting: str, tmp_path: Path
) -> None:
    """--check looks at the configuration only."""
    (port,) = free_ports(1)
    told = ["--map", f"{port}:{web}", "--takeover", meeting]
    old = gateway(*told)
    checked = run_to_its_end(tmp_path, *told, "--check")
    assert checked.wait(PATIENCE) == 0
    assert old.find("takes over") == []


def killed(process: "subprocess.Popen[str]", old: Gateway) -> None:
    """The new gateway is killed once it has the sockets."""
    old.wait_for(r"process \d+ takes over: 1 sockets handed to it")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)


def terminated(process: "subprocess.Popen[str]", old: Gateway) -> None:
    """The new gateway gets SIGTERM once it has the sockets."""
    old.wait_for(r"process \d+ takes over: 1 sockets handed to it")
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


@pytest.mark.parametrize("end", [killed, terminated])
def test_new_one_ends_before_it_accepts(
    gateway: StartGateway,
    web: str,
    meeting: str,
    tmp_path: Path,
    end: Callable[["subprocess.Popen[str]", Gateway], None],
) -> None:
    """Then the old one goes on as if nothing had been, and another one may try."""
    path = str(tmp_path / "web.sock")
    told = ["--map", f"unix:{path}:{web}", "--takeover", meeting]
    old = gateway(*told)
    with Load(path, 4) as load:
        with full_queue() as deaf:  # a Consul that does not answer
            place = f"127.0.0.1:{deaf.getsockname()[1]}"
            end(run_to_its_end(tmp_path, "--consul", place, *told), old)
        old.wait_for("does not take over after all: this gateway goes on")
        next_one(gateway, *told)
        old.wait_until_gone()
        assert_untouched(load)


def test_bad_configuration(
    gateway: StartGateway, web: str, meeting: str, tmp_path: Path
) -> None:
    """A new gateway that cannot start leaves the old one alone."""
    (port,) = free_ports(1)
    old = gateway("--map", f"{port}:{web}", "--takeover", meeting)
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        maps = ["--map", f"{port}:{web}", "--map", f"{place}:{web}"]
        ended = run_to_its_end(tmp_path, "--takeover", meeting, *maps)
        assert ended.wait(PATIENCE) == 1
    old.wait_for("does not take over after all: this gateway goes on")
    assert visit(port) in ("anna", "bert")


def test_other_mappings(gateway: StartGateway, web: str, meeting: str) -> None:
    """
    The new gateway serves its own mappings: some are bound, some taken, some dropped.
    """
    kept, dropped, added = free_ports(3)
    old = gateway(
        "--map", f"{kept}:{web}", "--map", f"{dropped}:{web}", "--takeover", meeting
    )
    with Load(kept, 4) as load:
        new = next_one(
            gateway,
            *("--map", f"{kept}:{web}", "--map", f"{added}:{web}"),
            *("--takeover", meeting),
        )
        assert new.find(rf"0\.0\.0\.0:{dropped}: offered but not mapped")
        old.wait_until_gone()
        assert_untouched(load)
    assert visit(added) in ("anna", "bert")
    with pytest.raises(ConnectionRefusedError):
        visit(dropped)


def test_after_a_reload(
    gateway: StartGateway, web: str, meeting: str, tmp_path: Path
) -> None:
    """After a reload the sockets of the new configuration are handed over."""
    first, second = free_ports(2)
    file = tmp_path / "lb.toml"
    text = f'takeover = "{meeting}"\nmap = ["{first}:{web}"%s]\n'
    file.write_text(text % "")
    old = gateway("--config", str(file))
    file.write_text(text % f', "{second}:{web}"')
    os.kill(old.pid, signal.SIGHUP)
    old.wait_for(r"reloaded: 1 added")
    with Load(second, 4) as load:
        next_one(gateway, "--config", str(file))
        old.wait_for(r"takes over: 2 sockets handed to it")
        old.wait_until_gone()
        assert_untouched(load)


def test_two_at_once(
    gateway: StartGateway, consul: ConsulAgent, web: str, meeting: str, tmp_path: Path
) -> None:
    """Of two that start at the same moment one is first, and the other follows it."""
    (port,) = free_ports(1)
    told = ["--map", f"{port}:{web}", "--takeover", meeting]
    old = gateway(*told)
    with Load(port, 4) as load:
        told += ["--consul", f"127.0.0.1:{consul.port}"]
        two = [Gateway(tmp_path / name, *told) for name in ("one", "two")]
        for each in two:
            each.home.mkdir()
            each.start()
        old.wait_until_gone()
        eventually(
            lambda: any(each.find("has taken over$") for each in two),
            "one has followed the other",
        )
        two.sort(key=lambda each: not each.find("has taken over$"))
        two[0].wait_until_gone()
        two[1].wait_for(TAKEN_OVER)
        assert_untouched(load)
    two[1].stop()


def test_hundreds_of_mappings(gateway: StartGateway, web: str, meeting: str) -> None:
    """Three hundred mappings are taken over as well as one."""
    ports: list[Address] = list(free_ports(300))
    told = [word for port in ports for word in ("--map", f"{port}:{web}")]
    told += ["--takeover", meeting]
    old = gateway(*told)
    with Load(ports[-1], 4) as load:
        next_one(gateway, *told)
        old.wait_for(r"takes over: 300 sockets handed to it")
        old.wait_until_gone()
        assert_untouched(load)
    assert visit(ports[0]) in ("anna", "bert")
