"""A gateway under a service manager that listens as systemd does.

tests/contrib has the same under systemd itself.
"""

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.registrar import Registrar
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import StartGateway
from tests.support.load import Load
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul


class Manager:
    """A service manager's socket, and what was sent to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.settimeout(PATIENCE)
        self._sock.bind(name.replace("@", "\0", 1))

    def hears(self, *words: str) -> dict[str, str]:
        """The next message that has one of these words, and what was before is gone."""
        while True:
            message = self._sock.recv(4096).decode()
            found = dict(each.split("=", 1) for each in message.split("\n"))
            if found.keys() & set(words):
                return found

    def close(self) -> None:
        self._sock.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """One whose socket has a path, and one with an abstract name."""
    path, name = str(tmp_path / "notify"), f"@lbconsul-test-{os.getpid()}"
    manager = Manager(path if request.param == "path" else name)
    yield manager
    manager.close()


STAGES = ("READY", "RELOADING", "STOPPING", "MAINPID")


@pytest.fixture
def arguments(
    consul: ConsulAgent, registrar: Registrar, servers: list[WebServer], service: str
) -> list[str]:
    """A gateway's: one mapping, to a service with an instance."""
    registrar.add(service, servers[0])
    (port,) = free_ports(1)
    return ["--consul", f"127.0.0.1:{consul.port}", "--map", f"{port}:{service}"]


def test_stages(gateway: StartGateway, manager: Manager, arguments: list[str]) -> None:
    """It hears of the start, of life, of a reload and of the end."""
    env = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "200000"}
    started = gateway(*arguments, env=env)
    ready = manager.hears(*STAGES)
    assert ready.keys() == {"READY", "STATUS"}
    assert ready["STATUS"] == "ready: 1 mapping, 0 connections open"
    for _ in range(3):
        assert manager.hears("WATCHDOG")["WATCHDOG"] == "1"
    before = time.monotonic()
    started.reload()
    reloading = manager.hears(*STAGES)
    assert reloading.keys() == {"RELOADING", "MONOTONIC_USEC", "STATUS"}
    assert before <= int(reloading["MONOTONIC_USEC"]) / 1e6 <= time.monotonic()
    assert manager.hears(*STAGES).keys() == {"READY", "STATUS"}
    started.terminate()
    assert manager.hears(*STAGES).keys() == {"STOPPING", "STATUS"}
    started.wait_until_gone()


def test_without_consul(
    gateway: StartGateway, manager: Manager, tmp_path: Path
) -> None:
    """A start does not fail because Consul is away; the status says so."""
    consul, port = free_ports(2)
    config = tmp_path / "lbconsul.toml"
    told = ["--config", str(config), "--consul", f"127.0.0.1:{consul}"]
    config.write_text(f'map = ["{port}:web,connect-timeout=1s"]\n')
    started = gateway(*told, wait="listening", env={"NOTIFY_SOCKET": manager.name})
    ready = manager.hears(*STAGES)
    assert (ready["READY"], ready["STATUS"]) == (
        "1",
        f"not ready: {port}:web: no answer from Consul yet",
    )
    config.write_text("map = 1")
    started.reload()
    assert manager.hears(*STAGES)["RELOADING"] == "1"
    assert manager.hears(*STAGES)["READY"] == "1"
    started.expect("not reloaded")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_upgrade(
    gateway: StartGateway,
    manager: Manager,
    arguments: list[str],
    tmp_path: Path,
    workers: str,
) -> None:
    """On SIGUSR2 the same command starts anew and becomes the service's main process;
    no client notices.
    """
    told = [*arguments, "--takeover", str(tmp_path / "lb.sock"), "--workers", workers]
    old = gateway(*told, env={"NOTIFY_SOCKET": manager.name})
    assert manager.hears(*STAGES)["READY"] == "1"
    port = int(arguments[-1].partition(":")[0])
    with Load(port, 4) as fresh, Load(port, 4, keep_alive=True) as kept:
        old.signal(signal.SIGUSR2)
        message = manager.hears(*STAGES)
        assert message.keys() == {"MAINPID", "READY", "STATUS"}
        new = int(message["MAINPID"])
        try:
            assert new != old.pid
            for load in (fresh, kept):
                load.more(20)
                outcome = load.stop()
                assert (outcome.failed(), outcome.wrong()) == ([], [])
        finally:
            old_status = old.status()
            os.kill(new, signal.SIGTERM)
        assert old_status == 0
    assert manager.hears(*STAGES)["STOPPING"] == "1"
    eventually(lambda: not os.path.exists(f"/proc/{new}"), "the new one has ended")
    assert re.search(r"SIGUSR2: process \d+ is to take over", old.log())


def test_mistaken_upgrade(
    gateway: StartGateway, manager: Manager, arguments: list[str], tmp_path: Path
) -> None:
    """If the new one cannot start, the old one says so and is not replaced."""
    config = tmp_path / "lbconsul.toml"
    config.write_text("")
    told = ["--takeover", str(tmp_path / "lb.sock"), "--config", str(config)]
    old = gateway(*arguments, *told, env={"NOTIFY_SOCKET": manager.name})
    assert manager.hears(*STAGES)["READY"] == "1"
    config.write_text("map = 1")
    old.signal(signal.SIGUSR2)
    old.expect(r"process \d+, which was to take over, has ended: this gateway goes on")
    old.terminate()
    assert manager.hears(*STAGES)["STOPPING"] == "1"
    old.wait_until_gone()
