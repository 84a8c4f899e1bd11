"""What workers know of Consul's answers; they are real processes."""

import os
import signal
import time
from contextlib import ExitStack
from typing import Any

import pytest
from twisted.logger import capturedLogs

from lbconsul.workers import data_plane
from lbconsul.workers.messages import Report
from lbconsul.workers.slots import Slots
from lbconsul.workers.versioned_catalog import VersionedCatalog
from tests.support.loopback import accept, connect, listening
from tests.support.running_workers import (
    MAPPING,
    lines,
    of,
)
from tests.support.upstreams import WEB, instance
from tests.support.waiting import eventually
from tests.support.workers import resident

pytestmark = pytest.mark.process


def test_ten_thousand_instances(start: Any, held: ExitStack) -> None:
    """Ten thousand instances reach each worker, to the last one."""
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    idle = [instance(f"idle-{number}", 9, weight=0) for number in range(9_999)]
    started.replace(*idle, of(server))
    started.wait_until_all_know()
    for _ in range(20):
        with connect(started.address), accept(server):
            pass
    started.replace(*idle[1:], of(server), of(server, "b"))
    started.wait_until_all_know()


def test_nothing_new(start: Any) -> None:
    """An answer that is as before is not passed on."""
    started = start(1, MAPPING)
    for _ in range(2):
        started.replace(instance("a", 9))
    started.wait_until_all_know()
    assert started.workers()[1].report.version == 1


def test_who_does_not_read(start: Any, held: ExitStack) -> None:
    """A worker that hangs costs no memory, and hears how it is when it goes on."""
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    frozen = started.workers()[1].pid
    os.kill(frozen, signal.SIGSTOP)
    try:
        before = resident(os.getpid())
        for weight in range(1, 41):  # some 40 MB, were they all kept
            many = [instance(f"x-{n}", 9, weight=weight) for n in range(2000)]
            started.replace(of(server), *many)
        started.replace(of(server))
        assert resident(os.getpid()) - before < 20_000_000
    finally:
        os.kill(frozen, signal.SIGCONT)
    started.wait_until_all_know()
    for _ in range(10):
        with connect(started.address), accept(server):
            pass


def test_too_many_instances(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If there are more instances than slots, the log says so once."""
    started = start(1, MAPPING)
    started.data_plane._publisher.catalog = VersionedCatalog(Slots(1))
    with capturedLogs() as events:
        for count in (1, 2, 3):
            started.replace(*(instance(str(number), 9) for number in range(count)))
    told = [line for line in lines(events) if "instances" in line]
    assert told == [
        "more than 65536 instances: for the others each worker counts only"
        " its own connections"
    ]


def test_slots_are_used_again(
    start: Any, monkeypatch: pytest.MonkeyPatch, held: ExitStack
) -> None:
    """The place of an instance that is gone is given to another one."""
    monkeypatch.setattr(data_plane, "RECOUNT_EVERY", 0.1)
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    slots = started.catalog.slots
    started.replace(of(server, "old"))
    client = held.enter_context(connect(started.address))
    upstream = held.enter_context(accept(server))
    started.replace()
    started.wait_until_all_know()
    time.sleep(0.3)
    assert slots.find(of(server, "old").identity) == 0
    client.close()
    upstream.close()
    eventually(lambda: slots.find(of(server, "old").identity) is None, "it is free")
    started.replace(of(server, "new"))
    assert slots.find(of(server, "new").identity) == 0


def test_forget(start: Any, held: ExitStack) -> None:
    """Workers forget a query that no mapping uses, and its slots are freed."""
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    running, workers = started.running, started.data_plane
    running.call(workers.forget, [WEB.query])
    running.call(workers.forget, [WEB.query])
    started.wait_until_all_know()
    assert started.catalog.queries() == []
    running.call(workers._recount)
    assert started.catalog.slots.find(of(server).identity) is None


def test_odd_report(
    start: Any, monkeypatch: pytest.MonkeyPatch, held: ExitStack
) -> None:
    """Were a report odd beyond all checks, all would be done as soon as it is not."""
    monkeypatch.setattr(data_plane, "RECOUNT_EVERY", 0.05)
    server = held.enter_context(listening())
    started = start(1, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    worker = started.workers()[1]
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        with capturedLogs() as events:
            odd: Any = "odd"
            worker.report = Report(odd)
            started.replace()
            eventually(lambda: len(events) > 2, "it is tried again")
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    slots, identity = started.catalog.slots, of(server).identity
    eventually(lambda: slots.find(identity) is None, "it is done")
    started.running._observer.found.clear()
