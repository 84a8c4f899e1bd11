"""A gateway's place among those that follow each other, without the gateways."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import Factory, define, evolve
from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs, formatEvent

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.build import configure
from lbconsul.config.model import Config
from lbconsul.service import balancer
from lbconsul.takeover.client import take
from lbconsul.takeover.coordinator import TakeoverCoordinator
from lbconsul.takeover.inherited import InheritedSockets
from lbconsul.takeover.rendezvous import is_somebody_at
from tests.support.loopback import connect, listening, refusing
from tests.support.ports import free_ports
from tests.support.recording_reactor import RecordingReactor
from tests.support.running_proxy import ReactorThread
from tests.support.waiting import eventually


@define
class Listening:
    """What a gateway listens on."""

    sock: socket.socket | None = None
    is_shared: bool = False


@define
class Gateway:
    """Notes what becomes of it, and is so far when a test says so."""

    config: Config
    sockets: dict[str, Any] = Factory(dict)
    done: list[object] = Factory(list)
    answers: str = "none"
    is_serving: bool = False
    drained: Deferred[None] = Factory(lambda: succeed(None))

    def knows(self, *, wholly: bool) -> bool:
        return self.answers == "all" or (self.answers == "some" and not wholly)

    def state(self) -> dict[str, object]:
        return {}

    def start_serving(self) -> None:
        self.done.append("started")

    def drain(self) -> Deferred[None]:
        self.done.append("drained")
        return self.drained

    def finished(self, status: int) -> None:
        self.done.append(status)


class Predecessor:
    """One that answers when a test says so."""

    def __init__(self) -> None:
        self.heard: Deferred[bool] = Deferred()
        self.unused: list[str] = []
        self.state: dict[str, object] = {}
        self._told = False
        self.closed = False

    def accepting(self, reactor: object) -> Deferred[bool]:
        self._told = True
        return self.heard

    def is_told(self) -> bool:
        return self._told

    def close(self) -> None:
        self.closed = True


class Heir:
    """A gateway with a predecessor, which a test lets come into its own."""

    def __init__(
        self, path: str, held: ExitStack, predecessor: Predecessor | None = None
    ) -> None:
        self.path = path
        self.reactor = RecordingReactor()
        self.predecessor = predecessor or Predecessor()
        self.gateway = Gateway(at(path), {"127.0.0.1:80": Listening()})
        taken = cast(InheritedSockets, self.predecessor)
        self.succession = TakeoverCoordinator(self.reactor, self.gateway, taken)
        self.events = held.enter_context(capturedLogs())
        self.succession.startService()
        held.callback(self.succession.stopService)

    def wait(self, seconds: float) -> None:
        """Time goes by."""
        for _ in range(round(seconds * 10)):
            self.reactor.advance(0.1)

    def is_shared(self) -> bool:
        """Whether what it listens on is left alone at its end."""
        self.succession.leave_files()
        return bool(self.gateway.sockets["127.0.0.1:80"].is_shared)

    def said(self) -> list[str]:
        """The log."""
        return [str(formatEvent(each)) for each in self.events]


def at(path: str) -> Config:
    """The configuration of gateways that meet there."""
    return evolve(configure([], ["8080:web"]), takeover=path)


@pytest.fixture
def heir(tmp_path: Path) -> Iterator[Heir]:
    """One that has just started."""
    with ExitStack() as held:
        yield Heir(str(tmp_path / "lb.sock"), held)


def test_first(tmp_path: Path) -> None:
    """The first one waits for a successor from its start to its end."""
    path = str(tmp_path / "lb.sock")
    gateway = Gateway(at(path), {"127.0.0.1:80": Listening(is_shared=True)})
    succession = TakeoverCoordinator(RecordingReactor(), gateway, None)
    succession.startService()
    assert is_somebody_at(path)
    succession.leave_files()
    assert not gateway.sockets["127.0.0.1:80"].is_shared
    assert gateway.done == []
    succession.stopService()
    assert not os.path.exists(path)


def test_heir(heir: Heir) -> None:
    """It serves when Consul has answered, says so when it does, and is the gateway."""
    heir.wait(1)
    assert heir.gateway.done == []
    heir.gateway.answers = "all"
    heir.wait(0.1)
    assert heir.gateway.done == ["started"]
    heir.wait(1)
    assert not heir.predecessor.is_told()
    heir.gateway.is_serving = True
    heir.wait(0.1)
    assert heir.predecessor.is_told()
    assert heir.is_shared()
    assert not is_somebody_at(heir.path)
    heir.predecessor.heard.callback(True)
    assert heir.predecessor.closed
    assert not heir.is_shared()
    assert is_somebody_at(heir.path)
    assert heir.said() == [
        f"taking over from the gateway at {heir.path}: it serves until this gateway"
        " does",
        f"taken over from the gateway at {heir.path}",
    ]


def test_dropped(tmp_path: Path) -> None:
    """Where nobody will listen any more is told: it may be a mistake."""
    with ExitStack() as held:
        predecessor = Predecessor()
        predecessor.unused = ["127.0.0.1:81", "unix:/run/web.sock"]
        heir = Heir(str(tmp_path / "lb.sock"), held, predecessor)
        assert heir.said()[1:] == [
            "127.0.0.1:81, unix:/run/web.sock: offered but not mapped: closed after"
            " the takeover"
        ]


def test_some_answers(heir: Heir) -> None:
    """A datacenter that does not answer is not waited for without end."""
    heir.gateway.answers = "some"
    heir.wait(4.8)
    assert heir.gateway.done == []
    heir.wait(0.4)
    assert heir.gateway.done == ["started"]


def test_no_answers(heir: Heir) -> None:
    """Without any answer it would be worse than the old one, which goes on."""
    heir.wait(19.8)
    assert heir.gateway.done == []
    heir.wait(0.4)
    assert heir.gateway.done == ["drained", 1]
    assert heir.is_shared()
    assert heir.said()[1:] == [
        f"not taken over: Consul does not answer; the gateway at {heir.path} goes on"
        " serving"
    ]
    assert not heir.predecessor.is_told()
    heir.succession.stopService()
    assert heir.predecessor.closed


def test_serves_never(heir: Heir) -> None:
    """Neither is one of use whose workers do not serve."""
    heir.gateway.answers = "all"
    heir.wait(20.2)
    assert heir.gateway.done == ["started", "drained", 1]
    assert "not taken over: the workers do not serve;" in heir.said()[1]


def test_too_late(heir: Heir) -> None:
    """If the old one has lost its patience that one stays the gateway."""
    heir.gateway.answers, heir.gateway.is_serving = "all", True
    heir.gateway.drained = Deferred()
    heir.wait(0.1)
    heir.predecessor.heard.callback(False)
    assert heir.gateway.done == ["started", "drained"]
    heir.gateway.drained.callback(None)
    assert heir.gateway.done == ["started", "drained", 1]
    assert not is_somebody_at(heir.path)
    assert heir.is_shared()


def test_given_up(heir: Heir) -> None:
    """One that is to end before it serves does not begin any more."""
    heir.succession.give_up()
    heir.gateway.answers = "all"
    heir.wait(30)
    assert heir.gateway.done == []
    heir.succession.give_up()


def test_ended_meanwhile(heir: Heir) -> None:
    """Nor does one that has ended take anybody's place."""
    heir.gateway.answers, heir.gateway.is_serving = "all", True
    heir.wait(0.1)
    heir.succession.stopService()
    heir.predecessor.heard.callback(False)
    assert heir.gateway.done == ["started"]
    assert not os.path.exists(heir.path)


