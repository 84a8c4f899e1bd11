"""The old gateway hands over: a whole takeover, with real sockets and processes."""

import errno
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from twisted.logger import capturedLogs, formatEvent

from lbconsul.errors import CannotTakeOver
from lbconsul.takeover import server, session
from lbconsul.takeover.client import take
from lbconsul.takeover.inherited import InheritedSockets
from lbconsul.takeover.protocol import ACCEPTING, read_offer, write_request, write_word
from lbconsul.takeover.rendezvous import is_somebody_at
from lbconsul.takeover.server import TakeoverServer
from tests.support.binaries import REPOSITORY
from tests.support.descriptors import Descriptors, descriptors
from tests.support.loopback import connect, listening
from tests.support.old_gateway import hear, hear_all
from tests.support.running_proxy import ReactorThread
from tests.support.waiting import PATIENCE, eventually

QUESTION = write_request("lbconsul 0.1.0")


class Running:
    """A gateway's handover that runs in a reactor, and what becomes of it."""

    def __init__(
        self,
        running: ReactorThread,
        path: str,
        sockets: dict[str, socket.socket],
        predecessor: InheritedSockets | None = None,
    ) -> None:
        self.running = running
        self.taken: list[str] = []
        self.server = TakeoverServer(
            running.reactor,
            path,
            lambda: sockets,
            lambda: self.taken.append("taken"),
            predecessor,
        )
        running.call(self.server.startService)

    def accepting(self) -> bool:
        """The gateway accepts; returns whether it has taken over."""
        return self.running.outcome(self.server.accepting)

    def stop(self) -> None:
        """Stop the gateway."""
        self.running.call(self.server.stopService)


