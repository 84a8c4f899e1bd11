"""Connections that the gateway closes: draining, too old, or too many."""

import threading
import time

import pytest

from tests.end_to_end.registrar import TOLD
from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import eventually_shared, held, visit
from tests.support.load import Visitor
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.consul


def _live(connections: list[tuple[str, Visitor]]) -> list[str]:
    """The servers of those that are still open."""
    return [name for name, visitor in connections if visitor.has_connection()]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_deregistered_instance_drains(stage: Stage, workers: int) -> None:
    """
    A deregistered instance keeps its connections for the drain timeout, and not longer.
    """
    (port,) = free_ports(1)
    for server in stage.servers[:2]:
        stage.add(server)
    mapping = f"{port}:{stage.service},policy=roundrobin,drain-timeout=3s"
    started = stage.gateway("--workers", str(workers), "--map", mapping)
    with held(port, 12) as connections:
        stage.registrar.maintain(f"{stage.service}-bert", True)
        began = time.monotonic()
        before = len(_live(connections))
        time.sleep(1)
        assert len(_live(connections)) == before == 12
        eventually(lambda: "bert" not in _live(connections), "bert's are closed")
        assert time.monotonic() - began > 2.5
        assert "anna" in _live(connections)
    started.wait_for(rf"{stage.service}-bert@.* KI")


@pytest.mark.parametrize("workers", [1, 2])
def test_close_on_critical(stage: Stage, workers: int) -> None:
    """A primary that turns critical loses its clients at once, and gets no new ones."""
    (port,) = free_ports(1)
    service_id = stage.add(stage.servers[0], Check=TOLD)
    mapping = f"{port}:{stage.service},close-on-critical=on,drain-timeout=10m"
    stage.gateway("--workers", str(workers), "--map", mapping)
    with held(port, 6) as connections:
        stage.registrar.check(service_id, "fail")
        eventually(lambda: not _live(connections), "they are closed")
        stage.add(stage.servers[1])
        eventually_shared(port, {"bert": 4})


def test_max_age(stage: Stage) -> None:
    """A connection that is old enough is closed; the client just connects again."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    started = stage.gateway("--map", f"{port}:{stage.service},max-age=2s")
    began = time.monotonic()
    with held(port, 4) as connections:
        time.sleep(1)
        assert len(_live(connections)) == 4
        eventually(lambda: not _live(connections), "they are closed")
        assert time.monotonic() - began > 1.7
    started.wait_for(rf"{stage.service}-anna@.* KA")


@pytest.mark.parametrize("workers", [1, 2])
def test_limit_and_queue(stage: Stage, workers: int) -> None:
    """
    A client that finds every instance full waits for a place, and gets the next one.
    """
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    limits = "max-connections-per-upstream=3,queue-timeout=20s"
    started = stage.gateway(
        "--workers", str(workers), "--map", f"{port}:{stage.service},{limits}"
    )
    answers: list[str] = []
    with held(port, 3) as connections:
        thread = threading.Thread(target=lambda: answers.append(visit(port)))
        thread.start()
        time.sleep(1)
        assert not answers
        connections[0][1].leave()
        thread.join(PATIENCE)
        assert answers == ["anna"]
    started.wait_for(rf"{stage.service}-anna@.* --")


def test_queue_that_is_full_or_too_slow(stage: Stage) -> None:
    """
    A client that waits too long is closed, and one that finds the queue full at once.
    """
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    limits = "max-connections-per-upstream=1,queue-length=1,queue-timeout=1s"
    started = stage.gateway("--map", f"{port}:{stage.service},{limits}")
    with held(port, 1):
        errors: list[OSError] = []

        def fail() -> None:
            try:
                visit(port)
            except OSError as error:
                errors.append(error)

        threads = [threading.Thread(target=fail) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(errors) == 2
    started.wait_for(rf"{port}:{stage.service} - .* SQ")
    started.wait_for(rf"{port}:{stage.service} - .* sQ")
