"""Instances that the gateway speaks TLS to are killed, and freeze."""

import time
from functools import partial

from chaos.row import Row
from chaos.scene import NAMES, Scene
from chaos.stream_server import StreamServer
from chaos.traffic import slowest
from tests.support.waiting import eventually

CLIENTS = 6

#: The mapping's connect-timeout, in which the handshake has to be over, too, and by how
#: much a client may wait longer, in seconds.
TIMEOUT = 1.0
GRACE = 1.0


def play(scene: Scene) -> None:
    """One of three freezes and goes on, then one is killed; Consul does not know.

    The kernel of one that is frozen accepts, but its handshake is not answered: it
    counts as one that refuses, which without TLS it would not.
    """
    site = scene.site()
    pem = site.issue("instance", "127.0.0.1")
    usual = scene.usual(
        mapping=f",connect-timeout={TIMEOUT:.0f}s,idle-timeout=5s,eject-base-time=2s"
        f",upstream-tls=on,upstream-ca={site.authority}",
        servers=scene.servers(kind=partial(StreamServer, pem=pem)),
        site=site,
    )
    frozen, killed, _ = usual.servers
    with scene.traffic(usual.address, new=CLIENTS, kept=0) as traffic:
        time.sleep(1.0)
        frozen.pause()
        paused = time.monotonic()
        usual.gateway.wait_for(rf"web-{frozen.name}@.* ejected: ")
        time.sleep(2.0)
        frozen.resume()
        resumed = time.monotonic()
        eventually(lambda: _is_restored(usual.gateway.log()), "it is used again", 60.0)
        restored = time.monotonic()
        time.sleep(1.0)
        killed.kill()
        dead = time.monotonic()
        time.sleep(scene.either(5.0, 2.0))
        outcome = traffic.stop()
    report = scene.report
    report.note("restored after", restored - resumed, "s")
    for what, since in (("frozen", paused), ("killed", dead)):
        after = outcome.begun_after(since)
        report.at_most(f"failed, begun after it was {what}", len(after.failed()), 0)
        report.at_most(
            f"slowest after it was {what}", slowest(after), TIMEOUT + GRACE, "s"
        )
    report.at_most("cut in flight", len(outcome.failed()), 2 * CLIENTS)
    report.at_most("wrong", len(outcome.wrong()), 0)
    served = set(outcome.begun_after(restored).servers()) - {""}
    report.require("all served in between", served == set(NAMES), str(sorted(served)))


def _is_restored(log: str) -> bool:
    return " restored: " in log


ROW = Row(
    "upstream-tls",
    "TLS to instances; one freezes for a while, one is killed, unknown to Consul",
    play,
    only_full=True,
)
