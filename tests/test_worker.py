"""A worker process from within: the master's part plays the test."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent

from lbconsul import worker as module
from lbconsul.balance.instance import Instance
from lbconsul.config.model import Mapping, TCPListen
from lbconsul.worker import Worker
from lbconsul.workers.frames import Frames
from lbconsul.workers.lane import send_sockets
from lbconsul.workers.messages import (
    REPORT,
    Complete,
    Count,
    Order,
    Part,
    Place,
    Report,
    Serve,
    Setup,
    Stop,
    read_report,
    write_order,
)
from lbconsul.workers.spawn import environment
from lbconsul.workers.table import Table
from tests.support.binaries import REPOSITORY
from tests.support.loopback import accept, connect, listening
from tests.support.running_proxy import ReactorThread, eventually
from tests.support.upstreams import WEB, instance

MAPPING = Mapping("web", TCPListen("127.0.0.1", 0))


class Stream(StringTransport):
    """The worker's end of the stream to its master, who closes when it does."""

    protocol: Frames
    is_slow: bool = False

    def loseWriteConnection(self) -> None:  # noqa: N802
        if not self.is_slow:
            self.protocol.connectionLost()

    def loseConnection(self) -> None:  # noqa: N802
        super().loseConnection()
        self.protocol.connectionLost()


class Running:
    """A worker that runs in our own process."""

    def __init__(self, running: ReactorThread, table: Table) -> None:
        self.running = running
        self.stopped: list[str] = []
        #: The numbers of the sockets that the worker has.
        self.sent: set[int] = set()
        self.lane, theirs = socket.socketpair()
        self.worker: Worker = running.call(
            Worker, _Unstoppable(self), table.descriptor, theirs
        )
        self.stream = Stream()
        self.stream.protocol = self.worker.frames
        running.call(self.worker.frames.makeConnection, self.stream)

    def order(self, order: Order) -> None:
        """The master says so."""
        self.running.call(self.worker.ordered, write_order(order))

    def set_up(self, *servers: socket.socket, log: bool = False) -> None:
        """Begin, and serve web on these sockets."""
        self.order(Setup(1, 2))
        self.serve(dict(enumerate(servers)), log=log)

    def serve(
        self,
        servers: dict[int, socket.socket],
        mapping: Mapping = MAPPING,
        *,
        log: bool = False,
    ) -> None:
        """Serve a mapping on these sockets, by their numbers, and on no others."""
        sent = {number: each.fileno() for number, each in servers.items()}
        new = {number: sent[number] for number in sent.keys() - self.sent}
        self.sent = set(sent)
        for each in servers.values():
            each.setblocking(False)
        send_sockets(self.lane, new)
        places = tuple(Place(mapping, each) for each in sent)
        self.order(Serve(places, log, sent=len(new)))

    def reports(self) -> list[Report]:
        """All that it reported."""
        data, found = self.running.call(self.stream.value), []
        while data:
            end = 4 + int.from_bytes(data[:4], "big")
            if data[4:5] == REPORT:
                found.append(read_report(data[5:end]))
            data = data[end:]
        return found


class _Unstoppable:
    """The reactor, which the test itself stops."""

    def __init__(self, running: Running) -> None:
        self._running = running

    def stop(self) -> None:
        self._running.stopped.append("stop")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._running.running.reactor, name)


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Closes at the end of a test what it put into it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def table(held: ExitStack) -> Table:
    """The table of a master and one worker."""
    return Table.create(2)


@pytest.fixture
def running(held: ExitStack, table: Table) -> Iterator[Running]:
    """A worker."""
    with ReactorThread() as reactor:
        running = Running(reactor, table)
        yield running
        if not running.stopped:
            reactor.call(running.worker.frames.connectionLost)


def put(*instances: Instance, level: int = 1) -> Part:
    """The master says that these are the instances of web."""
    pairs = tuple((each, slot) for slot, each in enumerate(instances))
    return Part(WEB.question, pairs, whole=True, level=level)


