"""HTTP mode: the only instance of a canary dies, and Consul does not know."""

import time
from functools import partial

from chaos.row import Row
from chaos.scene import SERVICE, Scene
from tests.support.workers import all_serve

#: Clients that connect for each request, and those that keep their connections.
NEW, KEPT = 2, 6

#: What the canary is to get, in percent; and how much less or more of the requests
#: that were begun in a time, since those that end later are other ones.
SHARE, OFF = 20, 2


def play(scene: Scene, *, workers: int = 1) -> None:
    """Kill the canary under load, and have it return."""
    usual = scene.usual(
        mapping=f",mode=http,split={SHARE}%:tag=canary,eject-base-time=1s",
        workers=workers,
    )
    if workers > 1:
        all_serve(usual.gateway, workers)
    canary = usual.servers[-1]
    usual.registrar.add(SERVICE, canary, Tags=["canary"])
    usual.gateway.wait_for(r"changed")
    with scene.traffic(usual.port, new=NEW, kept=KEPT, pause=0.0) as traffic:
        begun = time.monotonic()
        time.sleep(scene.either(5.0, 2.0))
        canary.kill()
        killed = time.monotonic()
        time.sleep(scene.either(10.0, 3.0))
        canary.start()
        canary.wait_until_listening()
        restarted = time.monotonic()
        usual.gateway.wait_for(r"(?s)ejected.*restored")
        back = time.monotonic()
        time.sleep(scene.either(5.0, 2.0))
        outcome = traffic.stop()
    report = scene.report
    report.at_most("cut in flight", len(outcome.failed()), NEW + KEPT)
    after = outcome.begun_after(killed)
    report.at_most("failed of those begun after", len(after.failed()), 0)
    report.at_most("wrong", len(outcome.wrong()), 0)
    before = [each for each in outcome.begun_after(begun) if each.begun < killed]
    meanwhile = [each for each in after if each.begun < restarted]
    later = list(after.begun_after(back))
    report.at_least("begun while it was away", len(meanwhile), 100)
    for name, some in (("before", before), ("after", later)):
        served = sum(each.server == canary.name for each in some)
        percent = 100 * served / max(1, len(some))
        right = SHARE - OFF <= percent <= SHARE + OFF
        report.require(f"its share {name}", right, f"{percent:.1f} % of {len(some)}")


ROWS = tuple(
    Row(
        f"canary-fails{suffix}",
        f"the only instance of a canary of {SHARE} % is killed, stays registered, and"
        f" returns; HTTP mode{more}",
        partial(play, workers=workers),
        only_full=workers > 1,
    )
    for workers, suffix, more in ((1, "", ""), (2, "-2-workers", ", 2 workers"))
)
