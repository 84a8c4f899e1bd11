"""Everything changes, one thing after the other, while clients ask on."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.end_to_end.fleet import Fleet, Kill
from tests.end_to_end.stage import Stage
from tests.support.load import Load, Outcome, Request
from tests.support.ports import free_ports
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul

#: How many changes; so far apart at most, in seconds.
CHANGES = 60
PAUSE = 0.25

#: Where chance begins: the same changes in each run, though not at the same time.
SEED = 1887

CLIENTS = 4

#: On a connection that is kept a request may be sent in the moment in which its
#: server dies; the client hears of that death a little later.  In seconds.
NEWS = 0.5


#: Servers that are in at first.
FIRST = 4


@pytest.fixture
def seven() -> Iterator[list[WebServer]]:
    """Seven web servers, none of them started."""
    with ExitStack() as stack:
        servers = [WebServer(f"server-{number}") for number in range(7)]
        for each in servers:
            stack.push(each)
        yield servers


def test_long_run(stage: Stage, seven: list[WebServer]) -> None:
    """
    Servers come, go, drain, die and return, and no client notices. A leaving one is
    deregistered first and ends when it is idle. Only requests in progress at a server
    that is killed may be lost.
    """
    (port,) = free_ports(1)
    fleet = Fleet(stage.service, seven, stage.registrar, random.Random(SEED))
    print(f"seed {SEED}")
    fleet.begin(FIRST)
    started = stage.gateway("--map", f"{port}:{stage.service}")
    with Load(port, CLIENTS, 0.01) as new, Load(port, CLIENTS, keep_alive=True) as kept:
        for _ in range(CHANGES):
            fleet.change()
            time.sleep(fleet.chance.uniform(0.0, PAUSE))
        outcomes = []
        for load in (new, kept):
            load.more(10 * CHANGES)
            outcomes.append(load.stop())
    counts = [(len(each), len(each.failed())) for each in outcomes]
    print(f"{fleet.changes}; of (requests, lost to kills): {counts}")
    for outcome in outcomes:
        assert outcome.wrong() == []
        assert _unexcused(outcome, fleet) == []
        assert len(outcome.failed()) <= CLIENTS * len(fleet.kills)
        assert len(outcome.servers()) > FIRST  # those that joined got connections
    assert set(fleet.changes) == Fleet.CHANGES
    stopped = started.stop()
    assert stopped.leases == 0
    assert stopped.accepted >= len(outcomes[0])


def _unexcused(outcome: Outcome, fleet: Fleet) -> list[Request]:
    """The failed requests that were not under way to a server when it was killed."""
    return [
        each
        for each in outcome.failed()
        if not any(_was_lost_to(kill, each) for kill in fleet.kills)
    ]


def _was_lost_to(kill: Kill, request: Request) -> bool:
    if request.over < kill.begun:
        return False
    if request.fresh:
        return request.begun < kill.gone
    return request.server == kill.server and request.begun < kill.gone + NEWS
