"""A worker process from within: the master's part plays the test."""

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent

from lbconsul.balance.instance import Instance
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import TLS, Mapping
from lbconsul.net.fd_passing import send_sockets
from lbconsul.proxy.targets import failover_spec
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.steps import finish
from lbconsul.tls.material import reading_certificates
from lbconsul.workers import reporter
from lbconsul.workers.channel import Channel
from lbconsul.workers.messages import (
    ANSWER,
    REPORT,
    TRAFFIC,
    Assignment,
    CatalogChunk,
    CertificatesChunk,
    Command,
    Count,
    Drain,
    Eject,
    KeepCertificates,
    Report,
    Serve,
    SetDrained,
    Setup,
    Stop,
    SyncComplete,
    read_answer,
    read_report,
    write_command,
)
from lbconsul.workers.shared_table import Table
from lbconsul.workers.spawn import environment
from lbconsul.workers.traffic_messages import apply_changes, read_traffic
from lbconsul.workers.worker import Worker
from tests.support.binaries import REPOSITORY
from tests.support.certificates import Authority, together
from tests.support.loopback import accept, connect, listening
from tests.support.running_proxy import ReactorThread
from tests.support.upstreams import WEB, instance
from tests.support.waiting import eventually

MAPPING = Mapping("web", TCPListen("127.0.0.1", 0))


class Stream(StringTransport):
    """
    The worker's end of the stream to its master, which closes when the worker does.
    """

    protocol: Channel
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
        self.fd_channel, theirs = socket.socketpair()
        self.worker: Worker = running.call(
            Worker, _Unstoppable(self), table.descriptor, theirs
        )
        self.stream = Stream()
        self.stream.protocol = self.worker.channel
        running.call(self.worker.channel.makeConnection, self.stream)

    def order(self, order: Command) -> None:
        """The master says so."""
        self.running.call(self.worker.on_command, write_command(order))

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
        send_sockets(self.fd_channel, new)
        places = tuple(Assignment(mapping, each) for each in sent)
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

    def traffic(self) -> dict[int, MappingTraffic]:
        """What its master knows of the places."""
        data, found = self.running.call(self.stream.value), dict[int, MappingTraffic]()
        while data:
            end = 4 + int.from_bytes(data[:4], "big")
            if data[4:5] == TRAFFIC:
                number, changes = read_traffic(data[5:end])
                told = found.setdefault(number, MappingTraffic())
                apply_changes(told, changes)
            data = data[end:]
        return found

    def answers(self) -> list[tuple[int, str]]:
        """What it answered to orders."""
        data, found = self.running.call(self.stream.value), []
        while data:
            end = 4 + int.from_bytes(data[:4], "big")
            if data[4:5] == ANSWER:
                found.append(read_answer(data[5:end]))
            data = data[end:]
        return found

    def frames(self) -> int:
        """The number of traffic messages."""
        written: bytes = self.running.call(self.stream.value)
        return written.count(b'"endings"')


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
            reactor.call(running.worker.channel.connectionLost)


def put(*instances: Instance, version: int = 1) -> CatalogChunk:
    """The master says that these are the instances of web."""
    pairs = tuple((each, slot) for slot, each in enumerate(instances))
    return CatalogChunk(WEB.query, pairs, whole=True, version=version)


def test_serves(running: Running, table: Table, held: ExitStack) -> None:
    """
    A worker accepts no clients before it has the whole catalog; then it serves and
    counts.
    """
    listener, server = (held.enter_context(listening()) for _ in range(2))
    running.set_up(listener, log=True)
    client = held.enter_context(connect(listener.getsockname()))
    running.order(put(instance("a", server.getsockname()[1]), version=7))
    with pytest.raises(AssertionError):
        eventually(lambda: table.total(0), "somebody was accepted", 0.3)
    assert table.serving[1] == 0
    with capturedLogs() as events:
        running.order(SyncComplete())
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
    assert formatEvent(events[-1]).endswith(" KH")


def test_no_answer(running: Running, held: ExitStack) -> None:
    """
    Once a worker has the whole catalog it accepts, and closes clients without an
    instance.
    """
    listener, server = (held.enter_context(listening()) for _ in range(2))
    running.set_up(listener)
    running.order(SyncComplete())
    with connect(listener.getsockname()) as client:
        assert client.recv(1) == b""
    running.order(put(instance("a", server.getsockname()[1])))
    with connect(listener.getsockname()), accept(server):
        pass
    assert running.reports()[0] == Report(0, Count(), 0, True)


