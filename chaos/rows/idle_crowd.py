"""Tens of thousands of connections on which nothing moves, beside a busy mapping."""

import resource
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from attrs import frozen

from chaos.crowd import Crowd
from chaos.processes import measured, memory
from chaos.row import Row
from chaos.rows.slow_clients import judge, others
from chaos.scene import SERVICE, Scene
from chaos.stream_server import StreamServer
from lbconsul.admin.client import Admin
from tests.end_to_end.registrar import Registrar
from tests.support.gateway import Gateway
from tests.support.ports import free_ports

#: How many there are to be.
MANY, FEW = 50_000, 5_000

#: Descriptors that a process needs beside those of the connections.
SPARE = 1_000

#: Workers of the row that has them, at most, beside one for each processor.
WORKERS = 8

#: The clients of one process.
CLIENTS = 15_000

#: What one may take of our own memory, in KiB.
EACH = 8.0

#: How late the reactor's calls may come, at most, in milliseconds: less is noise of a
#: machine that has other things to do.
LATE = 50.0

#: CPU that they may take while nothing moves, in per cent of one processor.
CPU = 10.0

#: How long the crowd idles: the gateway shows the worst lag of the last 10 s.
QUIET = 11.0

#: An idle limit, so that it has to be kept; none of them reaches it.
IDLE = 600

#: The same in HTTP mode, between two requests.
HTTP = ["--mode=http", f"--keepalive-timeout={IDLE}s"]


@frozen
class _Measured:
    """What the gateway took while nothing moved."""

    #: In bytes, over what it took before.
    memory: float
    #: In per cent of one processor.
    cpu: float
    #: In milliseconds.
    lag: float


def play(scene: Scene, *, workers: bool = False, http: bool = False) -> None:
    """Measure other clients and the gateway, before and while they are there."""
    count, processes = _size(scene, workers)
    admin, busy, idle = free_ports(3)
    options = [*HTTP] if http else [f"--idle-timeout={IDLE}s"]
    if processes > 1:
        options.append(f"--workers={processes}")
    gateway = _gateway(scene, admin, busy, idle, options)
    lasts = scene.either(20.0, 2.5)
    before = others(scene, busy, lasts)
    empty = memory(gateway)
    with ExitStack() as stack:
        crowds = [
            stack.enter_context(
                Crowd("hold", idle, min(CLIENTS, count - first), 200, first=first)
            )
            for first in range(0, count, CLIENTS)
        ]
        found = _measure(gateway, Admin(f"127.0.0.1:{admin}"), empty)
        meanwhile = others(scene, busy, lasts)
        clients = [client for crowd in crowds for client in crowd.stop()]
    stayed = sum(each.what == "open" for each in clients)
    _report(scene, count, stayed, processes, found)
    judge(scene, before, meanwhile)


def _size(scene: Scene, workers: bool) -> tuple[int, int]:
    """How many connections, in how many processes, the descriptors allow."""
    room = (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE) // 2
    count = int(scene.either(MANY, FEW))
    processes = min(WORKERS, max(2, -(-count // room))) if workers else 1
    return min(count, processes * room), processes


def _gateway(
    scene: Scene, admin: int, busy: int, idle: int, options: Sequence[str]
) -> Gateway:
    """A gateway with two mappings of the same four servers."""
    agent = scene.consul()
    registrar = Registrar(agent)
    for each in scene.servers(list("abcd"), kind=StreamServer):
        registrar.add(SERVICE, each)
    return scene.gateway(
        f"--consul=127.0.0.1:{agent.port}",
        f"--admin=127.0.0.1:{admin}",
        f"--map={busy}:{SERVICE}",
        f"--map={idle}:{SERVICE}",
        "--connection-log=off",
        *options,
    )


def _measure(gateway: Gateway, admin: Admin, empty: float) -> _Measured:
    """Leave the crowd alone for a while."""
    with measured(gateway) as span:
        time.sleep(QUIET)
    lag = 1000 * float(admin.status()["gateway"]["reactor_lag"])
    return _Measured(memory(gateway) - empty, span.percent, lag)


def _report(
    scene: Scene, count: int, stayed: int, processes: int, found: _Measured
) -> None:
    report = scene.report
    report.count(count, count - stayed)
    report.note("idle connections", count)
    report.note("processes", processes)
    report.at_most("of them lost", count - stayed, 0)
    report.at_most("memory of each", found.memory / 1024 / count, EACH, "KiB")
    report.at_most("CPU while nothing moves", found.cpu, CPU * processes, "%")
    if processes == 1:  # else it is the master's
        report.at_most("latest call of the reactor", found.lag, LATE, "ms")


ROWS = (
    Row(
        "idle-crowd",
        "50,000 idle connections, or as many as one process may have descriptors for",
        play,
        descriptors=12_000,
    ),
    Row(
        "idle-crowd-workers",
        "50,000 idle connections, over as many workers as that takes",
        partial(play, workers=True),
        descriptors=19_000,
        limit=600.0,
    ),
    Row(
        "http-idle-crowd",
        "50,000 clients between two requests, or as many as can be; HTTP mode",
        partial(play, http=True),
        descriptors=12_000,
        only_full=True,
    ),
)
