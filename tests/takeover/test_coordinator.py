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

from lbconsul import service
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.build import configure
from lbconsul.config.model import Config
from lbconsul.takeover.client import take
from lbconsul.takeover.coordinator import TakeoverCoordinator
from lbconsul.takeover.inherited import InheritedSockets
from lbconsul.takeover.rendezvous import is_somebody_at
from tests.support.loopback import connect, listening, refusing
from tests.support.ports import free_ports
from tests.support.recording_reactor import RecordingReactor
from tests.support.running_proxy import ReactorThread
from tests.support.waiting import PATIENCE, eventually


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
    #: Whether a gateway waits for successors, when a takeover has come to its end.
    stages: list[bool] = Factory(list)
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

    def on_stage(self) -> None:
        self.stages.append(is_somebody_at(self.config.takeover))

    def finished(self, status: int) -> None:
        self.done.append(status)


class Predecessor:
    """A running gateway that answers when a test says so."""

    def __init__(self) -> None:
        self.replaced: Deferred[bool] = Deferred()
        self.unused: list[str] = []
        self.state: dict[str, object] = {}
        self._told = False
        self.closed = False

    def accepting(self, reactor: object) -> Deferred[bool]:
        self._told = True
        return self.replaced

    def is_told(self) -> bool:
        return self._told

    def close(self) -> None:
        self.closed = True


class Successor:
    """A gateway with a predecessor, which a test lets come into its own."""

    def __init__(
        self, path: str, held: ExitStack, predecessor: Predecessor | None = None
    ) -> None:
        self.path = path
        self.reactor = RecordingReactor()
        self.predecessor = predecessor or Predecessor()
        self.gateway = Gateway(at(path), {"127.0.0.1:80": Listening()})
        taken = cast(InheritedSockets, self.predecessor)
        self.coordinator = TakeoverCoordinator(self.reactor, self.gateway, taken)
        self.events = held.enter_context(capturedLogs())
        self.coordinator.startService()
        held.callback(self.coordinator.stopService)

    def wait(self, seconds: float) -> None:
        """Time goes by."""
        for _ in range(round(seconds * 10)):
            self.reactor.advance(0.1)

    def is_shared(self) -> bool:
        """Whether what it listens on is left alone at its end."""
        self.coordinator.leave_files()
        return bool(self.gateway.sockets["127.0.0.1:80"].is_shared)

    def said(self) -> list[str]:
        """The log."""
        return [str(formatEvent(each)) for each in self.events]


def at(path: str) -> Config:
    """The configuration of gateways that meet there."""
    return evolve(configure([], ["8080:web"]), takeover=path)


@pytest.fixture
def successor(tmp_path: Path) -> Iterator[Successor]:
    """A gateway that has just started."""
    with ExitStack() as held:
        yield Successor(str(tmp_path / "lb.sock"), held)


def test_first(tmp_path: Path) -> None:
    """The first one waits for a successor from its start to its end."""
    path = str(tmp_path / "lb.sock")
    gateway = Gateway(at(path), {"127.0.0.1:80": Listening(is_shared=True)})
    coordinator = TakeoverCoordinator(RecordingReactor(), gateway, None)
    coordinator.startService()
    assert is_somebody_at(path)
    coordinator.leave_files()
    assert not gateway.sockets["127.0.0.1:80"].is_shared
    assert gateway.done == []
    coordinator.stopService()
    assert not os.path.exists(path)


def test_takes_over(successor: Successor) -> None:
    """A gateway serves when Consul has answered, reports it, and has taken over."""
    successor.wait(1)
    assert successor.gateway.done == []
    successor.gateway.answers = "all"
    successor.wait(0.1)
    assert successor.gateway.done == ["started"]
    successor.wait(1)
    assert not successor.predecessor.is_told()
    successor.gateway.is_serving = True
    successor.wait(0.1)
    assert successor.predecessor.is_told()
    assert successor.is_shared()
    assert not is_somebody_at(successor.path)
    assert successor.gateway.stages == []
    successor.predecessor.replaced.callback(True)
    assert successor.gateway.stages == [True]
    assert successor.predecessor.closed
    assert not successor.is_shared()
    assert is_somebody_at(successor.path)
    assert successor.said() == [
        f"taking over from the gateway at {successor.path}: it serves until this"
        " gateway does",
        f"taken over from the gateway at {successor.path}",
    ]


