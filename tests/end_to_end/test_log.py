"""The log of a gateway that runs: never in its way, and never lost without a word."""

import os
import re
import signal
from pathlib import Path

import pytest

from tests.end_to_end.registrar import Registrar
from tests.end_to_end.stage import Stage
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import run_to_its_end
from tests.support.http_api import ask
from tests.support.ports import free_ports
from tests.support.stalled_log import PipedGateway
from tests.support.waiting import PATIENCE, eventually
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul

#: More than a pipe has room for, in every format.
MANY = 1200

FORMS = [
    pytest.param(("--log-format=text",), id="text"),
    pytest.param(("--log-format=json", "--workers=2"), id="json, workers"),
]


def answers(port: int, path: str) -> int:
    """The status; 0 if there is none."""
    try:
        return ask(port, "GET", path)[0]
    except OSError:
        return 0


@pytest.mark.parametrize("form", FORMS)
def test_a_log_that_is_not_read(
    form: tuple[str, ...],
    tmp_path: Path,
    consul: ConsulAgent,
    registrar: Registrar,
    servers: list[WebServer],
    service: str,
) -> None:
    """
    While the reader of standard output stalls, clients are served, the gateway says
    that it is well, and SIGTERM ends it in good order.
    """
    registrar.add(service, servers[0])
    port, admin = free_ports(2)
    with PipedGateway(
        tmp_path,
        f"--consul=127.0.0.1:{consul.port}",
        f"--admin={admin}",
        f"--map={port}:{service}",
        *form,
        wait="listening",
    ) as gateway:
        eventually(lambda: answers(admin, "/readyz") == 200, "it is ready")
        gateway.stall()
        served = sum(answers(port, "/") == 200 for _ in range(MANY))
        assert served == MANY
        assert answers(admin, "/healthz") == 200
        gateway.terminate()
        assert gateway.status() == 0


def test_logrotate(tmp_path: Path, stage: Stage) -> None:
    """
    After logrotate has renamed the log file and sent SIGUSR1, to workers too, the next
    lines are in a new file, and nothing is lost; at the end all is written.
    """
    stage.add(stage.servers[0])
    (port,) = free_ports(1)
    log, old = tmp_path / "lb.log", tmp_path / "lb.log.1"
    running = stage.gateway(
        f"--log-file={log}",
        f"--map={port}:{stage.service}",
        "--workers=2",
        wait="started",
    )
    eventually(lambda: answers(port, "/") == 200, "it serves")
    eventually(lambda: log.read_text().count(" serves\n") == 2, "both are told")
    log.rename(old)
    workers = re.findall(r"worker \d \(process (\d+)\) serves", old.read_text())
    assert len(workers) == 2
    for pid in (running.pid, *map(int, workers)):
        os.kill(pid, signal.SIGUSR1)
    eventually(log.exists, "there is a new file")
    assert answers(port, "/") == 200
    eventually(lambda: " in=" in log.read_text(), "its line is in the new file")
    running.terminate()
    assert running.status() == 0
    first, second, *_ = old.read_text().splitlines()
    assert " info lbconsul " in first
    assert " info options: " in second
    said = log.read_text()
    assert "died" not in said
    assert said.endswith(" closed at the end\n")
    assert running.log() == ""


def test_a_disk_that_is_full(stage: Stage) -> None:
    """A log that cannot be written, as on a full disk, stops nothing."""
    stage.add(stage.servers[0])
    port, admin = free_ports(2)
    running = stage.gateway(
        "--log-file=/dev/full",
        f"--admin={admin}",
        f"--map={port}:{stage.service}",
        wait="started",
    )
    eventually(lambda: answers(port, "/") == 200, "it serves")
    assert answers(admin, "/healthz") == 200
    running.terminate()
    assert running.status() == 0


def test_no_place_for_a_log_file(tmp_path: Path) -> None:
    """A log file that cannot be opened is one line at the start, and status 1."""
    process = run_to_its_end(tmp_path, "--log-file=none/log", "--map=127.0.0.1:81:web")
    _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert error.splitlines() == [
        "lbconsul: --log-file none/log: cannot be opened: No such file or directory"
    ]