@pytest.mark.parametrize("late", [put(version=2), SyncComplete(), Setup(1, 2), Stop()])
def test_after_the_end(running: Running, held: ExitStack, late: Command) -> None:
    """After the command to stop, the master's further commands have no effect."""
    listener = held.enter_context(listening())
    running.set_up(listener)
    running.order(SyncComplete())
    running.stream.is_slow = True
    running.order(Stop())
    said = running.running.call(running.stream.value)
    running.order(late)
    assert running.running.call(running.stream.value) == said
    assert (running.stopped, running.worker.status) == ([], 0)
    running.running.call(running.worker.channel.connectionLost)
    assert (running.stopped, running.worker.status) == (["stop"], 0)


@pytest.mark.parametrize("set_up", [True, False])
def test_nonsense(
    running: Running, capfd: pytest.CaptureFixture[str], *, set_up: bool
) -> None:
    """Orders that it cannot carry out are its end, for which it gives the reason."""
    if set_up:
        running.set_up()
    with capturedLogs() as events:
        running.running.call(running.worker.on_command, b"nonsense")
    assert (running.stopped, running.worker.status) == (["stop"], 1)
    assert "a command failed: UnpicklingError(" in capfd.readouterr().err
    assert formatEvent(events[0]) == (
        "a bug in lbconsul: a command failed, so this worker ends"
    )
    running.running._observer.found.clear()


def test_nonsense_while_it_serves(running: Running, held: ExitStack) -> None:
    """Connections that are open then ended with their worker, as the log says."""
    listener, server = (held.enter_context(listening()) for _ in range(2))
    running.set_up(listener, log=True)
    running.order(put(instance("a", server.getsockname()[1])))
    running.order(SyncComplete())
    client = held.enter_context(connect(listener.getsockname()))
    held.enter_context(accept(server))
    with capturedLogs() as events:
        running.running.call(running.worker.on_command, b"nonsense")
    assert client.recv(1) == b""
    assert formatEvent(events[-1]).endswith(" KW")
    running.running._observer.found.clear()


