"""CPU per request within a window of a load that is already running."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import evolve, frozen

from bench import load
from bench.processes import PROC, Program
from bench.stage import Stage

#: How long a load runs with all connections open before it is measured, and
#: how long they may take to open, in seconds.
_WARM_UP = 1.0
_PATIENCE = 30.0


@frozen
class Window:
    """What was seen between two looks at a running load."""

    #: CPU microseconds per request.
    cost: float
    #: Requests a second.
    rate: float
    #: Of the whole load, not only of the window; empty if nothing went wrong.
    errors: str = ""


def measure(
    program: Program,
    stage: Stage,
    connections: int,
    seconds: float,
    extra: Sequence[str] = (),
    *,
    pooled: int | None = None,
    warm_up: float = _WARM_UP,
) -> Window:
    """Look at a program while wrk keeps so many connections busy.

    To open thousands of connections costs more than what is to be measured.  So
    the window begins some seconds after they are open, and the web servers count the
    requests.  In HTTP mode no client has a connection to a web server of its own: then
    the program's are counted, and `pooled` others are open beside wrk's.

    :raises RuntimeError: not all are open, or not a single request was answered.
    """
    lasts = _PATIENCE + warm_up + 2 * seconds
    line = load.command(program.port, "small", connections, lasts, extra)
    wrk = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        _wait_until_open(
            lambda: stage.seen().open if pooled is None else established(program.port),
            connections + (pooled or 0),
        )
        time.sleep(warm_up)
        seen = _look(program, stage, seconds)
        # It prints its summary then, as at its end.
        wrk.send_signal(signal.SIGINT)
        output, _ = wrk.communicate(timeout=_PATIENCE)
    finally:
        if wrk.poll() is None:
            wrk.kill()
            wrk.wait()
    return evolve(seen, errors=load.parse(output).errors)


def established(port: int, proc: Path = PROC) -> int:
    """How many connections a port of ours has accepted that both sides keep open."""
    lines = (proc / "net" / "tcp").read_text().splitlines()[1:]
    rows = (line.split() for line in lines)
    # Local address, remote address, state: 01 is ESTABLISHED.
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def _wait_until_open(count_open: Callable[[], int], connections: int) -> None:
    end = time.monotonic() + _PATIENCE
    while (count := count_open()) < connections:
        if time.monotonic() > end:
            raise RuntimeError(f"only {count} of {connections} connections are open")
        time.sleep(0.1)


def _look(program: Program, stage: Stage, seconds: float) -> Window:
    begun, cpu, before = time.monotonic(), program.cpu(), stage.seen()
    time.sleep(seconds)
    lasted = time.monotonic() - begun
    cpu, requests = program.cpu() - cpu, stage.seen().requests - before.requests
    if not requests:
        raise RuntimeError("no request was answered")
    return Window(cpu * 1e6 / requests, requests / lasted)
