"""Instances come, go and move while clients are connected."""

import time
from collections.abc import Callable

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import (
    eventually_shared,
    held,
    is_closed_at_once,
    name_in,
    visit,
    visits,
)
from tests.support.load import Load
from tests.support.ports import free_ports
from tests.support.waiting import eventually

pytestmark = pytest.mark.consul

#: Clients and their pause, in seconds: together a new connection every 2 ms.
CLIENTS, PAUSE = 4, 0.006


def test_deregistration(stage: Stage) -> None:
    """From the moment at which a gateway tells that an instance was deregistered, at
    its agent or in the catalog, no new connection goes there; the old ones stay, and
    no client is lost on the way.
    """
    (port,) = free_ports(1)
    anna, bert = stage.servers[:2]
    stage.add(anna)
    started = stage.gateway("--map", f"{port}:{stage.service},policy=roundrobin")
    #: When bert was out.
    out: list[tuple[float, float]] = []

    def leaves(deregister: Callable[[], None]) -> None:
        eventually(lambda: visit(port) == "bert", "bert gets connections")
        with held(port, 16) as connections:  # the load takes turns between them
            deregister()
            left = rf"{stage.service}: 1 left \("
            eventually(lambda: len(started.find(left)) > len(out), "that is told")
            begun = time.monotonic()
            assert visits(port, 20) == {"anna": 20}
            out.append((begun, time.monotonic()))
            assert name_in(dict(connections)["bert"].ask()) == "bert"

    with Load(port, CLIENTS, PAUSE) as load:
        for _ in range(3):
            stage.add(bert)
            leaves(lambda: stage.registrar.remove(f"{stage.service}-bert"))
            stage.registrar.add_elsewhere("far-away", stage.service, bert)
            leaves(lambda: stage.registrar.remove_node("far-away"))
        outcome = load.stop()
    assert outcome.failed() == outcome.wrong() == []
    meanwhile = [
        each for begun, end in out for each in outcome.begun_after(begun)
        if each.begun < end
    ]  # fmt: skip
    assert {each.server for each in meanwhile} == {"anna"}


def test_deregistration_of_all(stage: Stage) -> None:
    """
    Without any instance clients are closed at once, until there is one again; that
    begins once the loss of the last one is confirmed.
    """
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    stage.gateway("--map", f"{port}:{stage.service},policy=roundrobin,shrink-hold=1s")
    assert visits(port, 2) == {"anna": 2}
    stage.registrar.remove(f"{stage.service}-anna")
    eventually(lambda: is_closed_at_once(port), "clients are closed")
    stage.add(stage.servers[1])
    eventually_shared(port, {"bert": 2})
