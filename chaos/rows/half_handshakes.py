"""Thousands of TLS handshakes that are begun and never ended, again and again."""

import time
from collections.abc import Sequence

from chaos.crowd import Client, Crowd
from chaos.processes import memory
from chaos.row import Row
from chaos.scene import Scene
from chaos.traffic import Traffic, p99, require_faultless, slowest
from tests.support.load import Outcome

#: Those that send a ClientHello and nothing more, and those that trickle one.  They are
#: more than the 1,000 handshakes that may be under way at a time.
MUTE = (2_000, 1_000)
TRICKLING = (2_000, 500)

#: What one may take of our own memory, on average, in KiB: one that is under way takes
#: some 50 KiB, and others wait for theirs with hardly more than a socket.
EACH = 64.0

#: A client that has its connection must not notice: its p99 in ms.
KEPT = 100.0

#: Within which a new client must be served, in seconds: it waits until those before it
#: have been given up, which for 1,000 of them takes a second.
SERVED = 10.0

#: Within which each of them must be over, in seconds: a handshake has 10 s.
OVER = 13.0


def play(scene: Scene) -> None:
    """Serve ordinary clients of both kinds before and while they are there."""
    mute, trickling = (int(scene.either(*of)) for of in (MUTE, TRICKLING))
    usual = scene.usual("--connection-log=off", site=scene.site())
    with scene.traffic(usual.address, new=1, kept=1) as traffic:
        time.sleep(1.0)
        traffic.stop()
    empty = memory(usual.gateway)
    report = scene.report
    kept = Traffic(report, usual.address, new=0, kept=2)
    with (
        kept,
        Crowd("mute", usual.port, mute, mute) as mutes,
        Crowd("trickle", usual.port, trickling, trickling, first=mute) as trickles,
    ):
        with scene.traffic(usual.address, new=4, kept=0) as traffic:
            time.sleep(scene.either(40.0, 8.0))
            full = memory(usual.gateway)
            new = traffic.stop()
        old = kept.stop()
        stalled = mutes.stop() + trickles.stop()
    judge(scene, old, new, stalled)
    count = mute + trickling
    report.at_most("memory of each", (full - empty) / 1024 / count, EACH, "KiB")


def judge(scene: Scene, old: Outcome, new: Outcome, stalled: Sequence[Client]) -> None:
    """All others are served, and those that stall are closed."""
    report = scene.report
    report.at_most("p99 of kept connections", 1000 * p99(old), KEPT, "ms")
    report.at_most("slowest of new ones", slowest(new), SERVED, "s")
    require_faultless(report, Outcome([*old, *new]))
    report.note("half handshakes", len(stalled))
    lasted = max(each.over - each.begun for each in stalled)
    report.at_most("longest of them", lasted, OVER, "s")


ROW = Row(
    "half-handshakes",
    "thousands of clients never end their TLS handshake, and come again when closed",
    play,
)
