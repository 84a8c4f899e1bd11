"""An instance freezes: its kernel accepts, but no process answers."""

import time
from functools import partial

from chaos.row import Row
from chaos.scene import NAMES, SERVICE, Scene, Usual
from chaos.traffic import slowest
from tests.support.waiting import eventually

#: The mapping's idle-timeout, in seconds; it is kept to within a quarter.
IDLE = 3.0

#: Within which each request must be over, in seconds.
BOUND = IDLE * 1.25 + 1.0

#: Within which Consul and the gateway must have noticed, in seconds.
NOTICED = 10.0


def play(scene: Scene, *, tls: bool = False) -> None:
    """Stop one of three, whose check by HTTP fails then, and let it go on."""
    site = scene.site() if tls else None
    usual = scene.usual(mapping=f",idle-timeout={IDLE:.0f}s", site=site)
    check_by_http(usual)
    victim, report = usual.servers[0], scene.report
    with scene.traffic(usual.address, new=6, kept=6) as traffic:
        time.sleep(1.0)
        victim.pause()
        frozen = time.monotonic()
        usual.gateway.wait_for(rf"{SERVICE}: .*\(.*{SERVICE}-anna@.*[Cc]heck")
        noticed = time.monotonic()
        time.sleep(scene.either(20.0, BOUND))
        victim.resume()
        resumed = time.monotonic()
        eventually(lambda: _is_back(usual), "Consul's check passes again")
        time.sleep(scene.either(5.0, 2.0))
        outcome = traffic.stop()
    report.at_most("noticed after", noticed - frozen, NOTICED, "s")
    report.at_most("slowest", slowest(outcome), BOUND, "s")
    fresh = [each for each in outcome.begun_after(noticed + 0.1) if each.fresh]
    failed = sum(each.failed for each in fresh)
    report.at_most("failed of connections made after it was noticed", failed, 0)
    late = outcome.begun_after(max(resumed, noticed) + BOUND)
    report.at_most("failed in the end", len(late.failed()), 0)
    report.at_most("wrong", len(outcome.wrong()), 0)
    served = {each.server for each in outcome.begun_after(resumed + 0.5)}
    report.require("all serve again", set(NAMES) <= served, str(sorted(served)))
    report.note("cut by the limit", len(outcome.failed()))


def check_by_http(usual: Usual) -> None:
    """Give each instance a check that asks it every second."""
    for each in usual.servers:
        url = f"http://{each.host}:{each.port}/"
        check = {"HTTP": url, "Interval": "1s", "Timeout": "1s", "Status": "passing"}
        usual.registrar.add(SERVICE, each, Check=check)


def _is_back(usual: Usual) -> bool:
    _, _, listed = usual.agent.api("GET", f"/v1/health/service/{SERVICE}?passing")
    return len(listed) == len(usual.servers)


_DONE = (
    "an instance is stopped by SIGSTOP, and its check turns critical; then it goes on"
)

ROWS = (
    Row("frozen", _DONE, play),
    Row("frozen-tls", f"{_DONE}; TLS", partial(play, tls=True), only_full=True),
)
