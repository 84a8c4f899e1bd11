"""HTTP mode: an instance freezes; its kernel accepts, but no process answers."""

import time

from chaos.report import Report
from chaos.row import Row
from chaos.scene import NAMES, SERVICE, Scene
from chaos.traffic import slowest
from tests.end_to_end.registrar import Registrar
from tests.support.load import Outcome
from tests.support.ports import free_ports
from tests.support.waiting import eventually

#: The response-timeout, in seconds, and by how much a client may wait longer.
TIMEOUT = 1.0
GRACE = 1.0

#: Timeouts in a row that eject an instance, and how long it stays so, in seconds: half
#: as much again at most, as each further time takes twice as long.
EJECT = 3
EJECTED = 5.0

#: Clients of each mapping.
CLIENTS = 6


def play(scene: Scene) -> None:
    """Freeze one of three, which Consul does not know, and let it go on."""
    agent, servers = scene.consul(), scene.servers()
    registrar = Registrar(agent)
    for each in servers:
        registrar.add(SERVICE, each)
    retried, plain = free_ports(2)
    gateway = scene.gateway(
        f"--consul=127.0.0.1:{agent.port}",
        "--mode=http",
        f"--response-timeout={TIMEOUT:.0f}s",
        f"--eject-5xx={EJECT}",
        f"--eject-base-time={EJECTED:.0f}s",
        f"--map={retried}:{SERVICE},retry-on=timeout",
        f"--map={plain}:{SERVICE}",
    )
    with (
        scene.traffic(retried, new=0, kept=CLIENTS) as safe,
        scene.traffic(plain, new=0, kept=CLIENTS) as unsafe,
    ):
        time.sleep(1.0)
        servers[0].pause()
        time.sleep(scene.either(20.0, 6.0))
        servers[0].resume()
        eventually(lambda: " restored: " in gateway.log(), "it is used again", 60.0)
        resumed = time.monotonic()
        time.sleep(scene.either(5.0, 2.0))
        outcomes = safe.stop(), unsafe.stop()
    report = scene.report
    ejections = len(gateway.find(r"web-anna@.* ejected: "))
    report.at_least("ejections", ejections, 1)
    judge_retried(report, outcomes[0])
    judge_plain(report, outcomes[1], ejections)
    for outcome in outcomes:
        served = set(outcome.begun_after(resumed).servers())
        report.require("all serve again", served == set(NAMES), str(sorted(served)))


def judge_retried(report: Report, outcome: Outcome) -> None:
    """With retry-on each is answered by another instance."""
    report.at_most("failed with retry-on", len(outcome.failed()), 0)
    report.at_most("wrong", len(outcome.wrong()), 0)
    report.at_most("slowest", slowest(outcome), TIMEOUT + GRACE, "s")


def judge_plain(report: Report, outcome: Outcome, ejections: int) -> None:
    """Without, those that it has when it freezes get 504, and one for each trial."""
    troubles = {each.trouble for each in outcome.failed()}
    late = troubles <= {"failed: status 504"}
    most = CLIENTS + ejections
    report.at_most("504 without retry-on", len(outcome.failed()), most)
    report.require("each failed one is 504", late, "; ".join(sorted(troubles)))
    report.at_most("wrong", len(outcome.wrong()), 0)
    report.at_most("slowest", slowest(outcome), TIMEOUT + GRACE, "s")


ROW = Row(
    "http-frozen",
    "an instance is stopped by SIGSTOP, unknown to Consul; then it goes on; HTTP mode",
    play,
    only_full=True,
)
