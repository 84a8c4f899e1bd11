"""A master with workers that are real processes; what Consul says, the test says."""

import os
import random
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from attrs import evolve
from twisted.application.service import IService
from twisted.logger import capturedLogs, formatEvent
from zope.interface.verify import verifyObject

from lbconsul.balance.registry import Registry
from lbconsul.config.model import Drain, Limits, Mapping, TCPListen
from lbconsul.errors import CannotListen
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.workers import restart_backoff, spawn
from lbconsul.workers import supervisor as module
from lbconsul.workers import worker_process as member
from lbconsul.workers.messages import Report
from lbconsul.workers.slots import Slots
from lbconsul.workers.supervisor import Supervisor
from lbconsul.workers.versioned_catalog import VersionedCatalog
from lbconsul.workers.worker_process import WorkerProcess
from tests.support.loopback import accept, connect, listening, reset
from tests.support.ports import free_ports
from tests.support.running_proxy import ReactorThread, eventually
from tests.support.upstreams import WEB, instance
from tests.support.workers import is_alive, resident

pytestmark = pytest.mark.process

MAPPING = Mapping("web", TCPListen("127.0.0.1", 0))


class Running:
    """Workers in a reactor of their own."""

    def __init__(self, running: ReactorThread, count: int, *mappings: Mapping) -> None:
        self.running = running
        self.workers = running.call(Supervisor, running.reactor, count, False)
        self.registry = Registry(
            random.Random(1).random, self.workers.counter, self.workers.changed
        )
        self.sockets = [OwnedSocket(each) for each in mappings]
        for each in self.sockets:
            self.workers.serve(each)

    def start(self) -> None:
        """Start them."""
        self.running.call(self.workers.privilegedStartService)
        self.running.call(self.workers.startService)

    def stop(self) -> None:
        """Stop them, and wait until they are gone."""
        if self.workers.running:
            self.running.outcome(self.workers.stopService)

    def replace(self, *instances: Any) -> None:
        """Let Consul say that these are the instances of web."""
        self.running.call(self.registry.replace, WEB.question, instances)

    def members(self) -> dict[int, WorkerProcess]:
        """The workers that there are."""
        return dict(self.workers._members)

    def wait_until_all_know(self) -> None:
        """Return once they all serve, and have heard what was said last."""
        version = self.workers._catalog.version
        eventually(
            lambda: all(
                each.report.level >= version and each.report.serves
                for each in self.members().values()
            ),
            "all know",
        )

    @property
    def address(self) -> Any:
        """Where the first mapping listens."""
        return self.sockets[0].open().getsockname()


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Closes at the end of a test what it put into it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def start(held: ExitStack) -> Any:
    """Starts workers, which end with the test."""
    running = held.enter_context(ReactorThread())

    def begin(count: int, *mappings: Mapping) -> Running:
        started = Running(running, count, *mappings)
        held.callback(started.stop)
        started.start()
        return started

    return begin


def of(server: socket.socket, name: str = "a", weight: int = 1) -> Any:
    """The instance that listens on a socket."""
    return instance(name, server.getsockname()[1], weight=weight)


def lines(events: Sequence[Any]) -> list[str]:
    """Lines of log."""
    return [formatEvent(event) for event in events]


def test_interface() -> None:
    """It is a service."""
    with ReactorThread() as running:
        assert verifyObject(IService, Supervisor(running.reactor, 2, True))


def test_bound_early(held: ExitStack) -> None:
    """Its sockets can be opened before the start, and given back without one."""
    taken = held.enter_context(listening())
    [free] = free_ports(1)
    with ReactorThread() as running:
        busy = TCPListen(*taken.getsockname())
        mappings = [
            Mapping("web", each) for each in (TCPListen("127.0.0.1", free), busy)
        ]
        workers = Running(running, 2, *mappings).workers
        assert workers.mappings == mappings
        with pytest.raises(CannotListen):
            workers.bind()
        workers.close()
    with pytest.raises(ConnectionRefusedError):
        connect(("127.0.0.1", free))


def test_serves(start: Any, held: ExitStack) -> None:
    """Workers serve what the master knows, each for its part."""
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    started.replace(of(server))
    clients = [held.enter_context(connect(started.address)) for _ in range(10)]
    upstreams = [held.enter_context(accept(server)) for _ in clients]
    assert len(upstreams) == 10
    load = started.running.call(started.workers.counter.load, of(server).identity)
    eventually(lambda: started.running.call(_open, started, load) == 10, "ten are open")
    address = started.address
    workers = started.workers
    started.stop()
    assert (workers.accepted, workers.closed, workers.leases) == (10, 10, 0)
    assert all(each.recv(1) == b"" for each in clients)
    with pytest.raises(ConnectionRefusedError):
        connect(address)