class Stage:
    """Gateways that meet at one path, all with one mapping."""

    def __init__(self, path: str, held: ExitStack) -> None:
        self.path = path
        self._held = held
        self._running = held.enter_context(ReactorThread())
        sock = held.enter_context(listening())
        self.sockets = {"{}:{}".format(*sock.getsockname()): sock}

    def gateway(self, predecessor: InheritedSockets | None = None) -> Running:
        """A gateway that runs."""
        running = Running(self._running, self.path, self.sockets, predecessor)
        self._held.callback(running.stop)
        return running

    def first(self) -> Running:
        """A gateway that accepts, without a predecessor."""
        gateway = self.gateway()
        assert gateway.accepting()
        return gateway

    def next(self) -> Running:
        """A gateway with the sockets of another one."""
        taken = take(self.path)
        assert taken is not None
        assert list(taken.sockets) == list(self.sockets)
        return self.gateway(taken)

    def client(self, *lines: bytes) -> socket.socket:
        """A client that sends this."""
        client = self._held.enter_context(connect(self.path))
        for each in lines:
            client.sendall(each)
        return client


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Where it happens."""
    with ExitStack() as held:
        yield Stage(str(tmp_path / "lb.sock"), held)


def test_chain(stage: Stage) -> None:
    """Each takes over from the one before, and can be taken over from at any time."""
    old = stage.first()
    for _ in range(4):
        new = stage.next()
        assert is_somebody_at(stage.path)
        assert old.taken == []
        assert old.server.is_shared
        assert new.accepting()
        eventually(lambda: old.taken == ["taken"], "they are taken")  # noqa: B023
        assert is_somebody_at(stage.path)
        assert new.taken == []
        old.stop()
        old = new
    assert os.path.exists(stage.path)
    old.stop()
    assert not os.path.exists(stage.path)


def test_what_is_bound_then(stage: Stage) -> None:
    """The sockets of that moment are handed over."""
    old = stage.first()
    with listening() as more:
        stage.sockets["unix:/more"] = more
        stage.next()
        assert not old.taken
        del stage.sockets["unix:/more"]


def test_nobody_ever_refused(stage: Stage) -> None:
    """A client that connects to the path while gateways follow each other finds one."""
    over, failed = threading.Event(), []

    def knock() -> None:
        while not over.is_set():
            if not is_somebody_at(stage.path):
                failed.append("nobody there")
            time.sleep(0.0002)

    old = stage.first()
    thread = threading.Thread(target=knock)
    thread.start()
    try:
        for _ in range(20):
            new = stage.next()
            assert new.accepting()
            eventually(lambda: old.taken == ["taken"], "they are taken")  # noqa: B023
            old = new
    finally:
        over.set()
        thread.join()
    assert failed == []


@pytest.mark.parametrize("lines", [[], [QUESTION]], ids=len)
def test_new_one_gone(stage: Stage, lines: list[bytes]) -> None:
    """
    A new gateway that is gone before it accepts changes nothing; the next one may take
    over.
    """
    old = stage.first()
    client = stage.client(*lines)
    if lines:
        assert read_offer(hear(client)) == list(stage.sockets)
    client.close()
    eventually(lambda: not old.server.is_shared, "a gateway has its sockets alone")
    assert old.taken == []
    assert stage.next().accepting()
    eventually(lambda: old.taken == ["taken"], "they are taken")


def test_one_at_a_time(stage: Stage) -> None:
    """
    A gateway that comes meanwhile waits, and gets the sockets from the one that was
    first.
    """
    old = stage.first()
    one = stage.next()
    found: list[InheritedSockets | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(take(stage.path)))
        for _ in range(server.MOST_WAITING + 4)
    ]
    for each in threads[:1]:
        each.start()
    eventually(lambda: len(old.server._sessions) == 2, "two ask")
    assert found == []
    assert one.accepting()
    eventually(lambda: len(found) == 1, "one is answered")
    [second] = found
    assert second is not None
    for each in threads[1:]:
        each.start()
    two = stage.gateway(second)
    assert two.accepting()
    eventually(lambda: one.taken == ["taken"], "they are taken")
    assert two.taken == []
    # Each that finds the sockets and leaves lets the next one have its turn.
    for number in range(2, len(threads) + 1):
        eventually(lambda n=number: len(found) == n, "the next one has them")  # type: ignore[misc]
        last = found[-1]
        assert last is not None
        last.close()
    for each in threads:
        each.join()


def test_waits_in_vain(stage: Stage) -> None:
    """A gateway behind one that hangs has its turn after that one's time limit."""
    stage.first()
    hanging = stage.client()
    taken: list[InheritedSockets | None] = []
    thread = threading.Thread(target=lambda: taken.append(take(stage.path)))
    thread.start()
    hanging.sendall(b"nonsense\n")
    thread.join(PATIENCE)
    assert taken[0] is not None
    taken[0].close()
    assert hear(hanging) == b'{"refused": "not JSON"}\n'


