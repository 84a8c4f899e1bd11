"""Thousands of clients that say a byte a second, and some that never read."""

import resource
import time

from chaos.crowd import Client, Crowd
from chaos.processes import memory
from chaos.row import Row
from chaos.scene import Scene
from chaos.stream_server import StreamServer
from chaos.traffic import Traffic, p99
from tests.support.load import Outcome

#: What one that never reads asks for, in bytes.
ANSWER = 4 << 20

#: What a connection may take of our own memory, on average, in KiB.
EACH = 16.0

#: The other clients' p99 may be so many times what it was; what is below the floor
#: is noise, in seconds.
TIMES = 2.0
FLOOR = 0.05

#: Descriptors of one process for 11,000 connections and some load.
ENOUGH = 24_000


def play(scene: Scene) -> None:
    """Measure other clients before and while they are there."""
    slow, deaf = (int(scene.either(*of)) for of in ((10_000, 2_000), (1_000, 200)))
    # Each worker has its own limit of descriptors.
    few = resource.getrlimit(resource.RLIMIT_NOFILE)[0] < ENOUGH
    usual = scene.usual(
        "--connection-log=off",
        workers=2 if few and not scene.quick else 1,
        servers=scene.servers(kind=StreamServer),
    )
    lasts = scene.either(20.0, 6.0)
    before = others(scene, usual.port, lasts)
    empty = memory(usual.gateway)
    with (
        Crowd("slow", usual.port, slow) as slows,
        Crowd("deaf", usual.port, deaf, path=f"/bytes?n={ANSWER}") as deafs,
    ):
        time.sleep(2.0)
        meanwhile = others(scene, usual.port, lasts)
        full = memory(usual.gateway)
        clients = slows.stop() + deafs.stop()
    tell(scene, clients, slow + deaf)
    grown = (full - empty) / 1024 / (slow + deaf)
    scene.report.at_most("memory of each", grown, EACH, "KiB")
    judge(scene, before, meanwhile)


def others(scene: Scene, port: int, seconds: float) -> Outcome:
    """Load of ordinary clients."""
    with Traffic(scene.report, port, new=2, kept=2, pause=0.02) as traffic:
        time.sleep(seconds)
        return traffic.stop()


def tell(scene: Scene, clients: list[Client], count: int) -> None:
    """Every one of them must have been there to the end."""
    stayed = sum(each.what == "open" for each in clients)
    scene.report.count(count, count - stayed)
    scene.report.note("slow and deaf clients", count)
    scene.report.at_most("of them lost", count - stayed, 0)


def judge(scene: Scene, before: Outcome, meanwhile: Outcome) -> None:
    """The others must not have suffered."""
    scene.report.note("p99 before", 1000 * p99(before), "ms")
    bound = max(FLOOR, TIMES * p99(before))
    scene.report.at_most("p99 with them", 1000 * p99(meanwhile), 1000 * bound, "ms")
    failed = len(before.failed()) + len(meanwhile.failed())
    scene.report.at_most("failed of the others", failed, 0)


ROW = Row(
    "slow-clients",
    "thousands of clients say a byte a second, a tenth as many never read",
    play,
    descriptors=14_000,
)
