"""``lbconsul status`` and ``why``: how a gateway is, and what becomes of a request."""

from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import held
from tests.support.console import console
from tests.support.gateway import StartGateway
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul


def status(*arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of one look."""
    return command("status", *arguments)


def command(*arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a command."""
    return console(*arguments)


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
    port, closed = free_ports(2)
    path = tmp_path / "admin.sock"
    gateway(
        f"--admin=unix:{path}",
        "--consul",
        f"127.0.0.1:{closed}",
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


@pytest.mark.parametrize("workers", ["1", "2"])
def test_why(stage: Stage, workers: str) -> None:
    """
    The route that is said to take a request is the one that does, with its instances;
    a request that no route takes is said to be none's, with status 1.
    """
    port, admin = free_ports(2)
    stage.add(stage.servers[0])
    here = f"127.0.0.1:{port}"
    gateway = stage.gateway(
        f"--admin={admin}",
        f"--workers={workers}",
        f"--map={here}:-,mode=http",
        f"--route={here}:example.com/api={stage.service},strip-prefix=/api",
    )
    ask = partial(command, "why", f"--admin={admin}")
    code, said, errors = ask(f"http://example.com:{port}/api/x")
    assert (code, errors) == (0, "")
    assert f"served by {stage.service}, as {here}:example.com/api" in said
    assert f"{stage.service}: 1 of 1 instance usable" in said
    assert "instances get: GET /x HTTP/1.1" in said
    host = ["-H", "Host: example.com"]
    assert ask(f"http://{here}/api", *host)[0] == 0
    code, said, _ = ask(f"http://{here}/apis", *host)
    assert code == 1
    assert "404: no route takes it" in said
    if workers != "1":
        all_serve(gateway, int(workers))
    assert [visit_url(port, each) for each in ("/api", "/apis")] == [200, 404]


def visit_url(port: int, path: str) -> int:
    """The status of the answer to a request for example.com."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"Host": "example.com"})
        return connection.getresponse().status
    finally:
        connection.close()
