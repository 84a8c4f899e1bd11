"""The reader of the gateway's standard output stalls, under load."""

import json
import re
import time
from functools import partial
from pathlib import Path

from chaos.row import Row
from chaos.scene import Scene
from chaos.traffic import p99, require_faultless
from tests.end_to_end.registrar import Registrar
from tests.support.http_api import ask
from tests.support.ports import free_ports
from tests.support.stalled_log import PipedGateway
from tests.support.waiting import eventually

#: A long name makes long lines, which fill the buffer soon.
SERVICE = "web-" + "x" * 200

#: Within how many seconds lines must have been dropped.
FULL = 60.0

#: The clients' p99 may be so many times what it was; what is below the floor is
#: noise, in seconds.
TIMES, FLOOR = 2.0, 0.05

#: Within which the gateway must end while its log is not read, in seconds.
END = 6.0


def play(scene: Scene, workers: int) -> None:
    """Measure clients before and while nothing is read; read again; end unread."""
    agent = scene.consul()
    registrar = Registrar(agent)
    for each in scene.servers():
        registrar.add(SERVICE, each)
    port, admin = free_ports(2)
    gateway = scene.gateway(
        f"--consul=127.0.0.1:{agent.port}",
        f"--map={port}:{SERVICE}",
        f"--admin={admin}",
        f"--workers={workers}",
        "--log-format=json",
        kind=PipedGateway,
        wait="listening",
    )
    assert isinstance(gateway, PipedGateway)
    eventually(lambda: ask(admin, "GET", "/readyz")[0] == 200, "it is ready")
    with scene.traffic(port, new=8, kept=0, pause=0.001) as traffic:
        time.sleep(scene.either(5.0, 2.0))
        before = traffic.stop()
    gateway.stall()
    with scene.traffic(port, new=8, kept=0, pause=0.001) as traffic:
        began = time.monotonic()
        eventually(lambda: dropped(admin) > 0, "lines are dropped", FULL)
        scene.report.note("stalled until lines were dropped", seconds(began), "s")
        time.sleep(scene.either(5.0, 1.0))
        meanwhile = traffic.stop()
    judge(scene, p99(before), p99(meanwhile))
    require_faultless(scene.report, meanwhile)
    gateway.resume()
    gateway.wait_for('"lines_dropped":')
    accounted(scene, gateway.home / "gateway.log", dropped(admin))
    gateway.stall()
    with scene.traffic(port, new=8, kept=0) as traffic:
        time.sleep(scene.either(5.0, 1.0))
        require_faultless(scene.report, traffic.stop())
    began = time.monotonic()
    gateway.terminate()
    scene.report.at_most("exit status", gateway.status(), 0)
    scene.report.at_most("end while unread", seconds(began), END, "s")


def seconds(began: float) -> float:
    """Since then."""
    return time.monotonic() - began


def dropped(admin: int) -> int:
    """Lines dropped, as the metric has it; the gateway must answer for that."""
    status, _, text = ask(admin, "GET", "/metrics")
    assert status == 200
    [value] = re.findall(r"^lbconsul_log_lines_dropped_total (\S+)$", text, re.M)
    return int(float(value))


def judge(scene: Scene, before: float, meanwhile: float) -> None:
    """Clients must not have noticed."""
    scene.report.note("p99 before", 1000 * before, "ms")
    bound = max(FLOOR, TIMES * before)
    scene.report.at_most("p99 while stalled", 1000 * meanwhile, 1000 * bound, "ms")


def accounted(scene: Scene, log: Path, lost: int) -> None:
    """Each connection has its line, or is one of those that the log says it lacks."""
    torn, told, connections = 0, 0, 0
    # What comes after the last newline is just being written.
    for line in log.read_text().split("\n")[:-1]:
        try:
            row = json.loads(line)
        except ValueError:
            torn += 1
            continue
        told += row.get("lines_dropped", 0)
        connections += "client" in row
    scene.report.at_most("torn lines", torn, 0)
    scene.report.require("all drops logged", told == lost, f"{told} of {lost}")
    missing = scene.report.requests - connections
    scene.report.note("lines dropped", lost)
    scene.report.at_most("lines missing without a word", max(0, missing - lost), 0)


ROWS = tuple(
    Row(
        "log-stalled" if workers == 1 else f"log-stalled-{workers}-workers",
        "the log's reader stalls" + (f"; {workers} workers" if workers > 1 else ""),
        partial(play, workers=workers),
    )
    for workers in (1, 2)
)
