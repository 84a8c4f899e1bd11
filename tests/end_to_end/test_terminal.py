"""``python -m lbconsul status`` tells how a gateway is."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import held
from tests.support.binaries import REPOSITORY
from tests.support.gateway import StartGateway
from tests.support.ports import free_ports
from tests.support.waiting import eventually

pytestmark = pytest.mark.consul


def status(*arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of one look."""
    ended = subprocess.run(
        [sys.executable, "-m", "lbconsul", "status", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_a_ready_gateway(stage: Stage) -> None:
    """A gateway that is ready is a table that can be read, with status 0."""
    port, admin = free_ports(2)
    for server in stage.servers[:2]:
        stage.add(server)
    stage.registrar.maintain(f"{stage.service}-bert", True)
    stage.gateway(f"--admin={admin}", "--map", f"{port}:{stage.service}")
    with held(port, 3):
        code, said, errors = status(f"--admin={admin}")
    assert (code, errors) == (0, "")
    assert "\x1b" not in said
    first, *_ = lines = said.splitlines()
    assert "serving for" in first
    assert "3 open, 3 accepted" in first
    assert any(
        each.startswith(f"consul  {stage.service}: watching, ") for each in lines
    )
    head, *rows = lines[-3:]
    assert head.split()[:4] == ["STANDING", "INSTANCE", "ADDRESS", "OPEN"]
    anna, bert = sorted(rows)[::1] if "anna" in sorted(rows)[0] else sorted(rows)[::-1]
    assert anna.split()[:5] == [
        "+", "serving", f"{stage.service}-anna@test-node",
        f"127.0.0.1:{stage.servers[0].port}", "3",
    ]  # fmt: skip
    assert bert.split()[1] == "draining"
    assert bert.endswith("maintenance: spring cleaning")
    assert bert.index("maintenance") == head.index("REASON")
    assert anna.index("127.0.0.1") == bert.index("127.0.0.1") == head.index("ADDRESS")


def test_not_ready(gateway: StartGateway, tmp_path: Path) -> None:
    """A gateway that knows nothing yet is status 1, and says why."""
    port, nobody = free_ports(2)
    path = tmp_path / "admin.sock"
    gateway(
        f"--admin=unix:{path}",
        "--consul",
        f"127.0.0.1:{nobody}",
        f"--map={port}:web",
        wait="listening",
    )
    eventually(path.exists, "it can be asked")
    code, said, errors = status(f"--admin=unix:{path}")
    assert (code, errors) == (1, "")
    assert f"not ready: {port}:web: no answer from Consul yet" in said
    assert "consul  web: " in said


def test_nobody_there() -> None:
    """Where no gateway answers it is status 2, with one line."""
    (port,) = free_ports(1)
    code, said, errors = status(f"--admin={port}")
    assert (code, said) == (2, "")
    assert errors == f"lbconsul: no answer at {port}: Connection refused\n"
