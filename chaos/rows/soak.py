"""A mix of all that happens on an ordinary bad day, for long."""

import random
import time
from collections.abc import Sequence

from attrs import frozen

from chaos.crowd import Crowd
from chaos.processes import descriptors, memory
from chaos.row import Row
from chaos.scene import SERVICE, Scene, Usual
from chaos.stream_server import StreamServer
from chaos.traffic import require_faultless
from tests.support.load import Outcome

#: The default length in minutes.
FULL = 10.0
QUICK = 0.6

#: One round of load and churn, in seconds, and the quiet after it.
ROUND = 20.0
QUICK_ROUND = 4.0
QUIET = 1.0

#: Between two changes of the registrations, in seconds.
PAUSE = 0.25

#: What it may have grown by from a quarter of the time to the end: descriptors, and
#: MiB of memory or a share of it, whichever is more.
DESCRIPTORS = 2
MEMORY = 4.0
SHARE = 0.05


@frozen
class Sample:
    """What the gateway holds when it is quiet."""

    at: float
    mib: float
    descriptors: int


def play(scene: Scene) -> None:
    """Round after round, with a sample after each."""
    minutes = scene.minutes or scene.either(FULL, QUICK)
    servers = scene.servers(kind=StreamServer)
    usual = scene.usual("--connection-log=off", servers=servers)
    begun, samples = time.monotonic(), list[Sample]()
    troubles = Outcome()
    while time.monotonic() < begun + 60 * minutes:
        outcome = one_round(scene, usual)
        troubles += [each for each in outcome if each.trouble]
        time.sleep(QUIET)
        at, size = time.monotonic() - begun, memory(usual.gateway) / 2**20
        samples.append(Sample(at, size, descriptors(usual.gateway)))
    require_faultless(scene.report, troubles, least=0)
    judge(scene, samples)


def one_round(scene: Scene, usual: Usual) -> Outcome:
    """Load of several kinds, while instances come and go."""
    path = "/bytes?n=300000"
    with (
        scene.traffic(usual.port, pause=0.02) as traffic,
        Crowd("fetch", usual.port, 20, 5, path) as fetch,
        Crowd("put", usual.port, 20, 5, path) as put,
        Crowd("deaf", usual.port, 20, path="/bytes?n=5000000"),
        Crowd("hold", usual.port, 100),
    ):
        churn(usual, scene.either(ROUND, QUICK_ROUND))
        transfers = [*fetch.stop(), *put.stop()]
        outcome = traffic.stop()
    whole = sum(each.what == "whole" for each in transfers)
    scene.report.count(len(transfers), len(transfers) - whole)
    troubles = {each.what for each in transfers if each.what != "whole"}
    if troubles:
        scene.report.require("transfers", False, "; ".join(sorted(troubles)))
    return outcome


def churn(usual: Usual, seconds: float) -> None:
    """One instance after the other is out for a moment, in one of several ways."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        server = random.choice(usual.servers)
        registration = f"{SERVICE}-{server.name}"
        if random.random() < 0.5:
            usual.registrar.remove(registration)
        else:
            usual.registrar.maintain(registration, on=True)
        time.sleep(PAUSE)
        usual.registrar.add(SERVICE, server)
        usual.registrar.maintain(registration, on=False)
        time.sleep(PAUSE)


def judge(scene: Scene, samples: Sequence[Sample]) -> None:
    """Memory and descriptors must be flat."""
    quarter, end = samples[len(samples) // 4], samples[-1]
    report = scene.report
    report.note("samples", len(samples))
    for name, sample in (("a quarter", quarter), ("the end", end)):
        report.note(f"at {name} ({sample.at / 60:.1f} min)", sample.mib, "MiB")
    most = max(quarter.mib + MEMORY, quarter.mib * (1 + SHARE))
    report.at_most("memory at the end", end.mib, most, "MiB")
    report.note("descriptors at a quarter", quarter.descriptors)
    most = quarter.descriptors + DESCRIPTORS
    report.at_most("descriptors at the end", end.descriptors, most)


ROW = Row(
    "soak",
    "load of five kinds, while instances come and go all the time",
    play,
    limit=60 * FULL + 120.0,
)
