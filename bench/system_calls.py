"""How many system calls a request costs, counted by strace."""

import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

from bench.processes import PATIENCE, PROC, Program, client, tree

#: The event loop makes these for all connections together: under load many share one.
_LOOP = {"epoll_wait", "epoll_pwait", "epoll_pwait2", "clock_gettime"}

_REQUESTS = 1000

#: Requests before the counted ones.
_FIRST = 50


def per_request(program: Program) -> float:
    """The mean over requests of one client that keeps its connection.

    One request at a time, so that the figure is nearly the same in each run: only
    periodic work is in it.  Without the calls that wait for events.

    :raises RuntimeError: strace cannot trace the program.
    """
    with closing(client(program.port, PATIENCE)) as asking:
        _ask(asking, _FIRST)
        with tempfile.TemporaryDirectory() as home:
            told = Path(home) / "calls"
            with _traced(program, told):
                _ask(asking, _REQUESTS)
            return count(told.read_text()) / _REQUESTS


def count(summary: str) -> int:
    """The calls in what ``strace -c`` prints, but for those that wait."""
    rows = re.findall(r"^ +[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", summary, re.M)
    return sum(int(calls) for calls, name in rows if name not in _LOOP | {"total"})


@contextmanager
def _traced(program: Program, told: Path) -> Iterator[None]:
    """Trace all processes of a program; the summary is there at the end."""
    command = ["strace", "-f", "-c", "-o", str(told)]
    pids = list(tree(program.process.pid))
    for pid in pids:
        command += ["-p", str(pid)]
    strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + PATIENCE
        while not all(map(_is_traced, pids)):
            if strace.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"strace does not trace {program.name}")
            time.sleep(0.05)
        yield
    finally:
        strace.send_signal(signal.SIGINT)
        strace.communicate(timeout=PATIENCE)


def _is_traced(pid: int) -> bool:
    return "TracerPid:\t0\n" not in (PROC / str(pid) / "status").read_text()


def _ask(asking: HTTPConnection, times: int) -> None:
    for _ in range(times):
        asking.request("GET", "/small")
        answer = asking.getresponse()
        if answer.status != 200 or len(answer.read()) != 100:
            raise RuntimeError(f"answered with {answer.status}")
