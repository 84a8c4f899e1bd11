"""An instance accepts, and resets each connection at once."""

import time

from chaos.resetting_server import ResettingServer
from chaos.row import Row
from chaos.scene import NAMES, Scene
from chaos.traffic import between
from tests.support.load import Outcome

#: Within which its share must have fallen, in seconds, and to what.
WITHIN = 5.0
SHARE = 0.05


def play(scene: Scene) -> None:
    """One of three does so from the beginning."""
    bad = scene.servers(("dora",), kind=ResettingServer)
    good = scene.servers(NAMES[:2])
    usual = scene.usual(servers=[*bad, *good])
    with scene.traffic(usual.port, new=8, kept=0) as traffic:
        begun = time.monotonic()
        time.sleep(WITHIN + scene.either(20.0, 5.0))
        outcome = traffic.stop()
    report = scene.report
    first = between(outcome, begun, begun + WITHIN)
    later = outcome.begun_after(begun + WITHIN)
    report.note("share in the first 5 s", 100 * share(first), "%")
    report.at_most("share after them", 100 * share(later), 100 * SHARE, "%")
    report.note("failed after them", len(later.failed()))
    report.at_most("wrong", len(outcome.wrong()), 0)
    report.at_least("requests after them", len(later), 100)
    ejected = usual.gateway.find(r"web-dora@.* ejected: ")
    report.require("log says so", bool(ejected))


def share(outcome: Outcome) -> float:
    """The share of failed requests: those of the resetting instance."""
    return len(outcome.failed()) / max(1, len(outcome))


ROW = Row("resetting", "one of three instances resets each connection at once", play)
