"""The workers of a gateway that runs, as the machine and its log show them."""

import os
import signal
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
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
    return _state(pid) not in "ZX"


def _state(pid: int) -> str:
    """As proc(5) has it; X if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "X"
    return stat.rpartition(")")[2].split()[0]


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Meanwhile these do nothing, and the kernel gives them no client."""
    try:
        for each in pids:
            os.kill(each, signal.SIGSTOP)
        # Until then the kernel may choose one of them to be told of a client.
        eventually(
            lambda: all(_state(each) == "T" for each in pids), "they stand still"
        )
        yield
    finally:
        for each in pids:
            os.kill(each, signal.SIGCONT)


def one_by_one(pids: Collection[int]) -> Iterator[int]:
    """Each of these workers, while it gets all clients.

    Otherwise the kernel may wake the same one for one client after the other.
    """
    for each in pids:
        with frozen(*(other for other in pids if other != each)):
            yield each


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
