"""How worker processes start, die, are replaced and end."""

import os
import signal
import socket
import sys
import time
from contextlib import ExitStack
from typing import Any

import pytest
from attrs import evolve
from twisted.logger import capturedLogs

from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Drain, Mapping
from lbconsul.errors import CannotListen
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.workers import restart_backoff, spawn, worker_process
from lbconsul.workers import supervisor as module
from lbconsul.workers.supervisor import Supervisor
from tests.support.loopback import accept, connect, listening
from tests.support.ports import free_ports
from tests.support.running_proxy import ReactorThread
from tests.support.running_workers import (
    MAPPING,
    RunningWorkers,
    lines,
    of,
    refuses,
)
from tests.support.upstreams import WEB, instance
from tests.support.waiting import eventually
from tests.support.workers import is_alive

pytestmark = pytest.mark.process


def test_start_again(start: Any, held: ExitStack) -> None:
    """The supervisor can be started again, and keeps its catalog."""
    server = held.enter_context(listening())
    [port] = free_ports(1)
    started = start(2, Mapping("web", TCPListen("127.0.0.1", port)))
    started.replace(of(server))
    started.stop()
    started.start()
    with connect(("127.0.0.1", port)), accept(server):
        pass


def test_a_death(start: Any, held: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies is replaced, and the log says so."""
    monkeypatch.setattr(restart_backoff, "LIVED", float("inf"))
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    old = started.workers()[2].pid
    with capturedLogs() as events:
        os.kill(old, signal.SIGKILL)
        eventually(
            lambda: (new := started.workers().get(2)) is not None and new.pid != old,
            "another one came",
        )
        started.wait_until_all_know()
    new = started.workers()[2].pid
    assert [line for line in lines(events) if "worker 2" in line] == [
        f"worker 2 (process {old}) died: signal 9; 0 connections were open; restart in"
        " 0.5 s",
        f"worker 2 (process {new}) serves",
    ]
    with connect(started.address), accept(server):
        pass


def test_other_code(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that finds other code than its master has says so, and is of no use."""
    monkeypatch.setattr(spawn, "code_digest", lambda: "an older one")
    with capturedLogs() as events:
        started = start(1, MAPPING)
        eventually(lambda: len(lines(events)) >= 2, "it has died")
        started.stop()
    first, second, *_ = lines(events)
    assert first.startswith("worker 1 (process ")
    assert first.endswith(
        "): the code was changed since the gateway started: restart it"
    )
    assert "died: exit status 1; " in second


def test_half_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that goes wrong half way can be followed by a stop."""

    def fail(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Supervisor, "_start", fail)
    [port] = free_ports(1)
    with ReactorThread() as running:
        started = RunningWorkers(
            running, 1, Mapping("web", TCPListen("127.0.0.1", port))
        )
        with pytest.raises(RuntimeError):
            started.start()
        connect(("127.0.0.1", port)).close()
        started.stop()
    with pytest.raises(ConnectionRefusedError):
        connect(("127.0.0.1", port))


def test_socket_lost(
    start: Any, monkeypatch: pytest.MonkeyPatch, held: ExitStack
) -> None:
    """
    If a listening socket cannot be opened for a new worker, its start is tried later.
    """
    really = OwnedSocket.open
    failures = [CannotListen("it is taken")]

    def open_later(self: OwnedSocket) -> socket.socket:
        if failures:
            raise failures.pop()
        return really(self)

    server = held.enter_context(listening())
    started = start(1, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    address = started.address
    with capturedLogs() as events:
        monkeypatch.setattr(OwnedSocket, "open", open_later)
        os.kill(started.workers()[1].pid, signal.SIGKILL)
        with connect(address), accept(server):
            pass
    [told] = [line for line in lines(events) if "could not" in line]
    expected = "worker 1 could not be started: it is taken; next try in "
    assert told.startswith(expected)


def test_ports_at_the_end(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The master gives its sockets back at once, be a worker as slow as it likes."""
    monkeypatch.setattr(module, "PATIENCE", 2.0)
    started = start(2, MAPPING)
    started.replace()
    started.wait_until_all_know()
    frozen = started.workers()[1].pid
    os.kill(frozen, signal.SIGSTOP)
    ended = started.running.call(started.data_plane.stopService)
    assert [each.sock for each in started.data_plane.sockets] == [None]
    assert frozen == started.workers()[1].pid
    done: list[object] = []
    started.running.call(ended.addCallback, done.append)
    eventually(lambda: done, "all have ended")


@pytest.mark.parametrize("size", [1, 2000])
def test_change_at_the_end(start: Any, held: ExitStack, size: int) -> None:
    """What Consul says while workers end is not for them; they end in order.

    So they do if it is much, and half of it is on its way.
    """
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    many = [instance(f"x-{number}", 9) for number in range(size)]
    started.replace(of(server))
    started.wait_until_all_know()
    client = held.enter_context(connect(started.address))
    held.enter_context(accept(server))

    def stop_and_go_on() -> Any:
        for weight in range(5 * (size > 1)):
            heavier = [evolve(each, passing_weight=weight) for each in many]
            started.registry.replace(WEB.query, heavier)
        ended = started.data_plane.stopService()
        started.registry.replace(WEB.query, many)
        return ended

    with capturedLogs() as events:
        started.running.outcome(stop_and_go_on)
    assert client.recv(1) == b""
    assert started.end() == (1, 1, 0)
    assert lines(events) == []


def test_cannot_live(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that die at once are tried again ever more slowly; nothing else ends."""
    monkeypatch.setattr(spawn, "MODULE", "lbconsul.errors")  # it has nothing to do
    with capturedLogs() as events:
        started = start(1, MAPPING)
        eventually(lambda: len(lines(events)) >= 2, "two have died")
        started.stop()
    assert [line.partition("died: ")[2] for line in lines(events)[:2]] == [
        f"exit status 0; 0 connections were open; restart in {wait} s"
        for wait in (0.5, 1.0)
    ]


def test_no_room(start: Any, monkeypatch: pytest.MonkeyPatch, held: ExitStack) -> None:
    """If the machine cannot start one it is tried again later."""
    failures = [OSError(11, "Resource temporarily unavailable")]
    really = spawn.spawn

    def spawn_later(*arguments: Any) -> Any:
        if failures:
            raise failures.pop()
        return really(*arguments)

    monkeypatch.setattr(worker_process, "spawn", spawn_later)
    server = held.enter_context(listening())
    with capturedLogs() as events:
        started = start(1, MAPPING)
        started.replace(of(server))
        with connect(started.address), accept(server):
            pass
    assert lines(events)[0] == (
        "worker 1 could not be started: Resource temporarily unavailable; next try in"
        " 0.5 s"
    )


def test_no_such_program(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that is not there is no more than a worker that dies."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with capturedLogs() as events:
        started = start(1, MAPPING)
        eventually(lambda: bool(lines(events)), "it is told")
        started.stop()
    assert "restart in" in lines(events)[0] or "next try in" in lines(events)[0]


def test_hanging_at_the_end(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does not end when it should is killed."""
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    started = start(2, MAPPING)
    started.replace()
    started.wait_until_all_know()
    frozen = started.workers()[1].pid
    os.kill(frozen, signal.SIGSTOP)
    with capturedLogs() as events:
        started.stop()
    assert not is_alive(frozen)
    assert lines(events) == [
        f"worker 1 (process {frozen}) did not exit in time: killed"
    ]


def test_draining_workers_are_not_replaced(start: Any, held: ExitStack) -> None:
    """Workers let open connections end, and end then; no worker takes their place."""
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    pairs = [
        (
            held.enter_context(connect(started.address)),
            held.enter_context(accept(server)),
        )
        for _ in range(2)
    ]
    address = started.address
    over: list[object] = []
    with capturedLogs() as events:
        started.running.call(
            lambda: started.data_plane.drain().addCallback(over.append)
        )
        eventually(lambda: refuses(address), "no process listens")
        eventually(
            lambda: started.data_plane.open == 2, "who was let in before is gone"
        )
        for client, upstream in pairs:
            assert over == []
            client.sendall(b"hello")
            assert upstream.recv(5) == b"hello"
            client.close()
            upstream.close()
        eventually(lambda: over == [None], "it is over")
    assert lines(events) == []
    assert started.workers() == {}
    assert started.end() == (2, 0, 0)


def test_death_meanwhile(start: Any, held: ExitStack) -> None:
    """A worker that dies while it drains is logged, and not replaced."""
    server = held.enter_context(listening())
    started = start(1, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    held.enter_context(connect(started.address))
    held.enter_context(accept(server))
    pid = started.workers()[1].pid
    over: list[object] = []
    with capturedLogs() as events:
        started.running.call(
            lambda: started.data_plane.drain().addCallback(over.append)
        )
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: over == [None], "it is over")
    assert started.workers() == {}
    [line] = lines(events)
    assert line.startswith(f"worker 1 (process {pid}) died: signal 9; ")


def test_hanging_while_it_drains(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that hangs is killed after the longest drain timeout and some more."""
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    started = start(2, evolve(MAPPING, drain=Drain(timeout=0.5)))
    started.replace()
    started.wait_until_all_know()
    frozen = started.workers()[1].pid
    os.kill(frozen, signal.SIGSTOP)
    begun = time.monotonic()
    with capturedLogs() as events:
        started.running.outcome(started.data_plane.drain)
    assert time.monotonic() - begun > 0.5
    assert not is_alive(frozen)
    assert lines(events)[0] == (
        f"worker 1 (process {frozen}) did not exit in time: killed"
    )