def test_serves(running: Running, table: Table, held: ExitStack) -> None:
    """It accepts nobody before it knows all there is; then it serves and counts."""
    front, server = (held.enter_context(listening()) for _ in range(2))
    running.set_up(front, log=True)
    client = held.enter_context(connect(front.getsockname()))
    running.order(put(instance("a", server.getsockname()[1]), level=7))
    with pytest.raises(AssertionError):
        eventually(lambda: table.total(0), "somebody was accepted", 0.3)
    assert table.serving[1] == 0
    with capturedLogs() as events:
        running.order(Complete())
        upstream = held.enter_context(accept(server))
        assert (table.total(0), table.cells[1][0], table.serving[1]) == (1, 1, 1)
        client.sendall(b"hello")
        assert upstream.recv(5) == b"hello"
        running.order(Stop())
    assert client.recv(1) == b""
    assert table.total(0) == 0
    assert running.stopped == ["stop"]
    first, second, *_, last = running.reports()
    assert first == Report(7, Count(), 0)
    assert second == Report(7, Count(), 0, True)
    assert last == Report(7, Count(1, 1), 0, True)
    assert formatEvent(events[-1]).endswith(" KD")


def test_no_answer(running: Running, held: ExitStack) -> None:
    """Once it knows all there is it accepts, and closes whom it has nothing for."""
    front, server = (held.enter_context(listening()) for _ in range(2))
    running.set_up(front)
    running.order(Complete())
    with connect(front.getsockname()) as client:
        assert client.recv(1) == b""
    running.order(put(instance("a", server.getsockname()[1])))
    with connect(front.getsockname()), accept(server):
        pass
    assert running.reports()[0] == Report(0, Count(), 0, True)


@pytest.mark.parametrize("late", [put(level=2), Complete(), Setup(1, 2), Stop()])
def test_after_the_end(running: Running, held: ExitStack, late: Order) -> None:
    """Whatever the master still says once it was told to end does not count."""
    front = held.enter_context(listening())
    running.set_up(front)
    running.order(Complete())
    running.stream.is_slow = True
    running.order(Stop())
    said = running.running.call(running.stream.value)
    running.order(late)
    assert running.running.call(running.stream.value) == said
    assert (running.stopped, running.worker.status) == ([], 0)
    running.running.call(running.worker.frames.connectionLost)
    assert (running.stopped, running.worker.status) == (["stop"], 0)


@pytest.mark.parametrize("set_up", [True, False])
def test_nonsense(
    running: Running, capfd: pytest.CaptureFixture[str], *, set_up: bool
) -> None:
    """Orders that it cannot carry out are its end, for which it gives the reason."""
    if set_up:
        running.set_up()
    with capturedLogs() as events:
        running.running.call(running.worker.ordered, b"nonsense")
    assert (running.stopped, running.worker.status) == (["stop"], 1)
    assert "cannot do what it is told: UnpicklingError(" in capfd.readouterr().err
    assert formatEvent(events[0]) == (
        "a bug in lbconsul: a worker cannot do what it is told"
    )
    running.running._observer.found.clear()


def test_reports(
    running: Running, held: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reports now and then how many connections there are, if that is news."""
    monkeypatch.setattr(module, "REPORT_EVERY", 0.05)
    front, server = (held.enter_context(listening()) for _ in range(2))
    running.set_up(front)
    running.order(put(instance("a", server.getsockname()[1])))
    running.order(Complete())
    held.enter_context(connect(front.getsockname()))
    held.enter_context(accept(server))
    expected = Report(1, Count(1, 1), 1, True)
    eventually(lambda: expected in running.reports(), "it is reported")
    with pytest.raises(AssertionError):
        eventually(lambda: running.reports().count(expected) > 1, "once more", 0.3)


def test_in_parts(running: Running) -> None:
    """Of a change in parts it reports once all have come."""
    running.set_up()
    running.order(evolve(put(), last=False))
    running.order(put(level=2))
    assert [each.level for each in running.reports()] == [2]


def test_master_gone(running: Running, held: ExitStack) -> None:
    """When the master is gone it closes everything and ends."""
    front, server = (held.enter_context(listening()) for _ in range(2))
    running.set_up(front)
    running.order(put(instance("a", server.getsockname()[1])))
    running.order(Complete())
    client = held.enter_context(connect(front.getsockname()))
    held.enter_context(accept(server))
    running.running.call(running.worker.frames.connectionLost)
    assert client.recv(1) == b""
    assert running.stopped == ["stop"]


def test_master_gone_at_once(running: Running) -> None:
    """Also before it has said anything."""
    running.running.call(running.worker.frames.connectionLost)
    assert running.stopped == ["stop"]


def test_light() -> None:
    """A worker has no part of Consul's client in it, so that it starts quickly."""
    script = "import sys, lbconsul.worker; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env=environment({}, [str(REPOSITORY), *sys.path]),
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"treq", "twisted.web.client", "OpenSSL", "lbconsul.consul", "lbconsul.dev"}
    assert heavy & set(done.stdout.split()) == set()
