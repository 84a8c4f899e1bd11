"""contrib/lbconsul@.service and lbconsul@.socket, under systemd as process 1."""

import os
import re
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.registrar import Registrar
from tests.support.binaries import REPOSITORY
from tests.support.certificates import Authority, together
from tests.support.consul_agent import ConsulAgent
from tests.support.load import Load, connect
from tests.support.needed import lacking, needed
from tests.support.ports import free_ports
from tests.support.systemd_machine import PYTHON, Machine, missing
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

CONTRIB = REPOSITORY / "contrib"
UNITS = ("lbconsul@.service", "lbconsul@.socket")

UPGRADE = "systemctl kill --kill-whom=main --signal=USR2 lbconsul@web"


def test_exposure() -> None:
    """The service may do little, as systemd judges: 2.0 of 10 at most."""
    analyze = needed("systemd-analyze", "systemd")
    subprocess.run(
        [analyze, "security", "--offline=yes", "--threshold=20", CONTRIB / UNITS[0]],
        check=True,
        stdout=subprocess.DEVNULL,
    )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with two versions, of which the first is in use, and our units."""
    if what := missing():
        lacking(
            f"no {what} for systemd in a container: apt-get install systemd-container"
        )
    machine = Machine(tmp_path / "machine", f"lbconsul-{os.getpid()}")
    for each in UNITS:
        machine.write(f"/etc/systemd/system/{each}", (CONTRIB / each).read_text())
    for number in (1, 2):
        machine.install(f"/opt/lbconsul-{number}", f"{number}.0.0")
    (machine.files / "opt/lbconsul").symlink_to("lbconsul-1")
    return machine


@pytest.fixture
def web(consul: ConsulAgent, registrar: Registrar, servers: list[WebServer]) -> str:
    """A service with two instances."""
    for server in servers[:2]:
        registrar.add("under-systemd", server)
    return "under-systemd"


def configure(
    machine: Machine, consul: ConsulAgent, *lines: str, env: str = ""
) -> None:
    """Give the machine what an operator writes."""
    consul_line = f'consul = "127.0.0.1:{consul.port}"'
    text = "\n".join([consul_line, 'admin = "off"', *lines])
    machine.write("/etc/lbconsul/web.toml", text)
    own = f"LD_LIBRARY_PATH={PYTHON}/lib\n{env}"
    machine.write("/etc/default/lbconsul-web", own)


def free_low_port() -> int:
    """A port that only root, or who has the capability, may bind."""
    for port in range(1023, 600, -1):
        try:
            connect(port).close()
        except ConnectionRefusedError:
            return port
    raise RuntimeError("no free port below 1024")


def status_of(machine: Machine) -> dict[str, str]:
    """What `systemctl status` has of the service."""
    return machine.show(
        "lbconsul@web", "ActiveState", "MainPID", "StatusText", "Result"
    )


def upgrade(machine: Machine) -> str:
    """Upgrade, and wait until another process is the main one; the one before."""
    before = status_of(machine)["MainPID"]
    machine.run(UPGRADE, check=True)

    def is_done() -> bool:
        return status_of(machine)["MainPID"] != before

    eventually(is_done, "the new gateway is the main process")
    return before


def has_ended(machine: Machine, process: str) -> bool:
    """Whether a gateway has ended in good order."""
    return f"lbconsul[{process}]: stopped: " in log(machine)


def log(machine: Machine) -> str:
    """The service's log, without lines of connections that ended well."""
    lines = machine.journal("lbconsul@web").splitlines()
    return "\n".join(each for each in lines if " retries=" not in each)