def test_one_after_the_other(tmp_path: Path) -> None:
    """The old one hands over what is open, and leaves when the new one serves."""
    path = str(tmp_path / "lb.sock")
    with ExitStack() as held:
        running = held.enter_context(ReactorThread())
        sock = held.enter_context(listening())
        sockets = {"127.0.0.1:80": Listening(sock), "127.0.0.1:81": Listening()}
        old, new = Gateway(at(path), sockets), Gateway(at(path), answers="all")
        new.is_serving, old.drained = True, Deferred()
        first: Any = TakeoverCoordinator(running.reactor, old, None)
        running.call(first.startService)
        taken = take(path)
        assert taken is not None
        assert list(taken.sockets) == ["127.0.0.1:80"]
        running.call(first.leave_files)
        assert sockets["127.0.0.1:80"].is_shared
        second = TakeoverCoordinator(running.reactor, new, taken)
        running.call(second.startService)
        eventually(lambda: old.done == ["drained"], "the old one retires")
        eventually(lambda: is_somebody_at(path), "the new one is there")
        running.call(first.leave_files)
        assert sockets["127.0.0.1:80"].is_shared
        running.call(old.drained.callback, None)
        assert old.done == ["drained", 0]
        running.call(first.stopService)
        assert is_somebody_at(path)
        running.call(second.stopService)
        assert not os.path.exists(path)


