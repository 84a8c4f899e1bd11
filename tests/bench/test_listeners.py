"""Balancers with several listeners, as they are configured."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from bench.peers import gateway, haproxy, http_listeners, listeners
from bench.processes import Program
from bench.stage import Stage
from lbconsul.tap import Options
from tests.support.certificates import Authority
from tests.support.consul_agent import ConsulAgent


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Where balancers are configured, though none is started."""
    issued = Authority(tmp_path).issue("localhost")
    pem = tmp_path / "server.pem"
    pem.write_text(Path(issued.cert).read_text() + Path(issued.key).read_text())
    consul = cast("ConsulAgent", SimpleNamespace(port=8500))
    return Stage(tmp_path, consul, [1, 2], [3, 4], [5, 6], pem, 7)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The commands that were to be run."""
    seen: list[Sequence[str]] = []

    def start(name: str, port: int, command: Sequence[str], home: Path) -> Program:
        seen.append(command)
        return cast("Program", None)

    for module in (gateway, haproxy, http_listeners):
        monkeypatch.setattr(module, "start", start)
    return seen


def test_lbconsul_takes_its_options(
    stage: Stage, commands: list[Sequence[str]]
) -> None:
    """lbconsul has a mapping for each kind of work, and refuses no option of it."""
    made = listeners.lbconsul_listening(stage, 100)
    (command,) = commands
    options = Options()
    options.parseOptions(list(command[command.index("lbconsul") + 1 :]))
    assert list(made.ports) == list(listeners.LISTENERS)
    listening = {str(each.listen) for each in options.config.mappings}
    assert listening == {f"127.0.0.1:{port}" for port in made.ports.values()}


@pytest.mark.process
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="there is no HAProxy")
def test_haproxy_takes_its_configuration(
    stage: Stage, commands: list[Sequence[str]]
) -> None:
    """HAProxy finds nothing wrong with the listeners that lbconsul is compared to."""
    listeners.haproxy_listening(stage, 100)
    (command,) = commands
    subprocess.run([*command, "-c"], check=True, capture_output=True)


@pytest.mark.process
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="there is no HAProxy")
@pytest.mark.parametrize("hosts", [None, 0, 3])
def test_haproxy_takes_its_configuration_of_http(
    stage: Stage, commands: list[Sequence[str]], hosts: int | None
) -> None:
    """HAProxy finds nothing wrong with HTTP mode, with routes by host or none, or with
    the listeners that bring clients to the same instance.
    """
    behind = None if hosts is None else http_listeners.Behind("web", [1, 2], hosts)
    http_listeners.haproxy_http(stage, 100, behind)
    (command,) = commands
    subprocess.run([*command, "-c"], check=True, capture_output=True)


@pytest.mark.process
@pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx")
def test_nginx_takes_its_configuration_of_http(
    stage: Stage, commands: list[Sequence[str]]
) -> None:
    """nginx finds nothing wrong with HTTP mode."""
    http_listeners.nginx_http(stage, 100)
    (command,) = commands
    subprocess.run([*command, "-t"], check=True, capture_output=True)


def test_lbconsul_takes_its_options_of_http(
    stage: Stage, commands: list[Sequence[str]]
) -> None:
    """lbconsul has a mapping in HTTP mode for each listener."""
    made = http_listeners.lbconsul_http(stage, 100)
    (command,) = commands
    options = Options()
    options.parseOptions(list(command[command.index("lbconsul") + 1 :]))
    listening = {str(each.listen): each.mode for each in options.config.mappings}
    assert listening == {f"127.0.0.1:{port}": "http" for port in made.ports.values()}


def test_the_chosen_in_http_mode() -> None:
    """A balancer that is chosen for TCP is measured in HTTP mode, too."""
    assert http_listeners.chosen(["haproxy", "nginx stream", "bare loop"]) == [
        "haproxy",
        http_listeners.SAFE,
        "nginx",
    ]
