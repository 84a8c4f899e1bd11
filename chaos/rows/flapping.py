"""A service whose registrations change all the time."""

import time
from functools import partial

from chaos.processes import measured
from chaos.row import Row
from chaos.scene import SERVICE, Scene
from chaos.traffic import require_faultless
from tests.end_to_end.consul_relay import ConsulRelay
from tests.end_to_end.registrar import Registrar
from tests.support.ports import free_ports
from tests.support.web_server import WebServer

#: Changes a second.
CHANGES = 20.0

#: Questions a second, after a burst, which Consul may be asked.
RATE = 5.0
BURST = 5.0

#: Of one core, in percent, with some light load.
CPU = 20.0


def play(scene: Scene, *, mapping: str = "") -> None:
    """One of four instances joins and leaves all the time."""
    agent = scene.consul()
    registrar = Registrar(agent)
    *steady, flapping = scene.servers(("anna", "bert", "carl", "dora"))
    for each in steady:
        registrar.add(SERVICE, each)
    relay = scene.enter(ConsulRelay(agent.port))
    (port,) = free_ports(1)
    gateway = scene.gateway(
        f"--consul=127.0.0.1:{relay.port}", f"--map={port}:{SERVICE}{mapping}"
    )
    time.sleep(1.5)  # the bucket is full again
    before = len(relay.queries(SERVICE))
    with scene.traffic(port, new=2, kept=2, pause=0.05) as traffic:
        with measured(gateway) as span:
            changes = flap(scene, registrar, flapping)
        asked = len(relay.queries(SERVICE)) - before
        outcome = traffic.stop()
    report = scene.report
    report.at_least("changes", changes / span.seconds, CHANGES * 0.75, "/s")
    # The question that waited when it began is one more.
    most = BURST + RATE * span.seconds + 1
    report.at_most("questions", asked, most)
    report.at_least("questions at all", asked, span.seconds)
    report.at_most("CPU", span.percent, CPU, "%")
    require_faultless(report, outcome)


def flap(scene: Scene, registrar: Registrar, server: WebServer) -> int:
    """Register and deregister; how often."""
    begun, count = time.monotonic(), 0
    lasts = scene.either(60.0, 10.0)
    while time.monotonic() < begun + lasts:
        if count % 2:
            registrar.remove(f"{SERVICE}-dora")
        else:
            registrar.add(SERVICE, server)
        count += 1
        time.sleep(max(0.0, begun + count / CHANGES - time.monotonic()))
    return count


_DONE = "an instance joins or leaves 20 times a second"

ROWS = (
    Row("flapping", _DONE, play),
    Row(
        "http-flapping",
        f"{_DONE}; HTTP mode",
        partial(play, mapping=",mode=http"),
        only_full=True,
    ),
)