class TestGateway:
    """A real gateway that has a predecessor; what Consul would say, the test says."""

    def made(self, running: ReactorThread, *mappings: str, workers: int = 1) -> Any:
        """One that has just started."""
        with refusing() as port:
            config = configure([f"127.0.0.1:{port}"], mappings)
        config = evolve(config, workers=workers)
        predecessor = cast(InheritedSockets, Predecessor())
        gateway = balancer(running.reactor, config, predecessor=predecessor)
        running.call(gateway.privilegedStartService)
        running.call(gateway.startService)
        return gateway

    def answer(
        self, running: ReactorThread, gateway: Any, *questions: ServiceQuery
    ) -> None:
        """Consul says that these have no instance."""
        for each in questions:
            running.call(gateway.registry.replace, each, [])

    def test_begins_when_told(self) -> None:
        """It accepts nobody before, and then at once."""
        [port] = free_ports(1)
        with ReactorThread() as running:
            gateway = self.made(running, f"127.0.0.1:{port}:web")
            gateway.bind()
            with connect(("127.0.0.1", port)) as client:
                client.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    client.recv(1)
                assert not gateway.data_plane.running
                self.answer(running, gateway, ServiceQuery("web"))
                running.call(gateway.start_serving)
                assert gateway.is_serving
                client.settimeout(5)
                assert client.recv(1) == b""
            running.outcome(gateway.stopService)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_never_began(self, workers: int) -> None:
        """One that ends before leaves nothing open, and has nothing to wait for."""
        [port] = free_ports(1)
        with ReactorThread() as running:
            gateway = self.made(running, f"127.0.0.1:{port}:web", workers=workers)
            gateway.bind()
            running.outcome(gateway.drain)
            running.outcome(gateway.stopService)
            with pytest.raises(ConnectionRefusedError):
                connect(("127.0.0.1", port))

    def test_what_it_has_to_know(self) -> None:
        """Every datacenter and fallback, or after a while one answer per mapping."""
        one, two, other = (
            ServiceQuery("web", "dc1"),
            ServiceQuery("web", "dc2"),
            ServiceQuery("x"),
        )
        knows = [(False, False), (False, True), (True, True)]
        with ReactorThread() as running:
            gateway = self.made(
                running, "8080:web,dc=dc1|dc2,when-empty=fallback=spare", "8081:x"
            )
            answers = [(other,), (two,), (one, ServiceQuery("spare"))]
            for answer, expected in zip(answers, knows, strict=True):
                self.answer(running, gateway, *answer)
                known = gateway.knows
                assert (known(wholly=True), known(wholly=False)) == expected
            running.outcome(gateway.stopService)