def test_reports(
    running: Running, held: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker reports the number of connections now and then, if it changed."""
    monkeypatch.setattr(reporter, "REPORT_EVERY", 0.05)
    listener, server = (held.enter_context(listening()) for _ in range(2))
    running.set_up(listener)
    running.order(put(instance("a", server.getsockname()[1])))
    running.order(SyncComplete())
    held.enter_context(connect(listener.getsockname()))
    held.enter_context(accept(server))
    expected = Report(1, Count(1, 1), 1, True)
    eventually(lambda: expected in running.reports(), "it is reported")
    with pytest.raises(AssertionError):
        eventually(lambda: running.reports().count(expected) > 1, "once more", 0.3)


def test_certificates(running: Running, held: ExitStack, tmp_path: Path) -> None:
    """Clients of TLS wait until certificates have come, and are served with these."""
    issued = Authority(tmp_path).issue("localhost")
    pem = together(tmp_path / "web.pem", issued.cert, issued.key)
    tls = TLS("consul:certs")
    listener, server = (held.enter_context(listening()) for _ in range(2))
    running.order(Setup(1, 2))
    running.serve({0: listener}, evolve(MAPPING, tls=tls))
    running.order(put(instance("a", server.getsockname()[1])))
    running.order(SyncComplete())
    client = held.enter_context(connect(listener.getsockname()))
    texts = finish(reading_certificates("web: tls", pem))
    running.order(CertificatesChunk(tls, texts, is_last=True))
    running.order(KeepCertificates((tls,)))
    context = ssl.create_default_context(cafile=f"{tmp_path}/authority.pem")
    with context.wrap_socket(client, server_hostname="localhost"):
        pass


def test_traffic_is_reported(
    running: Running, held: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker reports its traffic now and then, if it changed."""
    monkeypatch.setattr(reporter, "REPORT_EVERY", 0.05)
    listener, server = (held.enter_context(listening()) for _ in range(2))
    running.set_up(listener)
    one = instance("a", server.getsockname()[1])
    running.order(put(one))
    running.order(SyncComplete())
    client = held.enter_context(connect(listener.getsockname()))
    upstream = held.enter_context(accept(server))
    client.sendall(b"question")
    assert upstream.recv(8) == b"question"
    eventually(
        lambda: [each.stats.received for each in running.traffic().values()] == [8],
        "it is told what is open",
    )
    client.close()
    upstream.close()
    eventually(lambda: running.traffic()[0].stats.endings == {"--": 1}, "and over")
    told = running.traffic()[0]
    assert (told.stats.received, told.stats.sent) == (8, 0)
    assert told.stats.accounts[one.identity].total == 1
    before = running.frames()
    with pytest.raises(AssertionError):
        eventually(lambda: running.frames() > before + 1, "again and again", 0.3)


def test_figures_of_a_busy_master(
    running: Running, held: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports that could not be sent while the master was slow are sent afterwards."""
    monkeypatch.setattr(reporter, "REPORT_EVERY", 0.05)
    listeners = [held.enter_context(listening()) for _ in range(2)]
    server = held.enter_context(listening())
    for listener in listeners:
        listener.setblocking(False)
    send_sockets(
        running.fd_channel, {each: listeners[each].fileno() for each in (0, 1)}
    )
    other = evolve(MAPPING, listen=TCPListen("127.0.0.1", 1))
    running.order(Setup(1, 2))
    running.order(Serve((Assignment(MAPPING, 0), Assignment(other, 1)), False, sent=2))
    one = instance("a", server.getsockname()[1])
    running.order(put(one))
    running.order(SyncComplete())
    uplink, say = running.worker.uplink, running.worker.uplink._write

    def full(data: bytes) -> None:
        say(data)
        uplink.pause()

    running.running.call(setattr, uplink, "_write", full)
    for listener in listeners:
        with connect(listener.getsockname()), accept(server):
            pass

    def is_told() -> bool:
        running.running.call(uplink.resume)
        told = running.traffic()
        accounts = [told[each].stats.accounts for each in (0, 1) if each in told]
        return [each[one.identity].total for each in accounts if each] == [1, 1]

    eventually(is_told, "all is told")


def test_last_figures(running: Running, held: ExitStack) -> None:
    """Before its end it tells what connections came to."""
    listener, server = (held.enter_context(listening()) for _ in range(2))
    running.set_up(listener)
    running.order(put(instance("a", server.getsockname()[1])))
    running.order(SyncComplete())
    held.enter_context(connect(listener.getsockname()))
    held.enter_context(accept(server))
    running.order(Stop())
    assert running.traffic()[0].stats.accepted == 1


def test_by_hand(running: Running, held: ExitStack) -> None:
    """An operator's orders hold in it, those that come before the instances, too."""
    running.set_up(held.enter_context(listening()))
    many = [instance(name, 9) for name in "abcd"]
    running.order(SetDrained({many[0].identity: 0}))
    running.order(put(*many))
    for number in (4, 5):
        running.order(Eject(many[1].identity, number))
    first, (again, why) = running.answers()
    assert (first, again) == ((4, ""), 5)
    assert why.startswith("it is already ejected 0 s ago: by hand, back in 1")
    assert len(running.traffic()[0].ejected) == 1
    [selection] = failover_spec(MAPPING).selections
    pool = running.worker._registry.pool(selection)
    stands = {
        each.instance.identity.service_id: pool.state(each).standing.value
        for each in pool.upstreams()
    }
    assert stands == {
        "a": "draining", "b": "ejected", "c": "serving", "d": "serving",
    }  # fmt: skip


def test_in_parts(running: Running) -> None:
    """Of a change in parts it reports once all have come."""
    running.set_up()
    running.order(evolve(put(), last=False))
    running.order(put(version=2))
    assert [each.version for each in running.reports()] == [2]


def test_master_gone(running: Running, held: ExitStack) -> None:
    """When the master is gone it closes everything and ends."""
    listener, server = (held.enter_context(listening()) for _ in range(2))
    running.set_up(listener)
    running.order(put(instance("a", server.getsockname()[1])))
    running.order(SyncComplete())
    client = held.enter_context(connect(listener.getsockname()))
    held.enter_context(accept(server))
    running.running.call(running.worker.channel.connectionLost)
    assert client.recv(1) == b""
    assert running.stopped == ["stop"]


def test_master_gone_at_once(running: Running) -> None:
    """Also before it has said anything."""
    running.running.call(running.worker.channel.connectionLost)
    assert running.stopped == ["stop"]


@pytest.mark.process
def test_light() -> None:
    """A worker has no part of Consul's client in it, so that it starts quickly."""
    script = "import sys, lbconsul.workers.worker; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env=environment({}, [str(REPOSITORY), *sys.path]),
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"treq", "twisted.web.client", "OpenSSL", "lbconsul.consul", "lbconsul.dev"}
    assert heavy & set(done.stdout.split()) == set()


def test_sockets(running: Running, held: ExitStack) -> None:
    """Later commands add and remove mappings."""
    one, two, server = (held.enter_context(listening()) for _ in range(3))
    running.set_up(one)
    running.order(put(instance("a", server.getsockname()[1])))
    running.order(SyncComplete())
    client = held.enter_context(connect(one.getsockname()))
    upstream = held.enter_context(accept(server))
    running.serve({0: one, 7: two})
    with connect(two.getsockname()), accept(server):
        pass
    running.serve({7: two})
    one.close()
    running.order(SetDrained({}))  # the next command waits for the end of this one
    with pytest.raises(ConnectionRefusedError):
        connect(one_address(client))
    client.sendall(b"still here")
    assert upstream.recv(10) == b"still here"
    with connect(two.getsockname()), accept(server):
        pass
    runtime = running.worker._runtime
    assert runtime is not None
    eventually(lambda: runtime.open == 1, "the others are over")
    running.order(Stop())
    assert running.reports()[-1] == Report(1, Count(3, 1), 0, True)


def one_address(client: socket.socket) -> tuple[str, int]:
    """Where a client is connected to."""
    host, port = client.getpeername()
    return str(host), int(port)


def test_several_orders_at_once(running: Running, held: ExitStack) -> None:
    """Sockets for an order that is still on its way are kept for it."""
    one, two, server = (held.enter_context(listening()) for _ in range(3))
    for each in (one, two):
        each.setblocking(False)
    running.order(Setup(1, 2))
    running.order(put(instance("a", server.getsockname()[1])))
    running.order(SyncComplete())
    # One is given, taken back, and given once more, before it hears of anything.
    for number, sock in ((0, one), (1, two), (0, one)):
        send_sockets(running.fd_channel, {number: sock.fileno()})
    for number in (0, 1, 0):
        running.order(Serve((Assignment(MAPPING, number),), False, sent=1))
    two.close()
    with connect(one.getsockname()), accept(server):
        pass


def test_connection_log(running: Running, held: ExitStack) -> None:
    """Whether connections are logged may change while it runs."""
    listener, server = (held.enter_context(listening()) for _ in range(2))
    running.set_up(listener)
    running.order(put(instance("a", server.getsockname()[1])))
    running.order(SyncComplete())
    for log in (False, True):
        running.serve({0: listener}, log=log)
        with capturedLogs() as events:
            with connect(listener.getsockname()), accept(server):
                pass
            eventually(lambda: running.worker._runtime.open == 0, "it is over")
        assert bool(events) == log


def test_others_answers(running: Running, held: ExitStack) -> None:
    """
    A worker does not serve a mapping without a share for it, but knows its instances.
    """
    listener, server = (held.enter_context(listening()) for _ in range(2))
    running.order(Setup(1, 2))
    for _ in range(2):
        running.order(Serve((), False, (MAPPING,)))
        running.order(put(instance("a", server.getsockname()[1])))
    running.order(SyncComplete())
    running.serve({0: listener})
    with connect(listener.getsockname()), accept(server):
        pass


def test_drain_ends_with_the_last_connection(running: Running, held: ExitStack) -> None:
    """A draining worker accepts no clients, and ends when nothing is open."""
    listener, server = (held.enter_context(listening()) for _ in range(2))
    running.set_up(listener)
    running.order(put(instance("a", server.getsockname()[1])))
    running.order(SyncComplete())
    client = held.enter_context(connect(listener.getsockname()))
    upstream = held.enter_context(accept(server))
    running.order(Drain())
    address = listener.getsockname()
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        connect(address)
    for late in (Serve((), False), SyncComplete(), put(version=9)):
        running.order(late)
    client.sendall(b"hello")
    assert upstream.recv(5) == b"hello"
    assert running.stopped == []
    client.close()
    upstream.close()
    eventually(lambda: running.stopped == ["stop"], "it has ended")
    assert running.reports()[-1] == Report(9, Count(1, 0), 0, False)
    assert running.worker.status == 0


def test_drain_at_once(running: Running) -> None:
    """Also where nothing is open, or it has not begun."""
    running.set_up()
    running.order(Drain())
    assert running.stopped == ["stop"]
    assert running.reports()[-1] == Report(0, Count(), 0, False)