@pytest.mark.parametrize("workers", [1, 2])
def test_upgrade(
    machine: Machine, consul: ConsulAgent, web: str, workers: int, tmp_path: Path
) -> None:
    """A hardened service starts, reloads, is upgraded under load and ends, as its unit
    says; clients of TLS and of a low port notice none of it.
    """
    pair = Authority(tmp_path, "ours").issue("localhost")
    whole = together(tmp_path / "pair.pem", pair.cert, pair.key)
    machine.write("/etc/lbconsul/pair.pem", Path(whole).read_text())
    low, tls, added = free_low_port(), *free_ports(2)
    maps = [f"{low}:{web}", f"{tls}:{web},tls=/etc/lbconsul/pair.pem"]
    configure(machine, consul, f"map = {maps}", env=f"LBCONSUL_WORKERS={workers}\n")
    with machine, ExitStack() as loads:
        loads.callback(keep, machine, f"upgrade-{workers}")
        machine.run(
            "systemd-analyze verify lbconsul@web.service lbconsul@web.socket",
            check=True,
        )
        machine.run("systemctl start lbconsul@web", check=True)
        assert re.fullmatch(
            r"ready: 2 mappings, \d+ connections open", status_of(machine)["StatusText"]
        )
        running = [
            loads.enter_context(Load(low, 4)),
            loads.enter_context(Load(low, 4, keep_alive=True)),
            loads.enter_context(Load(f"tls:localhost@127.0.0.1:{tls}", 2)),
        ]
        configure(machine, consul, f"map = {[*maps, f'{added}:{web}']}")
        machine.run("systemctl reload lbconsul@web", check=True)
        eventually(lambda: "reloaded: 1 added" in log(machine), "the reload is done")
        machine.run("ln -sfn lbconsul-2 /opt/lbconsul", check=True)
        old = []
        for _ in range(2):
            old.append(upgrade(machine))
            for each in running:
                each.more(20)
        for each in running:
            outcome = each.stop()
            assert (outcome.failed(), outcome.wrong()) == ([], [])
        for process in old:
            eventually(lambda: has_ended(machine, process), f"{process} has ended")  # noqa: B023
        assert log(machine).count("lbconsul 2.0.0 on Twisted") == 2
        assert status_of(machine)["ActiveState"] == "active"
        last = status_of(machine)["MainPID"]
        machine.run("systemctl stop lbconsul@web", check=True)
        end = status_of(machine)
        assert (end["ActiveState"], end["Result"]) == ("inactive", "success")
        assert has_ended(machine, last)
        assert "Killing process" not in log(machine)


def keep(machine: Machine, name: str) -> None:
    """Keep the log, where LBCONSUL_TRANSCRIPTS names a folder."""
    if folder := os.environ.get("LBCONSUL_TRANSCRIPTS"):
        Path(folder, f"systemd-{name}.txt").write_text(log(machine) + "\n")


def test_watchdog_and_socket(machine: Machine, consul: ConsulAgent, web: str) -> None:
    """A gateway whose reactor hangs is restarted, and clients wait for that in the
    queue of the socket that systemd holds.
    """
    (port,) = free_ports(1)
    configure(machine, consul, f'map = ["systemd:web:{web}"]')
    machine.write(
        "/etc/systemd/system/lbconsul@web.service.d/soon.conf",
        "[Service]\nWatchdogSec=2s\n",
    )
    machine.write(
        "/etc/systemd/system/lbconsul@web.socket.d/port.conf",
        f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{port}\n",
    )
    with machine, ExitStack() as loads:
        loads.callback(keep, machine, "watchdog")
        machine.run("systemctl start lbconsul@web.socket lbconsul@web", check=True)
        before = status_of(machine)["MainPID"]
        load = loads.enter_context(Load(port, 4))
        load.more(20)
        outcome = load.stop()
        assert (outcome.failed(), outcome.wrong()) == ([], [])
        machine.run(f"kill -STOP {before}", check=True)
        waiting = loads.enter_context(connect(port))
        waiting.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        eventually(
            lambda: status_of(machine)["MainPID"] not in ("0", before), "a restart"
        )
        assert waiting.recv(9) == b"HTTP/1.1 "
        assert "Watchdog timeout" in machine.journal("lbconsul@web")
