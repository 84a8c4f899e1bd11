"""The gateway drains while it carries connections."""

import time

from chaos.crowd import Client, Crowd
from chaos.row import Row
from chaos.scene import Scene, Usual
from chaos.stream_server import StreamServer
from tests.support.load import connect

#: The gateway's drain-timeout, in seconds.
DRAIN = 5.0

#: So many answers take this long; so many connections would stay for ever.
STREAMS = 250
LASTS = 3.0
STAYING = 250

#: Those left are closed in the last tenth, and the machine takes its time.
SPREAD = 0.1 * DRAIN
GRACE = 1.0


def play(scene: Scene) -> None:
    """End it with 500 connections open."""
    servers = scene.servers(kind=StreamServer)
    usual = scene.usual(f"--drain-timeout={DRAIN:.0f}s", servers=servers)
    path = f"/drip?n=20000&s={LASTS:.0f}"
    with (
        Crowd("hold", usual.port, STAYING) as holding,
        Crowd("fetch", usual.port, STREAMS, at_once=STREAMS, path=path) as streaming,
    ):
        time.sleep(1.0)
        usual.gateway.terminate()
        told = time.monotonic()
        time.sleep(0.5)
        refused = is_refused(usual)
        usual.gateway.wait_until_gone()
        lasted = time.monotonic() - told
        streams, staying = streaming.stop(), holding.stop()
    report = scene.report
    whole = sum(each.what == "whole" for each in streams)
    report.count(STREAMS + STAYING, STREAMS - whole)
    report.require("new ones refused", refused)
    report.at_least("answers whole", whole, STREAMS)
    report.at_most("ended after", lasted, DRAIN + GRACE, "s")
    judge_the_rest(scene, staying, told)


def judge_the_rest(scene: Scene, staying: list[Client], told: float) -> None:
    """Those that would not go are closed about the deadline, not all at once."""
    report = scene.report
    ended = [each.over - told for each in staying if each.what in ("ended", "reset")]
    report.at_least("the rest ended", len(ended), STAYING)
    first, last = min(ended, default=0.0), max(ended, default=0.0)
    report.at_least("the first of it after", first, DRAIN - SPREAD - 0.2, "s")
    report.at_most("the last of it after", last, DRAIN + GRACE, "s")
    report.note("spread over", last - first, "s")


def is_refused(usual: Usual) -> bool:
    """Whether the gateway's port refuses connections."""
    try:
        connect(usual.port).close()
    except ConnectionRefusedError:
        return True
    return False


ROW = Row(
    "drained",
    f"SIGTERM with {STREAMS} slow answers under way, {STAYING} connections staying",
    play,
)
