"""What a gateway with all its workers uses, as the kernel counts it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define

from bench.processes import tree, tree_cpu
from tests.support.gateway import Gateway
from tests.support.workers import resident


@define
class Span:
    """A time, and the CPU that was used in it."""

    seconds: float = 0.0
    cpu: float = 0.0

    @property
    def percent(self) -> float:
        """Of one core."""
        return 100 * self.cpu / self.seconds


@contextmanager
def measured(gateway: Gateway) -> Iterator[Span]:
    """The CPU of a gateway; known at the end."""
    span = Span()
    begun, cpu = time.monotonic(), tree_cpu(gateway.pid)
    yield span
    span.seconds = time.monotonic() - begun
    span.cpu = tree_cpu(gateway.pid) - cpu


def memory(gateway: Gateway) -> int:
    """Bytes that are its own."""
    return sum(map(resident, tree(gateway.pid)))


def descriptors(gateway: Gateway) -> int:
    """How many it has open."""
    return sum(len(os.listdir(f"/proc/{each}/fd")) for each in tree(gateway.pid))


def local_ports(pid: int, remote: int) -> list[int]:
    """The ports of a process's connections to a port, whichever host's."""
    own = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
    found = []
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        _, here, there, state, *rest = line.split()
        established = state == "01" and int(there.rpartition(":")[2], 16) == remote
        if established and f"socket:[{rest[5]}]" in own:
            found.append(int(here.rpartition(":")[2], 16))
    return found
