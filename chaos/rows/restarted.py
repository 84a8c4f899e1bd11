"""The gateway is restarted while Consul is away."""

import subprocess
import sys
import time

from chaos.row import Row
from chaos.scene import NAMES, SERVICE, Scene, Usual
from chaos.traffic import require_faultless
from tests.end_to_end.visits import visit
from tests.support.gateway import Gateway
from tests.support.waiting import eventually

#: Within which it must serve, from the start of its process, in seconds: the fastest of
#: some starts, since the others may have had to wait for a processor.  A machine that
#: takes long to load the code gets as long again for the rest.
SERVES = 1.0
STARTS = 3

LOAD = [sys.executable, "-c", "import lbconsul.tap"]


def play(scene: Scene) -> None:
    """Stop it in order, and kill it; both times it serves from its snapshot."""
    usual = scene.usual(f"--state-dir={scene.home / 'state'}")
    eventually(lambda: any((scene.home / "state").glob("*")), "a snapshot")
    usual.agent.kill()
    gateway = usual.gateway
    stopped, killed = list[float](), list[float]()
    for _ in range(STARTS):
        gateway.stop()
        stopped.append(time_to_serve(gateway, usual))
        gateway.kill()
        killed.append(time_to_serve(gateway, usual))
    with scene.traffic(usual.port) as traffic:
        time.sleep(scene.either(5.0, 2.0))
        outcome = traffic.stop()
    report = scene.report
    limit = max(SERVES, 2 * min(time_to_load() for _ in range(STARTS)))
    report.at_most("serves after a stop in", min(stopped), limit, "s")
    report.at_most("serves after a kill in", min(killed), limit, "s")
    report.note("slowest", max(*stopped, *killed), "s")
    told = gateway.find(rf"{SERVICE}: using the snapshot of \d+ s ago")
    report.require("log says so", bool(told))
    require_faultless(report, outcome)
    served = set(outcome.servers())
    report.require("all served", served == set(NAMES), str(sorted(served)))


def time_to_load() -> float:
    """Seconds that Python takes to load the gateway's code."""
    begun = time.monotonic()
    subprocess.run(LOAD, check=True)
    return time.monotonic() - begun


def time_to_serve(gateway: Gateway, usual: Usual) -> float:
    """Seconds from its start to the first whole answer."""
    begun = time.monotonic()
    gateway.start()
    while time.monotonic() < begun + 30.0:
        try:
            visit(usual.port)
        except OSError:
            time.sleep(0.005)
        else:
            break
    return time.monotonic() - begun


ROW = Row(
    "restarted",
    "the gateway is stopped, and killed, and started again while Consul is away",
    play,
)