def test_too_slow(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that accepts too late learns that the old one goes on."""
    monkeypatch.setattr(session, "ACCEPT_WITHIN", 0.2)
    old = stage.first()
    new = stage.next()
    eventually(lambda: not old.server.is_shared, "a gateway has its sockets alone")
    assert new.accepting() is False
    assert old.taken == []
    assert is_somebody_at(stage.path)
    new.stop()
    assert is_somebody_at(stage.path)


def test_old_one_gone(stage: Stage) -> None:
    """If the old one ends meanwhile the new one is the gateway, and can be found."""
    old = stage.first()
    new = stage.next()
    old.stop()
    assert new.accepting()
    assert stage.next().accepting()


def test_stopped_in_between(stage: Stage) -> None:
    """A new gateway that ends before it accepts leaves the path to the old one."""
    old = stage.first()
    new = stage.next()
    new.stop()
    eventually(lambda: not old.server.is_shared, "a gateway has its sockets alone")
    assert is_somebody_at(stage.path)
    assert stage.next().accepting()


def test_stopped_while_it_says_so(stage: Stage) -> None:
    """
    A gateway that ends while the old one has not answered does not listen at the path.
    """
    old = stage.first()
    new = stage.next()
    outcome: list[bool] = []

    def accepts_and_ends() -> None:
        new.server.accepting().addCallback(outcome.append)
        new.server.stopService()

    new.running.call(accepts_and_ends)
    eventually(lambda: len(outcome) == 1, "it is answered")
    assert new.server._sock is None
    eventually(lambda: not old.server.is_shared, "a gateway has its sockets alone")


def test_strangers(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user gets no socket, whatever it sends, and holds up no other client."""
    old = stage.first()
    monkeypatch.setattr(server, "trusted_users", lambda: frozenset({4711}))
    with capturedLogs() as events:
        told = f"user {os.geteuid()} is neither this gateway's nor root"
        client = stage.client()
        assert hear_all(client) == [b'{"refused": "%s"}' % told.encode()]
        with pytest.raises(CannotTakeOver, match=f"gateway refuses: {told}"):
            take(stage.path)
    assert [formatEvent(each) for each in events] == 2 * [
        f"process {os.getpid()} cannot take over: {told}"
    ]
    assert not old.server.is_shared
    assert old.taken == []


def test_no_door(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """If there can be no door the gateway goes on, and says that it has none."""

    def rename(*names: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", rename)
    with capturedLogs() as events:
        gateway = stage.first()
    assert [formatEvent(each) for each in events] == [
        f"--takeover {stage.path}: cannot listen: Permission denied; no"
        " takeover is possible"
    ]
    gateway.stop()


def test_out_of_descriptors(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """While there is no descriptor for a client the log says so, and it waits."""
    monkeypatch.setattr(server, "PAUSE", 0.05)
    old = stage.first()

    def accept(sock: socket.socket) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch, capturedLogs() as events:
        patch.setattr(socket.socket, "accept", accept)
        client = stage.client(QUESTION)
        eventually(lambda: bool(events), "that is logged")
    assert [formatEvent(each) for each in events[:1]] == [
        f"--takeover {stage.path}: accept failed: Too many open files; tried again soon"
    ]
    assert read_offer(hear(client)) == list(stage.sockets)
    assert old.server.is_shared


def test_path_of_another(stage: Stage) -> None:
    """The file stays if another gateway listens there by now; else it goes."""
    old, other = stage.first(), stage.first()
    old.stop()
    assert is_somebody_at(stage.path)
    other.stop()
    assert not os.path.exists(stage.path)


NEW_ONE = """
import os, signal, sys
from lbconsul.takeover.client import take
taken = take(sys.argv[1])
print(len(taken.sockets), flush=True)
if sys.argv[2] == "accept":
    from twisted.internet import reactor
    taken.accepting(reactor).addCallback(print)
    reactor.callLater(1, os._exit, 1)
    reactor.run()
signal.pause()
"""


@pytest.mark.process
@pytest.mark.parametrize("stage_of_death", ["hold", "accept"])
def test_new_process_killed(stage: Stage, stage_of_death: str) -> None:
    """A process that is killed before it accepts changes nothing, after that all."""
    for number in range(400):
        stage.sockets[f"unix:/{number:090}"] = next(iter(stage.sockets.values()))
    old = stage.first()
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(NEW_ONE), stage.path, stage_of_death],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "401\n"
    if stage_of_death == "accept":
        assert process.stdout.readline() == "True\n"
        assert is_somebody_at(stage.path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if stage_of_death == "accept":
        eventually(lambda: old.taken == ["taken"], "they are taken")
        assert not is_somebody_at(stage.path)
    else:
        eventually(lambda: not old.server.is_shared, "a gateway has its sockets alone")
        assert old.taken == []
        stage.next()


def test_nothing_kept(stage: Stage) -> None:
    """However often it is tried, in vain and at last not, no descriptor stays open."""
    old = stage.first()
    before = descriptors()

    def wait_until_over(before: Descriptors) -> None:
        eventually(
            lambda: not old.running.call(lambda: len(old.server._sessions)), "all end"
        )
        eventually(lambda: descriptors() <= before, "all is closed")

    for line in (b"", b"x" * 5000, QUESTION):
        for _ in range(10):
            stage.client(line).close()
        wait_until_over(before)
    client = stage.client(QUESTION)
    hear(client)
    client.sendall(write_word(ACCEPTING))
    hear(client)
    client.close()
    wait_until_over(before)
    eventually(lambda: descriptors() < before, "it listens no more")
    assert old.taken == ["taken"]
