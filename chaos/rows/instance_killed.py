"""An instance crashes under many connections, and Consul does not know."""

import time
from functools import partial

from chaos.row import Row
from chaos.scene import NAMES, Scene
from tests.end_to_end.visits import held, name_in
from tests.support.load import Visitor
from tests.support.workers import all_serve

#: Connections that are open when it happens.
HELD = 200

CLIENTS = 6


def play(scene: Scene, *, workers: int = 1, tls: bool = False) -> None:
    """Kill one of three with 200 connections held and new ones coming."""
    usual = scene.usual(workers=workers, site=scene.site() if tls else None)
    if workers > 1:
        all_serve(usual.gateway, workers)
    victim = usual.servers[0]
    with (
        held(usual.address, HELD) as visitors,
        scene.traffic(usual.address, new=CLIENTS, kept=0) as traffic,
    ):
        time.sleep(1.0)
        victim.kill()
        killed = time.monotonic()
        time.sleep(scene.either(10.0, 3.0))
        outcome = traffic.stop()
        theirs = [each for name, each in visitors if name == victim.name]
        others = [(name, each) for name, each in visitors if name != victim.name]
        ended = sum(not each.has_connection() for each in theirs)
        kept = sum(answers(each, name) for name, each in others)
    report = scene.report
    report.count(HELD + len(others), len(others) - kept)
    report.require("its own ended", ended == len(theirs), f"{ended} of {len(theirs)}")
    report.require("others kept", kept == len(others), f"{kept} of {len(others)}")
    after = outcome.begun_after(killed)
    report.at_most("failed of those begun after", len(after.failed()), 0)
    report.at_most("wrong", len(outcome.wrong()), 0)
    report.at_most("cut in flight", len(outcome.failed()), CLIENTS)
    report.at_least("begun after", len(after), 100)
    served = {each.server for each in after if not each.trouble}
    report.require("by the others", served == set(NAMES[1:]), str(sorted(served)))


def answers(visitor: Visitor, name: str) -> bool:
    """Whether a held connection is still there, and is the one it was."""
    try:
        return visitor.has_connection() and name_in(visitor.ask()) == name
    except OSError:
        return False


ROWS = (
    *(
        Row(
            "instance-killed" if workers == 1 else f"instance-killed-{workers}-workers",
            f"an instance is killed under {HELD} connections, and stays registered"
            + (f"; {workers} workers" if workers > 1 else ""),
            partial(play, workers=workers),
        )
        for workers in (1, 2)
    ),
    Row(
        "instance-killed-tls",
        f"an instance is killed under {HELD} connections, and stays registered; TLS",
        partial(play, tls=True),
        only_full=True,
    ),
)
