"""lbconsul as its users run it: a `twistd` process on a real Consul."""

import subprocess
import sys
from collections.abc import Sequence
from functools import cache

from bench.interpreters import Interpreter
from bench.processes import REPOSITORY, Program, start
from bench.stage import SERVICE, Stage
from tests.support.ports import free_ports

_TWISTD = (
    "-c",
    "from twisted.scripts.twistd import run; run()",
    "-n",
    "--pidfile=",
    "lbconsul",
)


def lbconsul(
    stage: Stage, connections: int, python: Interpreter | None = None
) -> Program:
    """One process that logs no connections, as the others log none."""
    return _on(python, stage, "lbconsul", "--connection-log", "off")


def lbconsul_logging(
    stage: Stage, connections: int, python: Interpreter | None = None
) -> Program:
    """One process as it comes: one line of log for each connection."""
    return _on(python, stage, "lbconsul, logging")


def lbconsul_two_workers(stage: Stage, connections: int) -> Program:
    """A master and two workers, which may use two processors."""
    options = ("--connection-log", "off", "--workers", "2")
    return gateway(stage, "lbconsul, 2 workers", [SERVICE], *options)


def _on(python: Interpreter | None, stage: Stage, name: str, *options: str) -> Program:
    if python is None:
        return gateway(stage, name, [SERVICE], *options)
    name = f"{name}, {python.name}"
    return gateway(stage, name, [SERVICE], *options, python=python.path)


def gateway(
    stage: Stage,
    name: str,
    services: Sequence[str],
    *options: str,
    ports: Sequence[int] = (),
    python: str = sys.executable,
) -> Program:
    """lbconsul with one mapping for each service, on this Python or another."""
    ports = ports or free_ports(len(services))
    mappings = []
    for port, service in zip(ports, services, strict=True):
        mappings += ["--map", f"127.0.0.1:{port}:{service}"]
    return start_gateway(stage, name, ports[0], *mappings, *options, python=python)


def start_gateway(
    stage: Stage, name: str, port: int, *options: str, python: str = sys.executable
) -> Program:
    """lbconsul with these options, of which one has it listen at `port`."""
    command = [python, *_TWISTD, "--consul", f"127.0.0.1:{stage.consul.port}"]
    return start(name, port, [*command, *options], stage.home)


@cache
def has_workers() -> bool:
    """Whether this lbconsul can use several processes."""
    said = subprocess.run(
        [sys.executable, *_TWISTD, "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    return "--workers" in said.stdout
