"""The endpoint that the gateway's own check asks does not tell the truth."""

import time
from functools import partial

from chaos.report import Report
from chaos.row import Row
from chaos.scene import NAMES, SERVICE, Scene
from chaos.traffic import between
from tests.end_to_end.registrar import Registrar
from tests.support.gateway import Gateway
from tests.support.load import Outcome
from tests.support.lying_server import (
    ENDLESS,
    GARBAGE,
    HANGS,
    LyingServer,
    lying_server,
)
from tests.support.ports import free_ports

#: Checks that tell within half a second.
OPTIONS = (
    "check=/health,check-interval=500ms,check-fast-interval=100ms,check-timeout=300ms"
)

#: Within which what refuses is ejected, in seconds, and what may fail afterwards.
WITHIN = 3.0
SHARE = 0.05


def play(scene: Scene, *, workers: int = 1) -> None:
    """One lies in every way, then all do."""
    agent = scene.consul()
    registrar = Registrar(agent)
    servers = [scene.enter(lying_server(name)) for name in NAMES]
    for each in servers:
        registrar.add(SERVICE, each)
    (port,) = free_ports(1)
    gateway = scene.gateway(
        f"--consul=127.0.0.1:{agent.port}",
        f"--workers={workers}",
        f"--map={port}:{SERVICE},{OPTIONS}",
    )
    with scene.traffic(port, new=4, kept=0, pause=0.01) as traffic:
        time.sleep(1.0)
        fails_while_it_serves(scene, gateway, servers[2])
        turns, seconds = flaps(scene, gateway, servers[2])
        well_until = time.monotonic()
        serves_nobody(servers[2], scene.either(10.0, 3.0) + WITHIN)
        well_again = time.monotonic()
        all_lie(gateway, servers)
        time.sleep(scene.either(5.0, 1.0))
        ended = time.monotonic()
        outcome = traffic.stop()
    report = scene.report
    report.at_most("turns a second", turns / seconds, 1.0)
    judge(report, outcome, well_until, well_again, ended)


def fails_while_it_serves(scene: Scene, gateway: Gateway, liar: LyingServer) -> None:
    """It is out for as long as its endpoint does anything but say yes."""
    liar.health = 503
    gateway.wait_for(rf"-{liar.name}@.* down: own check: GET /health: 503")
    for health in (HANGS, ENDLESS, GARBAGE):
        liar.health = health
        time.sleep(scene.either(3.0, 1.0))
        assert not gateway.find(rf"-{liar.name}@.* up: "), health
    liar.health = 200
    gateway.wait_for(rf"-{liar.name}@.* up: own check: GET /health: 200")


def flaps(scene: Scene, gateway: Gateway, liar: LyingServer) -> tuple[int, float]:
    """How often it turns, and in what time."""
    begun = time.monotonic()
    before = len(turns(gateway))
    while time.monotonic() < begun + scene.either(15.0, 4.0):
        liar.health = 503 if liar.health == 200 else 200
        time.sleep(0.15)
    liar.health = 200
    lasted = time.monotonic() - begun
    count = len(turns(gateway)) - before
    time.sleep(1.0)
    return count, lasted


def turns(gateway: Gateway) -> list[object]:
    """The lines about results that changed."""
    return [*gateway.find(r"@.* (?:up|down): own check")]


def serves_nobody(liar: LyingServer, seconds: float) -> None:
    """It passes its check, and ends each connection."""
    liar.is_dead = True
    time.sleep(seconds)
    liar.is_dead = False
    time.sleep(1.0)


def all_lie(gateway: Gateway, servers: list[LyingServer]) -> None:
    """All say that they are down; all serve."""
    for each in servers:
        each.health = 503
    gateway.wait_for("fail-open: the own checks of all 3 instances fail")


def judge(
    report: Report, outcome: Outcome, dead: float, alive: float, ended: float
) -> None:
    """No client notices but those that meet the dead instance first."""
    before = between(outcome, 0.0, dead - 0.5)
    failing = between(outcome, dead + WITHIN, alive)
    after = between(outcome, alive, ended)
    for name, part in (("at first", before), ("where all lie", after)):
        report.at_most(f"failed {name}", len(part.failed()), 0)
        report.at_least(f"requests {name}", len(part), 50)
    failed = 100 * len(failing.failed()) / max(1, len(failing))
    report.at_most("failed of a dead one", failed, 100 * SHARE, "%")
    report.at_most("wrong", len(outcome.wrong()), 0)


_DONE = "the endpoint of a check lies: 503 while it serves, 200 while it does not"

ROWS = (
    Row("lying-checks", _DONE, play),
    Row(
        "lying-checks-2-workers",
        f"{_DONE}; two workers",
        partial(play, workers=2),
        only_full=True,
    ),
)
