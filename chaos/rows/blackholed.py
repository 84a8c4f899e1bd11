"""The host of an instance vanishes: what is sent there is lost without a word."""

import time
from functools import partial

from attrs import frozen

from chaos.firewall import dropping, host
from chaos.report import Report
from chaos.row import Row
from chaos.scene import NAMES, Scene
from chaos.traffic import between, slowest
from tests.support.load import Outcome
from tests.support.waiting import eventually

HOSTS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")

CLIENTS = 8

#: The mapping's connect-timeout, in seconds, and by how much a client may wait longer.
TIMEOUT = 1.0
GRACE = 1.0

#: How long it is away, in seconds: it is back while its first ejection lasts, of ten
#: seconds and up to a tenth more from about a second after it vanished.
AWAY = 5.0

#: Within which the rate must be half the clean one's, in seconds.
HALF = 3.0

#: Within which it must be used again, in seconds.
AGAIN = 10.0

#: Of clean load before, in seconds.
CLEAN = 3.0


@frozen
class Mode:
    """What clients do, and what may become of it."""

    #: The mapping's options beside `TIMEOUT`.
    options: str
    #: Clients with a connection for each request, and such that keep theirs.
    new: int
    kept: int
    #: Most requests that fail of those that are under way when it vanishes.
    cut: int
    #: Most that a request may take, in seconds.
    slowest: float


#: A connection that was made is not made again.
TCP = Mode("idle-timeout=3s", CLIENTS, 0, CLIENTS, TIMEOUT + GRACE)

#: A request that gets no response is sent again to another instance, which may be after
#: a connect that got no answer either.
HTTP = Mode(
    f"mode=http,response-timeout={TIMEOUT:.0f}s,retry-on=timeout,eject-5xx=3",
    CLIENTS // 4,
    CLIENTS,
    0,
    2 * TIMEOUT + GRACE,
)


def play(scene: Scene, *, mode: Mode = TCP, tls: bool = False) -> None:
    """One of three is away for a while."""
    usual = scene.usual(
        mapping=f",connect-timeout={TIMEOUT:.0f}s,{mode.options}",
        servers=scene.servers(hosts=HOSTS),
        site=scene.site() if tls else None,
    )
    report = scene.report
    with scene.traffic(usual.address, new=mode.new, kept=mode.kept) as traffic:
        time.sleep(1.0)
        begun = time.monotonic()
        time.sleep(CLEAN)
        with dropping(*host(HOSTS[0])):
            vanished = time.monotonic()
            time.sleep(AWAY)
        healed = time.monotonic()
        eventually(lambda: _trusted(usual.gateway.log()), "it is restored", 2 * AGAIN)
        trusted = time.monotonic()
        time.sleep(scene.either(5.0, 1.0))
        outcome = traffic.stop()
    report.at_most("restored after", trusted - healed, AGAIN, "s")
    ejected = usual.gateway.find(r"web-anna@.* ejected: 3 consecutive ")
    report.require("log names 3 failures", bool(ejected))
    clean = len(between(outcome, begun, vanished)) / (vanished - begun)
    report.note("clean rate", clean, "/s")
    report.at_most(
        "half of it after", time_to_half(outcome, vanished, clean), HALF, "s"
    )
    judge(report, mode, outcome, vanished, healed)


def judge(
    report: Report, mode: Mode, outcome: Outcome, vanished: float, healed: float
) -> None:
    """No client may wait for long, and in the end all is as it was."""
    after = outcome.begun_after(vanished)
    report.at_most("failed of those begun after", len(after.failed()), 0)
    report.at_most("cut in flight", len(outcome.failed()), mode.cut)
    report.at_most("wrong", len(outcome.wrong()), 0)
    report.at_most("slowest", slowest(after), mode.slowest, "s")
    again = outcome.begun_after(healed).servers()[NAMES[0]]
    report.at_least("used again", again, 1)


def _trusted(log: str) -> bool:
    return "web-anna" in log and " restored: " in log


def time_to_half(outcome: Outcome, since: float, clean: float) -> float:
    """Seconds until a second begins in which half the clean rate is answered."""
    steps = range(int(10 * AWAY))
    for begin in (since + step / 10 for step in steps):
        over = [each for each in outcome if begin <= each.over < begin + 1.0]
        if len(over) >= clean / 2:
            return begin - since
    return AWAY


ROWS = (
    Row(
        "blackholed",
        f"packets from and to one of three instances vanish for {AWAY:.0f} s",
        play,
        needs=("nft",),
    ),
    Row(
        "blackholed-tls",
        f"packets from and to one of three instances vanish for {AWAY:.0f} s; TLS",
        partial(play, tls=True),
        needs=("nft",),
        only_full=True,
    ),
    Row(
        "http-blackholed",
        f"packets from and to one of three instances vanish for {AWAY:.0f} s; HTTP",
        partial(play, mode=HTTP),
        needs=("nft",),
        only_full=True,
    ),
)
