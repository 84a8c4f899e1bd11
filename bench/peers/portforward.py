"""Twisted's own `portforward`: transports on both sides of the relay."""

import sys

from bench.processes import Program, start
from bench.stage import Stage
from tests.support.ports import free_ports


def portforward(stage: Stage, connections: int) -> Program:
    """What one writes in ten lines: ``python -m bench.portforward``."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "bench.portforward", str(port)]
    command += [str(each) for each in stage.ports]
    return start("portforward", port, command, stage.home)
