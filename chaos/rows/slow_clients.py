"""Thousands of clients that say a byte a second, and some that never read."""

import resource
import time
from functools import partial

from chaos.crowd import Client, Crowd
from chaos.processes import memory
from chaos.row import Row
from chaos.scene import Scene
from chaos.stream_server import StreamServer
from chaos.traffic import Traffic, p99
from tests.support.load import Address, Outcome

#: How many are slow, and how many never read, in the full form and in the quick one;
#: with TLS it is the clients that take the time of a machine.
CLIENTS = (10_000, 2_000), (1_000, 200)
TLS_CLIENTS = (5_000, 1_000), (500, 100)

#: What one that never reads asks for, in bytes.
ANSWER = 4 << 20

#: What a connection may take of our own memory, on average, in KiB.
EACH = 16.0

#: The same with TLS.
EACH_TLS = 48.0

#: The other clients' p99 may be so many times what it was; what is below the floor
#: is noise, in seconds.
TIMES = 2.0
FLOOR = 0.05

#: The same with TLS, where each new connection shakes hands, and each byte is a record.
FLOOR_TLS = 0.1

#: Descriptors of one process for 11,000 connections and some load.
ENOUGH = 24_000


def play(scene: Scene, *, tls: bool = False) -> None:
    """Measure other clients before and while they are there."""
    many = TLS_CLIENTS if tls else CLIENTS
    slow, deaf = (int(scene.either(*of)) for of in many)
    # Each worker has its own limit of descriptors.
    few = resource.getrlimit(resource.RLIMIT_NOFILE)[0] < ENOUGH
    usual = scene.usual(
        "--connection-log=off",
        workers=2 if few and not scene.quick else 1,
        servers=scene.servers(kind=StreamServer),
        site=scene.site() if tls else None,
    )
    lasts = scene.either(20.0, 6.0)
    before = others(scene, usual.address, lasts)
    empty = memory(usual.gateway)
    with (
        Crowd("slow", usual.address, slow) as slows,
        Crowd("deaf", usual.address, deaf, path=f"/bytes?n={ANSWER}") as deafs,
    ):
        time.sleep(2.0)
        meanwhile = others(scene, usual.address, lasts)
        full = memory(usual.gateway)
        clients = slows.stop() + deafs.stop()
    tell(scene, clients, slow + deaf)
    grown = (full - empty) / 1024 / (slow + deaf)
    scene.report.at_most("memory of each", grown, EACH_TLS if tls else EACH, "KiB")
    judge(scene, before, meanwhile, FLOOR_TLS if tls else FLOOR)


def others(scene: Scene, address: Address, seconds: float) -> Outcome:
    """Load of ordinary clients."""
    with Traffic(scene.report, address, new=2, kept=2, pause=0.02) as traffic:
        time.sleep(seconds)
        return traffic.stop()


def tell(scene: Scene, clients: list[Client], count: int) -> None:
    """Every one of them must have been there to the end."""
    stayed = sum(each.what == "open" for each in clients)
    scene.report.count(count, count - stayed)
    scene.report.note("slow and deaf clients", count)
    scene.report.at_most("of them lost", count - stayed, 0)


def judge(
    scene: Scene, before: Outcome, meanwhile: Outcome, floor: float = FLOOR
) -> None:
    """The others must not have suffered."""
    scene.report.note("p99 before", 1000 * p99(before), "ms")
    bound = max(floor, TIMES * p99(before))
    scene.report.at_most("p99 with them", 1000 * p99(meanwhile), 1000 * bound, "ms")
    failed = len(before.failed()) + len(meanwhile.failed())
    scene.report.at_most("failed of the others", failed, 0)


_DONE = "thousands of clients say a byte a second, a tenth as many never read"

ROWS = (
    Row("slow-clients", _DONE, play, descriptors=14_000),
    Row(
        "slow-clients-tls",
        f"{_DONE}; TLS",
        partial(play, tls=True),
        descriptors=14_000,
        only_full=True,
    ),
)
