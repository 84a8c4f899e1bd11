"""An instance that refused comes back hung: its kernel accepts, but no answer comes."""

import socket
import time

from chaos.row import Row
from chaos.scene import NAMES, SERVICE, Scene
from tests.support.waiting import eventually

#: How long clients wait for an answer before they give up, in seconds.
PATIENCE = 0.5

#: What one gives up may be under way when it gets well, in seconds.
CLIENTS = 8

#: The mapping's eject-base-time, in seconds.
EJECTED = 1.0

#: Within which it must be used again once it is well, in seconds: the longest pause
#: between two probes that show nothing, and the time that the last one has.
AGAIN = 45.0


def play(scene: Scene) -> None:
    """Kill one of three, and have its place taken by one that only listens."""
    usual = scene.usual(mapping=f",eject-base-time={EJECTED:.0f}s")
    victim, report = usual.servers[0], scene.report
    with scene.traffic(usual.port, new=CLIENTS, kept=0, timeout=PATIENCE) as traffic:
        time.sleep(1.0)
        victim.kill()
        usual.gateway.wait_for(
            rf"{SERVICE}-anna@.* ejected: 3 consecutive connect failures"
        )
        with socket.create_server((victim.host, victim.port), backlog=1024) as hung:
            begun = time.monotonic()
            time.sleep(scene.either(60.0, 4.0))
            got = accepted(hung)
            ended = time.monotonic()
        victim.start()
        victim.wait_until_listening()
        eventually(lambda: _is_trusted(usual.gateway.log()), "it is used", AGAIN)
        trusted = time.monotonic()
        time.sleep(1.0)
        outcome = traffic.stop()
    meanwhile = [each for each in outcome.begun_after(begun) if each.begun < ended]
    report.at_least("connections while it hung", len(meanwhile), 100)
    report.at_most("of them to the hung one", got, scene.either(6, 2))
    report.at_least("probes", got, 1)
    failed = len(outcome.begun_after(begun).failed())
    report.at_most("failed", failed, got + 1)
    report.at_most("used again after", trusted - ended, AGAIN, "s")
    report.at_most("wrong", len(outcome.wrong()), 0)
    served = outcome.begun_after(trusted).servers()
    report.require("all serve again", set(NAMES) <= served.keys(), str(served))


def accepted(listening: socket.socket) -> int:
    """How many connections its kernel has accepted for it."""
    listening.setblocking(False)
    count = 0
    while True:
        try:
            sock, _ = listening.accept()
        except BlockingIOError:
            return count
        sock.close()
        count += 1


def _is_trusted(log: str) -> bool:
    return f"{SERVICE}-anna" in log and " restored: " in log


ROW = Row(
    "hung",
    "an instance is killed, and comes back hung: it accepts and never answers",
    play,
)
