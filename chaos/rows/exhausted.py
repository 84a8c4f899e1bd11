"""The gateway runs out of descriptors."""

import subprocess
import time
from contextlib import ExitStack
from functools import partial

from chaos.processes import descriptors, measured
from chaos.row import Row
from chaos.scene import Scene
from chaos.traffic import require_faultless
from tests.end_to_end.visits import visit
from tests.support.load import connect
from tests.support.waiting import eventually

#: Descriptors that it may have, and clients that want to stay.
LIMIT = 256
CLIENTS = 300

#: Of one core, while it is full, in percent.
CPU = 5.0

#: Within which all is well again once they left, in seconds.
BACK = 1.0


def play(scene: Scene, surprise: bool) -> None:
    """More clients than it has descriptors for; then they leave."""
    limit = f"--nofile={LIMIT}:{LIMIT}"
    usual = scene.usual(prefix=[] if surprise else ["prlimit", limit])
    if surprise:
        command = ["prlimit", f"--pid={usual.gateway.pid}", limit]
        subprocess.run(command, check=True)
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            stack.enter_context(connect(usual.port))
        time.sleep(1.5)
        open_ = descriptors(usual.gateway)
        with measured(usual.gateway) as span:
            time.sleep(scene.either(20.0, 5.0))
    begun = time.monotonic()
    eventually(lambda: answers(usual.port), "it serves again")
    back = time.monotonic() - begun
    with scene.traffic(usual.port) as traffic:
        time.sleep(scene.either(5.0, 2.0))
        outcome = traffic.stop()
    # It keeps some for itself.
    scene.report.at_least("descriptors in use", open_, LIMIT * 0.7)
    scene.report.at_most("CPU while full", span.percent, CPU, "%")
    scene.report.at_most("back after", back, BACK, "s")
    require_faultless(scene.report, outcome)
    said = usual.gateway.find(r"descriptors")
    scene.report.require("log says so", bool(said))


def answers(port: int) -> bool:
    """Whether the port accepts a client."""
    try:
        return bool(visit(port))
    except OSError:
        return False


ROWS = (
    Row(
        "exhausted",
        f"{CLIENTS} clients stay at a gateway of {LIMIT} descriptors, then leave",
        partial(play, surprise=False),
        needs=("prlimit",),
    ),
    Row(
        "starved",
        f"a gateway's descriptors are cut to {LIMIT} while it runs; the same clients",
        partial(play, surprise=True),
        needs=("prlimit",),
    ),
)
