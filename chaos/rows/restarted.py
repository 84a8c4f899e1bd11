"""The gateway is restarted while Consul is away."""

import time

from chaos.row import Row
from chaos.scene import NAMES, SERVICE, Scene, Usual
from chaos.traffic import require_faultless
from tests.end_to_end.visits import visit
from tests.support.gateway import Gateway, eventually

#: Within which it must serve, from the start of its process, in seconds.
SERVES = 1.0


def play(scene: Scene) -> None:
    """Stop it in order, and kill it; both times it serves from its snapshot."""
    usual = scene.usual(f"--state-dir={scene.home / 'state'}")
    eventually(lambda: bool(list((scene.home / "state").iterdir())), "a snapshot")
    usual.agent.kill()
    gateway = usual.gateway
    gateway.stop()
    stopped = time_to_serve(gateway, usual)
    gateway.kill()
    killed = time_to_serve(gateway, usual)
    with scene.traffic(usual.port) as traffic:
        time.sleep(scene.either(5.0, 2.0))
        outcome = traffic.stop()
    report = scene.report
    report.at_most("serves after a stop in", stopped, SERVES, "s")
    report.at_most("serves after a kill in", killed, SERVES, "s")
    told = gateway.find(rf"{SERVICE}: until Consul answers, what it said \d+ s ago")
    report.require("log tells", bool(told))
    require_faultless(report, outcome)
    served = set(outcome.servers())
    report.require("all served", served == set(NAMES), str(sorted(served)))


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
