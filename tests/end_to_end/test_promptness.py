"""How soon a deregistered instance gets no more connections."""

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.registrar import Registrar
from tests.end_to_end.visits import visit
from tests.support.gateway import StartGateway
from tests.support.load import Load, Outcome
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul

#: Of each kind.
DEREGISTRATIONS = 10

#: How long to watch for late connections after each, in seconds: longer than
#: `GENEROUS`, so that a deregistration that is not obeyed shows.
WATCHED = 0.6

#: No test fails by a machine that is busy: the bound of the median, in seconds.
GENEROUS = 0.5

#: Clients and their pause, in seconds: together a new connection every 2 ms.
CLIENTS, PAUSE = 4, 0.006


def test_promptness(
    registrar: Registrar, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """A deregistered instance's last new connection comes within the blink of an eye.

    Measured from the moment at which Consul's answer to the deregistration is
    here to the end of the last request which that instance answered.  From the
    agent it is the way of Consul's users, where Consul answers before it tells
    its own catalog; from the catalog it is there by the time of the answer.
    """
    (port,) = free_ports(1)
    anna, bert = servers[:2]
    registrar.add(service, anna)
    gateway("--connection-log=off", f"--map={port}:{service}")

    def by_agent() -> None:
        registrar.remove(f"{service}-bert")

    def by_catalog() -> None:
        registrar.remove_node("far-away")

    gone: dict[str, list[float]] = {"agent": [], "catalog": []}
    with Load(port, CLIENTS, PAUSE) as load:
        for _ in range(DEREGISTRATIONS):
            registrar.add(service, bert)
            gone["agent"].append(_leave(port, by_agent))
            registrar.add_elsewhere("far-away", service, bert)
            gone["catalog"].append(_leave(port, by_catalog))
        outcome = load.stop()
    assert outcome.failed() == outcome.wrong() == []
    lags = {kind: _lags(outcome, moments) for kind, moments in gone.items()}
    _show(lags, len(outcome))
    for lag in lags.values():
        assert len(lag) == DEREGISTRATIONS
        assert statistics.median(lag) < GENEROUS, lag


def _leave(port: int, deregister: Callable[[], None]) -> float:
    """Let bert get connections, take it out, and say when that was done."""
    eventually(lambda: visit(port) == "bert", "bert gets connections")
    time.sleep(0.05)
    deregister()
    moment = time.monotonic()
    time.sleep(WATCHED)
    return moment


def _lags(outcome: Outcome, moments: list[float]) -> list[float]:
    """How long after each moment bert's last answer came; below 0: before it."""
    over = [each.over for each in outcome if each.server == "bert"]
    return [
        max(each for each in over if each < moment + WATCHED) - moment
        for moment in moments
    ]


def _show(lags: dict[str, list[float]], requests: int) -> None:
    figures = {
        kind: {
            "deregistrations": len(lag),
            "median_ms": round(statistics.median(lag) * 1000, 1),
            "max_ms": round(max(lag) * 1000, 1),
        }
        for kind, lag in lags.items()
    }
    print(f"\nlast new connection after a deregistration: {figures}, {requests} in all")
    directory = os.environ.get("LBCONSUL_FIGURES")
    if directory:
        text = json.dumps(figures, indent=2) + "\n"
        (Path(directory) / "deregistration.json").write_text(text)
