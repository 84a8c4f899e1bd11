"""HTTP mode: one of many instances dies each second, and Consul does not know."""

import time
from collections.abc import Sequence
from functools import partial

from chaos.row import Row
from chaos.scene import Scene
from chaos.traffic import Traffic, require_faultless
from tests.support.web_server import WebServer
from tests.support.workers import all_serve

#: The instances, all on one host.
NAMES = ("anna", "bert", "carl", "dora", "emil", "fred", "gina", "hans")

#: Requests in the full form and in the quick one.
REQUESTS = (40_000, 8_000)

#: One dies each so many seconds, and is away for so long.
EVERY = 1.0
AWAY = 0.5

#: The body of a request that has one, in bytes: less than is kept for a repetition.
BODY = 30_000


def play(scene: Scene, *, workers: int = 1) -> None:
    """Kill one after the other while clients keep their connections."""
    servers = scene.servers(NAMES)
    usual = scene.usual(
        mapping=",mode=http,retry-on=502", servers=servers, workers=workers
    )
    if workers > 1:
        all_serve(usual.gateway, workers)
    least = REQUESTS[scene.quick]
    with scene.traffic(usual.port, new=2, kept=10, pause=0.0, body=BODY) as traffic:
        deaths = die_in_turn(servers, traffic, least)
        outcome = traffic.stop()
    report = scene.report
    report.note("deaths", deaths)
    report.at_least("requests", len(outcome), least)
    require_faultless(report, outcome)
    # Else no request was under way at one that died, which proves nothing.
    repeated = len(usual.gateway.find(r" retries=[1-9]"))
    report.at_least("of them sent again", repeated, 1)
    served = set(outcome.servers())
    report.require("all served", served == set(NAMES), str(sorted(served)))


def die_in_turn(servers: Sequence[WebServer], traffic: Traffic, least: int) -> int:
    """Kill one each second until there were enough requests; how many died."""
    deaths, begun = 0, time.monotonic()
    while traffic.over() < least:
        victim = servers[deaths % len(servers)]
        victim.kill()
        deaths += 1
        time.sleep(AWAY)
        victim.start()
        victim.wait_until_listening()
        time.sleep(max(0.0, begun + deaths * EVERY - time.monotonic()))
    return deaths


ROWS = tuple(
    Row(
        f"http-instance-killed{suffix}",
        f"one of {len(NAMES)} instances is killed each second, and stays registered;"
        f" HTTP mode{more}",
        partial(play, workers=workers),
        only_full=workers > 1,
    )
    for workers, suffix, more in ((1, "", ""), (2, "-2-workers", ", 2 workers"))
)