def test_dropped(tmp_path: Path) -> None:
    """An offered socket without a mapping is logged: it may be a mistake."""
    with ExitStack() as held:
        predecessor = Predecessor()
        predecessor.unused = ["127.0.0.1:81", "unix:/run/web.sock"]
        successor = Successor(str(tmp_path / "lb.sock"), held, predecessor)
        assert successor.said()[1:] == [
            "127.0.0.1:81, unix:/run/web.sock: offered but not mapped: closed after"
            " the takeover"
        ]


def test_some_answers(successor: Successor) -> None:
    """A datacenter that does not answer is not waited for without end."""
    successor.gateway.answers = "some"
    successor.wait(4.8)
    assert successor.gateway.done == []
    successor.wait(0.4)
    assert successor.gateway.done == ["started"]


def test_no_answers(successor: Successor) -> None:
    """Without any answer it would be worse than the old one, which goes on."""
    successor.wait(19.8)
    assert successor.gateway.done == []
    successor.wait(0.4)
    assert successor.gateway.done == ["drained", 1]
    assert successor.is_shared()
    assert successor.said()[1:] == [
        "not taken over: Consul does not answer; the gateway at"
        f" {successor.path} goes on serving"
    ]
    assert not successor.predecessor.is_told()
    successor.coordinator.stopService()
    assert successor.predecessor.closed


def test_serves_never(successor: Successor) -> None:
    """Nor does a gateway whose workers do not serve."""
    successor.gateway.answers = "all"
    successor.wait(20.2)
    assert successor.gateway.done == ["started", "drained", 1]
    assert "not taken over: the workers do not serve;" in successor.said()[1]


def test_the_old_gateway_timed_out(successor: Successor) -> None:
    """If the old one has lost its patience that one stays the gateway."""
    successor.gateway.answers, successor.gateway.is_serving = "all", True
    successor.gateway.drained = Deferred()
    successor.wait(0.1)
    successor.predecessor.replaced.callback(False)
    assert successor.gateway.done == ["started", "drained"]
    successor.gateway.drained.callback(None)
    assert successor.gateway.done == ["started", "drained", 1]
    assert not is_somebody_at(successor.path)
    assert successor.is_shared()


def test_given_up(successor: Successor) -> None:
    """A gateway that is stopped before it serves does not begin any more."""
    successor.coordinator.give_up()
    successor.gateway.answers = "all"
    successor.wait(30)
    assert successor.gateway.done == []
    successor.coordinator.give_up()


def test_ended_meanwhile(successor: Successor) -> None:
    """Nor does a gateway that has ended take over."""
    successor.gateway.answers, successor.gateway.is_serving = "all", True
    successor.wait(0.1)
    successor.coordinator.stopService()
    successor.predecessor.replaced.callback(False)
    assert successor.gateway.done == ["started"]
    assert not os.path.exists(successor.path)


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
        """A gateway that has just started."""
        with refusing() as port:
            config = configure([f"127.0.0.1:{port}"], mappings)
        config = evolve(config, workers=workers)
        predecessor = cast(InheritedSockets, Predecessor())
        gateway = service.Gateway(running.reactor, config, predecessor=predecessor)
        running.call(gateway.privilegedStartService)
        running.call(gateway.startService)
        return gateway

    def answer(
        self, running: ReactorThread, gateway: Any, *queries: ServiceQuery
    ) -> None:
        """Consul says that these have no instance."""
        for each in queries:
            running.call(gateway.registry.replace, each, [])

    def test_begins_when_told(self) -> None:
        """The new gateway accepts no clients before, and then at once."""
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
                client.settimeout(PATIENCE)
                assert client.recv(1) == b""
            running.outcome(gateway.stopService)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_never_began(self, workers: int) -> None:
        """
        A gateway that ends before leaves nothing open, and has nothing to wait for.
        """
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