def _open(started: Running, load: Any) -> int:
    started.workers.counter.sync()
    return int(load.open)


def test_again(start: Any, held: ExitStack) -> None:
    """It can be started again, and knows what it knew."""
    server = held.enter_context(listening())
    [port] = free_ports(1)
    started = start(2, Mapping("web", TCPListen("127.0.0.1", port)))
    started.replace(of(server))
    started.stop()
    started.start()
    with connect(("127.0.0.1", port)), accept(server):
        pass


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


def test_many(start: Any, held: ExitStack) -> None:
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
    assert started.members()[1].report.level == 1


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
    server.settimeout(5)
    for each in (clients[0], upstreams[0], clients[1], upstreams[1]):
        each.close()
    for _ in range(2):
        held.enter_context(accept(server))


def test_who_does_not_read(start: Any, held: ExitStack) -> None:
    """A worker that hangs costs no memory, and hears how it is when it goes on."""
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    frozen = started.members()[1].pid
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


def test_a_death(start: Any, held: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies is replaced, and it is told in the log."""
    monkeypatch.setattr(restart_backoff, "LIVED", float("inf"))
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    old = started.members()[2].pid
    with capturedLogs() as events:
        os.kill(old, signal.SIGKILL)
        eventually(
            lambda: (new := started.members().get(2)) is not None and new.pid != old,
            "another one came",
        )
        started.wait_until_all_know()
    new = started.members()[2].pid
    assert [line for line in lines(events) if "worker 2" in line] == [
        f"worker 2 (process {old}) died: signal 9; 0 connections were open; another"
        " one starts in 0.5 s",
        f"worker 2 (process {new}) serves",
    ]
    with connect(started.address), accept(server):
        pass


def kill_all(started: Running) -> None:
    """Kill all workers, and wait until there are others."""
    old = {each.pid for each in started.members().values() if each.pid}
    for pid in old:
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def others() -> bool:
        members = started.members().values()
        return len(members) == len(old) and not old & {each.pid for each in members}

    eventually(others, "others came")


def test_figures(start: Any, held: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """What connections came to is known over all workers, dead ones among them."""
    monkeypatch.setattr(module, "RECOUNT_EVERY", 0.1)
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    mapping = started.sockets[0].mapping

    def told() -> Any:
        return started.running.call(started.workers.traffic, mapping)

    pairs = []
    for _ in range(10):
        client = held.enter_context(connect(started.address))
        pairs.append((client, held.enter_context(accept(server))))
        client.sendall(b"question")
    eventually(lambda: told().figures.received == 80, "all of it is known")
    assert told().figures.accepted == 10
    for client, upstream in pairs[:2]:
        assert upstream.recv(8) == b"question"
        client.close()
        upstream.close()
    eventually(lambda: told().figures.endings == {"--": 2}, "two are over")
    kill_all(started)
    assert told().figures.endings == {"--": 2, "KW": 8}
    assert (told().figures.received, told().figures.sent) == (80, 0)
    assert started.workers.accepted_by_now == 10
    nowhere = Mapping("web", TCPListen("127.0.0.1", 1))
    assert started.running.call(started.workers.traffic, nowhere).figures.accepted == 0
    started.running.call(lambda: started.workers.replace([], connection_log=False))
    eventually(lambda: not started.workers._past, "what is not served is forgotten")


def test_stopped_at_once(start: Any, held: ExitStack) -> None:
    """What is open when workers are stopped did not die with them."""
    server = held.enter_context(listening())
    started = start(1, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    mapping = started.sockets[0].mapping
    held.enter_context(connect(started.address))
    held.enter_context(accept(server))

    def told() -> Any:
        return started.running.call(started.workers.traffic, mapping)

    eventually(lambda: told().figures.accepted == 1, "it is known")
    started.running.outcome(started.workers.stopService)
    assert told().figures.endings == {"KH": 1}


def test_by_hand(start: Any, held: ExitStack) -> None:
    """An operator's orders hold in all workers, and in those that come later."""
    servers = [held.enter_context(listening()) for _ in range(3)]
    started = start(2, MAPPING)
    many = [of(server, name) for server, name in zip(servers, "abc", strict=True)]
    started.replace(*many)
    a, b, _ = (each.identity for each in many)

    def ejected() -> set[Any]:
        told = started.running.call(started.workers.traffic, MAPPING)
        return {identity for _, identity in told.ejected}

    def eject() -> str:
        said: list[str] = []
        asked = started.running.call(started.workers.eject, b)
        started.running.call(asked.addCallback, said.append)
        eventually(lambda: bool(said), "workers have answered")
        return said[0]

    started.wait_until_all_know()
    assert eject() == ""
    assert ejected() == {b}
    assert eject().startswith("it is ejected 0 s ago: by hand")
    started.running.call(started.workers.set_drained, {a: 1, b: 0})
    eventually(lambda: ejected() == set(), "a draining upstream is not ejected")
    kill_all(started)
    started.wait_until_all_know()
    for _ in range(6):
        with connect(started.address), accept(servers[2]):
            pass


def test_other_code(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that finds other code than its master has says so, and is of no use."""
    monkeypatch.setattr(spawn, "code_digest", lambda: "an older one")
    with capturedLogs() as events:
        started = start(1, MAPPING)
        eventually(lambda: len(events) >= 2, "it has died")
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
        started = Running(running, 1, Mapping("web", TCPListen("127.0.0.1", port)))
        with pytest.raises(RuntimeError):
            started.start()
        connect(("127.0.0.1", port)).close()
        started.stop()
    with pytest.raises(ConnectionRefusedError):
        connect(("127.0.0.1", port))


def test_socket_lost(
    start: Any, monkeypatch: pytest.MonkeyPatch, held: ExitStack
) -> None:
    """If a listening socket is not to be had for a new worker, it is tried later."""
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
        os.kill(started.members()[1].pid, signal.SIGKILL)
        with connect(address), accept(server):
            pass
    [told] = [line for line in lines(events) if "could not" in line]
    expected = "worker 1 could not be started: it is taken; once more in "
    assert told.startswith(expected)


def test_odd_report(
    start: Any, monkeypatch: pytest.MonkeyPatch, held: ExitStack
) -> None:
    """Were a report odd beyond all checks, all would be done as soon as it is not."""
    monkeypatch.setattr(module, "RECOUNT_EVERY", 0.05)
    server = held.enter_context(listening())
    started = start(1, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    worker = started.members()[1]
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        with capturedLogs() as events:
            odd: Any = "odd"
            worker.report = Report(odd)
            started.replace()
            eventually(lambda: len(events) > 2, "it is tried again")
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    slots, identity = started.workers._catalog.slots, of(server).identity
    eventually(lambda: slots.find(identity) is None, "it is done")
    started.running._observer.found.clear()


def test_ports_at_the_end(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The master gives its sockets back at once, be a worker as slow as it likes."""
    monkeypatch.setattr(module, "PATIENCE", 2.0)
    started = start(2, MAPPING)
    started.replace()
    started.wait_until_all_know()
    frozen = started.members()[1].pid
    os.kill(frozen, signal.SIGSTOP)
    ended = started.running.call(started.workers.stopService)
    assert started.sockets[0]._sock is None
    assert frozen == started.members()[1].pid
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
            started.registry.replace(WEB.question, heavier)
        ended = started.workers.stopService()
        started.registry.replace(WEB.question, many)
        return ended

    with capturedLogs() as events:
        started.running.outcome(stop_and_go_on)
    workers = started.workers
    assert client.recv(1) == b""
    assert (workers.accepted, workers.closed, workers.leases) == (1, 1, 0)
    assert lines(events) == []


def test_cannot_live(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that die at once are tried again ever more slowly; nothing else ends."""
    monkeypatch.setattr(spawn, "MODULE", "lbconsul.errors")  # it has nothing to do
    with capturedLogs() as events:
        started = start(1, MAPPING)
        eventually(lambda: len(events) >= 2, "two have died")
        started.stop()
    assert [line.partition("died: ")[2] for line in lines(events)[:2]] == [
        f"exit status 0; 0 connections were open; another one starts in {wait} s"
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

    monkeypatch.setattr(member, "spawn", spawn_later)
    server = held.enter_context(listening())
    with capturedLogs() as events:
        started = start(1, MAPPING)
        started.replace(of(server))
        with connect(started.address), accept(server):
            pass
    assert lines(events)[0] == (
        "worker 1 could not be started: Resource temporarily unavailable; once more"
        " in 0.5 s"
    )


def test_no_such_program(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that is not there is no more than a worker that dies."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with capturedLogs() as events:
        started = start(1, MAPPING)
        eventually(lambda: bool(events), "it is told")
        started.stop()
    assert "another one starts" in lines(events)[0] or "once more" in lines(events)[0]


def test_hanging_at_the_end(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does not end when it should is killed."""
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    started = start(2, MAPPING)
    started.replace()
    started.wait_until_all_know()
    frozen = started.members()[1].pid
    os.kill(frozen, signal.SIGSTOP)
    with capturedLogs() as events:
        started.stop()
    assert not is_alive(frozen)
    assert lines(events) == [f"worker 1 (process {frozen}) does not end, and is killed"]


def test_too_many_instances(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """If there are more instances than can be counted together, it is told once."""
    started = start(1, MAPPING)
    started.workers._catalog = VersionedCatalog(Slots(1))
    with capturedLogs() as events:
        for count in (1, 2, 3):
            started.replace(*(instance(str(number), 9) for number in range(count)))
    told = [line for line in lines(events) if "instances" in line]
    assert told == [
        "there are more than 65536 instances: each worker balances for itself over"
        " the further ones"
    ]


def test_slots_are_used_again(
    start: Any, monkeypatch: pytest.MonkeyPatch, held: ExitStack
) -> None:
    """The place of an instance that is gone is given to another one."""
    monkeypatch.setattr(module, "RECOUNT_EVERY", 0.1)
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    slots = started.workers._catalog.slots
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


def test_replace(start: Any, held: ExitStack) -> None:
    """Workers serve what is added, and no longer what is removed; others live on."""
    server = held.enter_context(listening())
    started = start(2, MAPPING, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    stays, gone = started.sockets
    client = held.enter_context(connect(gone.open().getsockname()))
    upstream = held.enter_context(accept(server))
    address = gone.open().getsockname()
    new = OwnedSocket(MAPPING)
    new.open()
    started.running.call(started.workers.replace, [stays, new], connection_log=True)
    assert started.workers.mappings == [MAPPING, MAPPING]
    for each in (stays, new):
        with connect(each.open().getsockname()), accept(server):
            pass
    eventually(lambda: _refuses(address), "nobody listens")
    client.sendall(b"hello")
    assert upstream.recv(5) == b"hello"
    old = {number: each.pid for number, each in started.members().items()}
    os.kill(old[1], signal.SIGKILL)
    eventually(lambda: _pid(started, 1) not in (None, old[1]), "another one came")
    started.wait_until_all_know()
    for _ in range(10):
        with connect(new.open().getsockname()), accept(server):
            pass


def _pid(started: Running, number: int) -> int | None:
    member = started.members().get(number)
    return member.pid if member else None


def _refuses(address: Any) -> bool:
    try:
        reset(connect(address))
    except ConnectionRefusedError:
        return True
    return False


def test_forget(start: Any, held: ExitStack) -> None:
    """What nobody asks any more no worker knows, nor is there a place to count it."""
    server = held.enter_context(listening())
    started = start(2, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    running, workers = started.running, started.workers
    running.call(workers.forget, WEB.question)
    running.call(workers.forget, WEB.question)
    started.wait_until_all_know()
    assert workers._catalog.questions() == []
    running.call(workers._recount)
    assert workers._catalog.slots.find(of(server).identity) is None


def test_drain(start: Any, held: ExitStack) -> None:
    """Workers let what is open end, and end then; nobody takes their place."""
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
        started.running.call(lambda: started.workers.drain().addCallback(over.append))
        eventually(lambda: _refuses(address), "nobody listens")
        eventually(lambda: started.workers.open == 2, "who was let in before is gone")
        for client, upstream in pairs:
            assert over == []
            client.sendall(b"hello")
            assert upstream.recv(5) == b"hello"
            client.close()
            upstream.close()
        eventually(lambda: over == [None], "it is over")
    assert lines(events) == []
    assert started.members() == {}
    started.stop()
    workers = started.workers
    assert (workers.accepted, workers.closed, workers.leases) == (2, 0, 0)


def test_death_meanwhile(start: Any, held: ExitStack) -> None:
    """One that dies while it drains is told of, and not replaced."""
    server = held.enter_context(listening())
    started = start(1, MAPPING)
    started.replace(of(server))
    started.wait_until_all_know()
    held.enter_context(connect(started.address))
    held.enter_context(accept(server))
    pid = started.members()[1].pid
    over: list[object] = []
    with capturedLogs() as events:
        started.running.call(lambda: started.workers.drain().addCallback(over.append))
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: over == [None], "it is over")
    assert started.members() == {}
    [line] = lines(events)
    assert line.startswith(f"worker 1 (process {pid}) died: signal 9; ")


def test_hanging_while_it_drains(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs is killed after the longest drain timeout and some more."""
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    started = start(2, evolve(MAPPING, drain=Drain(timeout=0.5)))
    started.replace()
    started.wait_until_all_know()
    frozen = started.members()[1].pid
    os.kill(frozen, signal.SIGSTOP)
    begun = time.monotonic()
    with capturedLogs() as events:
        started.running.outcome(started.workers.drain)
    assert time.monotonic() - begun > 0.5
    assert not is_alive(frozen)
    assert lines(events)[0] == (
        f"worker 1 (process {frozen}) does not end, and is killed"
    )
