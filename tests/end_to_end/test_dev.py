"""Trying things out with --dev, with no Consul anywhere."""

import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.end_to_end.visits import eventually_shared, held, name_in
from tests.support.admin_side import AdminSide
from tests.support.gateway import Gateway, StartGateway
from tests.support.http_api import ask
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

SAMPLES = ["webserver-1", "webserver-2", "webserver-3"]


@pytest.fixture
def ports() -> list[int]:
    """A port to balance, and one for the catalog."""
    return free_ports(2)


@pytest.fixture
def trying(gateway: StartGateway, ports: list[int]) -> Gateway:
    """A gateway as its first user runs it, but for the ports and the policy."""
    port, catalog = ports
    maps = f"--map={port}:webserver,policy=roundrobin"
    return gateway("--dev", "--consul", f"127.0.0.1:{catalog}", maps)


def test_samples(trying: Gateway, ports: list[int]) -> None:
    """Three sample web servers answer from the start, each with its name."""
    eventually_shared(ports[0], dict.fromkeys(SAMPLES, 4))
    with held(ports[0], 1) as ((name, visitor),):
        assert " has answered " in visitor.ask()
        assert name_in(visitor.ask()) == name


def test_what_to_try(
    trying: Gateway, ports: list[int], servers: list[WebServer]
) -> None:
    """
    The commands that --dev prints work as printed: a server joins, drains and leaves.
    """
    samples = dict.fromkeys(SAMPLES, 2)
    everyone = {**samples, "anna": 2}
    # After each command, in the order in which they are printed.
    shares = iter([samples, everyone, samples, everyone, everyone, samples, everyone])
    commands = [each[1] for each in trying.find(r"^ +(curl .*)$")]
    for command in commands[:7]:
        _curl(command.replace("9000", str(servers[0].port)))
        eventually_shared(ports[0], next(shares))
    _curl(commands[7])
    eventually_shared(ports[0], samples)
    assert "webserver-3" in _curl(commands[8])
    assert len(commands) == 9


def test_its_own_token(gateway: StartGateway, tmp_path: Path) -> None:
    """
    In a demo upstreams can be drained with the token that it prints, new for each
    start; the token is nowhere else.
    """
    port, catalog, admin = free_ports(3)
    log = tmp_path / "log"
    told = ["--dev", f"--admin={admin}", "--consul", f"127.0.0.1:{catalog}"]
    tokens, side = [], AdminSide(admin)
    for _ in range(2):
        started = gateway(
            *told, f"--log-file={log}", f"--map={port}:web", wait="started"
        )
        tokens.append(started.wait_for(r"give this demo's token: (\w{16})$")[1])
        eventually(lambda: "web-1" in _upstreams(side), "it can be asked")
        assert side.order("drain", "dc1/dev/web-1", "wr0ng").code == 401
        assert side.order("drain", "dc1/dev/web-1", tokens[-1]).code == 200
        assert side.status()["gateway"]["changes"] == "need a token"
        shown = side.get("/status").body + log.read_text()
        shown += Path(f"/proc/{started.pid}/cmdline").read_text()
        assert tokens[-1] not in shown
        started.terminate()
        assert started.status() == 0
    assert tokens[0] != tokens[1]


def _upstreams(admin: AdminSide) -> dict[str, Any]:
    try:
        return admin.upstreams()
    except OSError:
        return {}


def test_the_catalog_ends_with_the_gateway(trying: Gateway, ports: list[int]) -> None:
    """The catalog and the samples end with the gateway, well and soon."""
    with held(ports[0], 3):
        trying.terminate()
        trying.wait_for(", 3 connections open")
    assert trying.wait_until_gone().closed == 0
    with pytest.raises(ConnectionRefusedError):
        ask(ports[1], "GET", "/v1/status/leader")


def _curl(command: str) -> str:
    """Do what a printed command would, without needing curl here."""
    _, *words = shlex.split(command)
    method, body, url = "GET", None, words.pop()
    for option, value in zip(words[::2], words[1::2], strict=True):
        if option == "-X":
            method = value
        else:
            assert option == "-d"
            body = value.encode()
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    assert parts.port is not None
    status, _, said = ask(parts.port, method, path, body)
    assert status == 200, f"{command}: {said}"
    return str(said)
