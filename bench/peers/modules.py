"""Peers in Python that are modules of the bench."""

import sys

from bench.processes import Program, start
from bench.stage import Stage
from tests.support.ports import free_ports


def portforward(stage: Stage, connections: int) -> Program:
    """Twisted's own `portforward`: transports on both sides of the relay."""
    return _run(stage, "portforward", "bench.portforward")


def bare_loop(stage: Stage, connections: int) -> Program:
    """A loop without features: the least that a proxy in Python costs."""
    return _run(stage, "bare loop", "bench.bare_loop")


def _run(stage: Stage, name: str, module: str) -> Program:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", module, str(port)]
    command += [str(each) for each in stage.ports]
    return start(name, port, command, stage.home)
