"""Mappings that real worker processes serve."""

import os
import signal
from contextlib import ExitStack
from typing import Any

import pytest
from attrs import evolve

from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Limits, Mapping
from lbconsul.steps import finish
from tests.support.loopback import accept, connect, listening
from tests.support.ports import free_ports
from tests.support.running_workers import (
    MAPPING,
    RunningWorkers,
    kill_all,
    of,
    refuses,
)
from tests.support.upstreams import WEB
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.process


def test_serves(start: Any, held: ExitStack) -> None:
    """Workers serve what the master knows, each for its part."""
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    started.replace(of(server))
    clients = [held.enter_context(connect(started.address)) for _ in range(10)]
    upstreams = [held.enter_context(accept(server)) for _ in clients]
    assert len(upstreams) == 10
    [upstream] = started.registry.pool(WEB).upstreams()

    def open_connections() -> int:
        started.traffic()
        return int(upstream.load.open)

    eventually(lambda: open_connections() == 10, "ten are open")
    address = started.address
    assert started.end() == (10, 10, 0)
    assert all(each.recv(1) == b"" for each in clients)
    with pytest.raises(ConnectionRefusedError):
        connect(address)


def test_nothing_known(start: Any, held: ExitStack) -> None:
    """While Consul has not answered clients are closed at once, as by one process."""
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    with connect(started.address) as client:
        assert client.recv(1) == b""
    started.wait_until_all_know()
    started.replace(of(server))
    started.wait_until_all_know()
    with connect(started.address), accept(server):
        pass


def test_limit(start: Any, held: ExitStack) -> None:
    """The limit of a mapping holds for all workers together, exactly."""
    server = held.enter_context(listening())
    started = start(4, evolve(MAPPING, limits=Limits(connections=2)))
    started.replace(of(server))
    started.wait_until_all_know()
    clients = [held.enter_context(connect(started.address)) for _ in range(5)]
    upstreams = [held.enter_context(accept(server)) for _ in range(2)]
    server.settimeout(0.5)
    with pytest.raises(TimeoutError):
        accept(server)
    server.settimeout(PATIENCE)
    for each in (clients[0], upstreams[0], clients[1], upstreams[1]):
        each.close()
    for _ in range(2):
        held.enter_context(accept(server))


def test_by_hand(start: Any, held: ExitStack) -> None:
    """An operator's orders hold in all workers, and in those that come later."""
    servers = [held.enter_context(listening()) for _ in range(3)]
    started = start(2, MAPPING)
    many = [of(server, name) for server, name in zip(servers, "abc", strict=True)]
    started.replace(*many)
    a, b, _ = (each.identity for each in many)

    def ejected() -> set[Any]:
        return {identity for _, identity in started.traffic().ejected}

    def eject() -> str:
        said: list[str] = []
        asked = started.running.call(started.data_plane.eject, b)
        started.running.call(asked.addCallback, said.append)
        eventually(lambda: bool(said), "workers have answered")
        return said[0]

    started.wait_until_all_know()
    assert eject() == ""
    assert ejected() == {b}
    assert eject().startswith("it is already ejected 0 s ago: by hand")
    started.running.call(started.data_plane.set_drained, {a: 1, b: 0})
    eventually(lambda: ejected() == set(), "a draining upstream is not ejected")
    kill_all(started)
    started.wait_until_all_know()
    for _ in range(6):
        with connect(started.address), accept(servers[2]):
            pass


def test_mappings_are_added_and_removed(start: Any, held: ExitStack) -> None:
    """Workers serve what is added, and no longer what is removed; others live on."""
    server = held.enter_context(listening())
    one, other, third = (
        Mapping("web", TCPListen("127.0.0.1", port)) for port in free_ports(3)
    )
    started = start(2, one, other)
    started.replace(of(server))
    started.wait_until_all_know()
    stays, gone = started.data_plane.sockets
    address = gone.open().getsockname()
    client = held.enter_context(connect(address))
    upstream = held.enter_context(accept(server))
    [new] = finish(started.data_plane.sockets.binding([third]))

    def replace() -> None:
        for _ in started.data_plane.replacing([one, third], [new], True):
            pass

    started.running.call(replace)
    assert started.data_plane.mappings == [one, third]
    for each in (stays, new):
        with connect(each.open().getsockname()), accept(server):
            pass
    eventually(lambda: refuses(address), "no process listens")
    client.sendall(b"hello")
    assert upstream.recv(5) == b"hello"
    old = {number: each.pid for number, each in started.workers().items()}
    os.kill(old[1], signal.SIGKILL)
    eventually(lambda: _pid(started, 1) not in (None, old[1]), "another one came")
    started.wait_until_all_know()
    for _ in range(10):
        with connect(new.open().getsockname()), accept(server):
            pass


def _pid(started: RunningWorkers, number: int) -> int | None:
    worker = started.workers().get(number)
    return worker.pid if worker else None
