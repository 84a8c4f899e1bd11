"""Clients ask for much, and never read it."""

import time
from functools import partial

from chaos.crowd import Crowd
from chaos.processes import memory
from chaos.row import Row
from chaos.scene import Scene
from chaos.stream_server import StreamServer
from chaos.traffic import p99, require_faultless

#: What each asks for, in bytes.
ANSWER = 50_000_000

#: What one may take of our own memory, in KiB; the kernel's is not counted.
EACH = 64.0

#: The same with TLS: OpenSSL holds a record of 17 KiB for either direction, and the
#: state of the connection.
EACH_TLS = 128.0

#: Within which 99 of 100 others must be served, in seconds.
SERVED = 0.1


def play(scene: Scene, *, tls: bool = False, mapping: str = "") -> None:
    """Let them ask, and serve others meanwhile."""
    count = int(scene.either(200, 100))
    servers = scene.servers(kind=StreamServer)
    site = scene.site() if tls else None
    usual = scene.usual(servers=servers, site=site, mapping=mapping)
    with scene.traffic(usual.address) as traffic:
        time.sleep(1.0)
        traffic.stop()
    empty = memory(usual.gateway)
    with Crowd("deaf", usual.address, count, path=f"/bytes?n={ANSWER}") as crowd:
        time.sleep(3.0)
        with scene.traffic(usual.address) as traffic:
            time.sleep(scene.either(20.0, 5.0))
            outcome = traffic.stop()
        full = memory(usual.gateway)
        clients = crowd.stop()
    report = scene.report
    stayed = sum(each.what == "open" for each in clients)
    report.count(count, count - stayed)
    report.at_most("clients lost", count - stayed, 0)
    report.at_most(
        "memory of each",
        (full - empty) / 1024 / count,
        EACH_TLS if tls else EACH,
        "KiB",
    )
    report.at_most("p99 of others", 1000 * p99(outcome), 1000 * SERVED, "ms")
    require_faultless(report, outcome)


ROWS = (
    Row("deaf-clients", "clients that never read ask for 50 MB each", play),
    Row(
        "deaf-clients-tls",
        "clients that never read ask for 50 MB each; TLS",
        partial(play, tls=True),
    ),
    Row(
        "http-deaf",
        "clients that never read ask for 50 MB each; HTTP mode",
        partial(play, mapping=",mode=http"),
        only_full=True,
    ),
)
