"""HTTP mode: instances leave while requests, long answers and WebSockets go on."""

import time
from collections import Counter
from collections.abc import Sequence

from chaos.crowd import Client, Crowd
from chaos.report import Report
from chaos.row import Row
from chaos.scene import SERVICE, Scene, Usual
from chaos.stream_server import StreamServer
from chaos.traffic import require_faultless

#: The instances: the first is put in maintenance, the second deregistered.
NAMES = ("anna", "bert", "carl", "dora")
LEAVING = NAMES[:2]

#: The mapping's drain-timeout, in seconds: what is left is closed in its last tenth.
DRAIN = 5.0
SPREAD = 0.1 * DRAIN
GRACE = 1.0

#: Answers that come slowly, for so many seconds: less than the drain takes.
STREAMS = 200
LASTS = 3.0

#: Answers that begin only after so many seconds: more than the drain takes.
WAITING = 40
BEGINS = 8.0

#: Connections with a switched protocol.
SOCKETS = 80

#: Within which the gateway knows of the change, in seconds.
KNOWN = 1.0


def play(scene: Scene) -> None:
    """Two of four leave; all that they had goes on as it should."""
    usual = scene.usual(
        mapping=f",mode=http,drain-timeout={DRAIN:.0f}s",
        servers=scene.servers(NAMES, kind=StreamServer),
    )
    port = usual.port
    drip, late = f"/drip?n=20000&s={LASTS:.0f}", f"/late?n=1000&s={BEGINS:.0f}"
    with (
        scene.traffic(port, new=2, kept=6, pause=0.05, body=30_000) as traffic,
        Crowd("socket", port, SOCKETS) as sockets,
        Crowd("fetch", port, STREAMS, at_once=STREAMS, path=drip) as streams,
        Crowd("fetch", port, WAITING, at_once=WAITING, path=late) as waiting,
    ):
        time.sleep(1.0)
        left = leave(usual)
        time.sleep(DRAIN + GRACE)
        # The clients finish what they have begun.
        answers = streams.stop(), waiting.stop()
        ended = sockets.stop()
        outcome = traffic.stop()
    report = scene.report
    judge_answers(report, *answers)
    judge_sockets(report, ended, left)
    served = Counter(outcome.begun_after(left + KNOWN).servers())
    report.at_most(
        "served by those that left", sum(served[name] for name in LEAVING), 0
    )
    require_faultless(report, outcome)


def leave(usual: Usual) -> float:
    """The one by maintenance, the other for good; when it was done."""
    kept, removed = (f"{SERVICE}-{name}" for name in LEAVING)
    usual.registrar.maintain(kept, True)
    usual.registrar.remove(removed)
    return time.monotonic()


def judge_answers(
    report: Report, streams: Sequence[Client], waiting: Sequence[Client]
) -> None:
    """All are whole; those that had not begun in time came from another instance."""
    for what, clients in (("slow answers", streams), ("late answers", waiting)):
        whole = sum(each.what == "whole" for each in clients)
        report.count(len(clients), len(clients) - whole)
        report.at_least(f"{what} whole", whole, len(clients))
    moved = sum(each.over - each.begun > BEGINS + 0.8 * DRAIN for each in waiting)
    report.at_least("of them moved to another", moved, 1)


def judge_sockets(report: Report, sockets: Sequence[Client], left: float) -> None:
    """Those of instances that left are closed at the deadline, and no others."""
    ends = Counter(tuple(each.what.split()) for each in sockets)
    stay = sum(ends["open", name] for name in NAMES if name not in LEAVING)
    of_leaving = [each for each in sockets if each.what.endswith(LEAVING)]
    ended = [each for each in of_leaving if not each.what.startswith("open")]
    times = [each.over - left for each in ended]
    report.count(SOCKETS, SOCKETS - stay - len(ended))
    report.at_least("WebSockets of others kept", stay, SOCKETS - len(of_leaving))
    report.at_least("WebSockets of those that left ended", len(ended), len(of_leaving))
    report.at_least("there were", len(of_leaving), 1)
    first, last = min(times, default=0.0), max(times, default=0.0)
    report.at_least("the first of them after", first, DRAIN - SPREAD - 0.2, "s")
    report.at_most("the last of them after", last, DRAIN + GRACE, "s")


ROW = Row(
    "http-drained",
    "one of four instances is put in maintenance, one is deregistered, while requests,"
    " slow and late answers and WebSockets go on; HTTP mode",
    play,
    waits=True,
)
