"""Packets are lost, or come in crumbs; the bytes must not suffer."""

import time
from collections import Counter
from contextlib import ExitStack

from chaos.crowd import Crowd
from chaos.fault_proxy import FaultProxy
from chaos.firewall import dropping, some
from chaos.row import Row
from chaos.scene import SERVICE, Scene
from chaos.stream_server import StreamServer
from chaos.traffic import require_faultless
from tests.end_to_end.registrar import Registrar
from tests.support.ports import free_ports

#: Of a hundred packets, before and behind the gateway.
LOST = 2

#: What is fetched and sent, in bytes: through lost packets, and in crumbs.
SIZE = 1_000_000
CRUMBS = 20_000


def play_loss(scene: Scene) -> None:
    """Lose packets on both sides of the gateway."""
    servers = scene.servers(kind=StreamServer)
    usual = scene.usual(mapping=",connect-timeout=5s", servers=servers)
    ports = [usual.port, *(each.port for each in servers)]
    with dropping(*(match for port in ports for match in some(port, LOST))):
        transfer(scene, usual.port, int(scene.either(400, 60)), SIZE)
        with scene.traffic(usual.port) as traffic:
            time.sleep(scene.either(20.0, 5.0))
            outcome = traffic.stop()
    require_faultless(scene.report, outcome)


def play_crumbs(scene: Scene) -> None:
    """A proxy of ours before the gateway, and one before each server."""
    servers = scene.servers(kind=StreamServer)
    behind = scene.servers([str(each.port) for each in servers], kind=FaultProxy)
    agent = scene.consul()
    registrar = Registrar(agent)
    for each in behind:
        registrar.add(SERVICE, each)
    (port,) = free_ports(1)
    gateway = scene.gateway(
        f"--consul=127.0.0.1:{agent.port}", f"--map={port}:{SERVICE}"
    )
    gateway.wait_until_ready()
    (before,) = scene.servers([str(port)], kind=FaultProxy)
    transfer(scene, before.port, int(scene.either(400, 60)), CRUMBS)
    with scene.traffic(before.port) as traffic:
        time.sleep(scene.either(20.0, 4.0))
        outcome = traffic.stop()
    require_faultless(scene.report, outcome)


def transfer(scene: Scene, port: int, count: int, size: int) -> None:
    """Fetch and send so often, and compare every byte."""
    with ExitStack() as stack:
        crowds = [
            stack.enter_context(Crowd(kind, port, count, 10, f"/bytes?n={size}"))
            for kind in ("fetch", "put")
        ]
        ends = Counter(end.what for crowd in crowds for end in crowd.stop())
    failed = sum(ends.values()) - ends["whole"] - ends["wrong"]
    scene.report.count(sum(ends.values()), failed, ends["wrong"])
    scene.report.at_least("transfers whole", ends["whole"], 2 * count)
    if len(ends) > 1:
        scene.report.require("all of them", False, str(dict(ends)))


ROWS = (
    Row(
        "loss",
        f"{LOST} % of the packets before and behind the gateway are lost",
        play_loss,
        needs=("nft",),
    ),
    Row(
        "crumbs",
        "what comes before and behind the gateway is late and in slices of 1-7 bytes",
        play_crumbs,
    ),
)
