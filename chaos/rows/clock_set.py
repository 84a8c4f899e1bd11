"""The wall clock is set, while everything is waiting for something."""

import socket
import time
from itertools import cycle

from chaos.row import Row
from chaos.scene import SERVICE, Scene
from chaos.traffic import require_faultless
from tests.end_to_end.registrar import Registrar
from tests.support.moved_clock import MovedClock
from tests.support.ports import free_ports

#: By how much it is ahead of ours, one after the other, in seconds.
AHEAD = (-600.0, 0.0, 600.0, -86_400.0, 3.0, 86_400.0)

#: After how long a connection is closed on which nothing moves, and how much later than
#: it should be something may happen, in seconds.
IDLE, LATE = 0.5, 2.0


def play(scene: Scene, workers: int) -> None:
    """Set it; then an instance must come or go, and an idle connection end."""
    agent = scene.consul()
    registrar = Registrar(agent)
    anna, bert, carl = scene.servers()
    port, idle_port, dead = free_ports(3)
    for each in (anna, bert):
        registrar.add(SERVICE, each)
    registrar.add(SERVICE, carl, ID=f"{SERVICE}-dead", Port=dead)
    clock = MovedClock(scene.home / "clock")
    gateway = scene.gateway(
        f"--consul=127.0.0.1:{agent.port}",
        "--consul-wait=2s",
        f"--workers={workers}",
        f"--map={port}:{SERVICE},eject-base-time=500ms",
        f"--map={idle_port}:{SERVICE},idle-timeout={IDLE}s",
        env=clock.env,
    )
    times, seen, closed = int(scene.either(30, 8)), 0.0, 0.0
    with scene.traffic(port, new=4, kept=4) as traffic:
        for number, ahead in zip(range(times), cycle(AHEAD), strict=False):
            with socket.create_connection(("127.0.0.1", idle_port), 30) as idle:
                begun = time.monotonic()
                clock.by(ahead)
                if number % 2:
                    registrar.remove(f"{SERVICE}-carl")
                else:
                    registrar.add(SERVICE, carl)
                told = r"1 (left|joined) \(web-carl@"
                while len(gateway.find(told)) <= number:
                    if time.monotonic() > begun + 30:
                        break
                    time.sleep(0.01)
                seen = max(seen, time.monotonic() - begun)
                idle.recv(1)
                closed = max(closed, time.monotonic() - begun - IDLE)
        outcome = traffic.stop()
    report = scene.report
    report.note("times", times)
    report.at_most("a change seen after", seen, LATE, "s")
    report.at_most("closed too late by", closed, LATE, "s")
    require_faultless(report, outcome)


ROWS = (
    Row(
        "clock-set",
        "the wall clock is set back and forth, by ten minutes and by a day",
        lambda scene: play(scene, 1),
    ),
    Row(
        "clock-set-2-workers",
        "the same with two workers",
        lambda scene: play(scene, 2),
    ),
)
