"""The workers of a gateway that runs, as the machine and its log show them."""

import os
import signal
import time
from collections import Counter
from pathlib import Path

from tests.support.gateway import Gateway
from tests.support.waiting import eventually


def all_serve(gateway: Gateway, count: int) -> dict[int, int]:
    """The process of each worker, once they all serve, and know what was just said.

    That takes them less than a tenth of a second.
    """
    eventually(lambda: len(pids(gateway)) == count, f"{count} workers serve")
    time.sleep(0.1)
    return pids(gateway)


def pids(gateway: Gateway) -> dict[int, int]:
    """The process of each worker there was last, by the worker's number."""
    found = gateway.find(r"worker (\d+) \(process (\d+)\) serves$")
    return {int(each[1]): int(each[2]) for each in found}


def is_alive(pid: int) -> bool:
    """Whether there is a process that has not ended, waited for or not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def wait_until_gone(*gone: int) -> None:
    """Return once none of these processes runs."""
    eventually(lambda: not any(map(is_alive, gone)), f"{gone} are gone")


def kill(pid: int) -> None:
    """As a crash would, or the kernel when memory is short."""
    os.kill(pid, signal.SIGKILL)


def has_open(pid: int) -> Counter[str]:
    """What kinds of descriptors a process has open."""
    kinds = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()]
    return Counter(each.partition(":")[0] for each in kinds)


def resident(pid: int) -> int:
    """Bytes of memory that are a process's own."""
    shares = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(shares[1]) - int(shares[2])) * os.sysconf("SC_PAGE_SIZE")
