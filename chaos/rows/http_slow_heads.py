"""HTTP mode: thousands of clients whose heads, or whose bodies, never end."""

import time
from collections.abc import Sequence

from chaos.crowd import Client, Crowd
from chaos.processes import memory
from chaos.row import Row
from chaos.rows.slow_clients import judge, others
from chaos.scene import Scene
from chaos.stream_server import StreamServer

#: How many send a head, and a body, in the full form and in the quick one.
HEADS = (3_000, 600)
BODIES = (1_000, 200)

#: The limits: how long a head may take, in seconds, and the least rate of a body, in
#: bytes a second on average over so many seconds.
HEAD = 4.0
RATE = 100
OVER = 10.0

#: How much later a client may be told, in seconds: they all connect at once, and all
#: come to their limits at once.
GRACE = 4.0

#: What one may take of the gateway's memory, on average, in KiB.
EACH = 16.0


def play(scene: Scene) -> None:
    """Measure other clients before and while they are there."""
    heads, bodies = HEADS[scene.quick], BODIES[scene.quick]
    usual = scene.usual(
        mapping=f",mode=http,head-timeout={HEAD:.0f}s,min-rate={RATE}/s",
        servers=scene.servers(kind=StreamServer),
    )
    lasts = scene.either(20.0, OVER + GRACE)
    before = others(scene, usual.port, scene.either(20.0, 4.0))
    empty = memory(usual.gateway)
    with (
        Crowd("heads", usual.port, heads, at_once=heads) as slow_heads,
        Crowd("bodies", usual.port, bodies, at_once=bodies) as slow_bodies,
    ):
        time.sleep(2.0)
        full = memory(usual.gateway)
        meanwhile = others(scene, usual.port, lasts)
        full = max(full, memory(usual.gateway))
        told = slow_heads.stop(), slow_bodies.stop()
    judge_told(scene, "heads", heads, told[0], HEAD)
    judge_told(scene, "bodies", bodies, told[1], OVER)
    grown = (full - empty) / 1024 / (heads + bodies)
    scene.report.at_most("memory of each", grown, EACH, "KiB")
    judge(scene, before, meanwhile)


def judge_told(
    scene: Scene, kind: str, count: int, clients: Sequence[Client], limit: float
) -> None:
    """Each was told 408 in time, and those that came last are still there."""
    report = scene.report
    told = [each.over - each.begun for each in clients if each.what == "told 408"]
    stayed = sum(each.what == "open" for each in clients)
    other = len(clients) - len(told) - stayed
    report.count(len(clients), other)
    report.at_least(f"{kind} told 408", len(told), count)
    report.at_most(f"{kind} that ended otherwise", other, 0)
    report.at_least("the first of them after", min(told, default=0.0), limit - 0.5, "s")
    report.at_most("the last of them after", max(told, default=0.0), limit + GRACE, "s")


ROW = Row(
    "http-slow-heads",
    "thousands of clients send a byte a second of a head, or of a body; HTTP mode",
    play,
    descriptors=14_000,
    only_full=True,
)
