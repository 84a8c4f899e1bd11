"""What is known of the connections of workers; they are real processes."""

from contextlib import ExitStack
from typing import Any

import pytest

from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping
from lbconsul.stats.history import Totals
from lbconsul.workers import data_plane
from tests.support.loopback import accept, connect, listening
from tests.support.running_workers import MAPPING, kill_all, of
from tests.support.waiting import eventually

pytestmark = pytest.mark.process


def test_ended_workers_count(
    start: Any, held: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statistics cover all workers, dead ones included."""
    monkeypatch.setattr(data_plane, "RECOUNT_EVERY", 0.1)
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()

    pairs = []
    for _ in range(10):
        client = held.enter_context(connect(started.address))
        pairs.append((client, held.enter_context(accept(server))))
        client.sendall(b"question")
    eventually(lambda: started.traffic().stats.received == 80, "all of it is known")
    assert started.traffic().stats.accepted == 10
    for client, upstream in pairs[:2]:
        assert upstream.recv(8) == b"question"
        client.close()
        upstream.close()
    eventually(lambda: started.traffic().stats.endings == {"--": 2}, "two are over")
    kill_all(started)
    assert started.traffic().stats.endings == {"--": 2, "KW": 8}
    assert (started.traffic().stats.received, started.traffic().stats.sent) == (
        80,
        0,
    )
    assert started.data_plane.accepted == 10
    totals = started.running.call(
        lambda: Totals.of(started.data_plane.stats_of(MAPPING))
    )
    assert (totals.accepted, totals.ended, totals.failed) == (10, 10, 8)
    assert totals.received == 80
    nowhere = Mapping("web", TCPListen("127.0.0.1", 1))
    assert started.traffic(nowhere).stats.accepted == 0
    started.running.call(lambda: list(started.data_plane.replacing([], [], False)))
    past = started.data_plane._stats._past
    eventually(lambda: not past, "what is not served is forgotten")


def test_stopped_at_once(start: Any, held: ExitStack) -> None:
    """Connections open when workers are stopped did not die with them."""
    server = held.enter_context(listening())
    started = start(1, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    held.enter_context(connect(started.address))
    held.enter_context(accept(server))

    eventually(lambda: started.traffic().stats.accepted == 1, "it is known")
    started.running.outcome(started.data_plane.stopService)
    assert started.traffic().stats.endings == {"KH": 1}
