"""lbconsul as its users run it: a `twistd` process on a real Consul."""

import subprocess
import sys
from collections.abc import Sequence
from functools import cache

from bench.processes import REPOSITORY, Program, start
from bench.stage import SERVICE, Stage
from tests.support.ports import free_ports

_TWISTD = (
    sys.executable,
    "-c",
    "from twisted.scripts.twistd import run; run()",
    "-n",
    "--pidfile=",
    "lbconsul",
)


def lbconsul(stage: Stage, connections: int) -> Program:
    """One process that logs no connections, as the others log none."""
    return gateway(stage, "lbconsul", [SERVICE], "--connection-log", "off")


def lbconsul_logging(stage: Stage, connections: int) -> Program:
    """One process as it comes: one line of log for each connection."""
    return gateway(stage, "lbconsul, logging", [SERVICE])


def lbconsul_two_workers(stage: Stage, connections: int) -> Program:
    """A master and two workers, which may use two processors."""
    options = ("--connection-log", "off", "--workers", "2")
    return gateway(stage, "lbconsul, 2 workers", [SERVICE], *options)


def gateway(
    stage: Stage,
    name: str,
    services: Sequence[str],
    *options: str,
    ports: Sequence[int] = (),
) -> Program:
    """lbconsul with one mapping for each service."""
    ports = ports or free_ports(len(services))
    command = [*_TWISTD, "--consul", f"127.0.0.1:{stage.consul.port}"]
    for port, service in zip(ports, services, strict=True):
        command += ["--map", f"127.0.0.1:{port}:{service}"]
    return start(name, ports[0], [*command, *options], stage.home)


@cache
def has_workers() -> bool:
    """Whether this lbconsul can use several processes."""
    said = subprocess.run(
        [*_TWISTD, "--help"], cwd=REPOSITORY, capture_output=True, text=True
    )
    return "--workers" in said.stdout
