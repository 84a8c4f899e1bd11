"""What holds for each data plane: in this process alone, and with workers."""

import os
from contextlib import ExitStack
from typing import Any

import pytest
from attrs import evolve
from twisted.application.service import IService
from zope.interface.verify import verifyObject

from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.build import configure
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Config, Drain, Mapping
from lbconsul.errors import CannotListen, NoWorkers
from lbconsul.gateway.data_plane import make_data_plane
from lbconsul.gateway.interfaces import DataPlane
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.steps import finish
from lbconsul.workers.shared_table import Table
from tests.support.events import EventRecorder
from tests.support.instances import an_identity
from tests.support.loopback import accept, connect, listening
from tests.support.ports import free_ports
from tests.support.running_proxy import ReactorThread
from tests.support.upstreams import instance
from tests.support.waiting import eventually

WEB, MAIL = ServiceQuery("web"), ServiceQuery("mail")
CONFIG = configure([], ["80:web"])


def mapping(port: int, **options: Any) -> Mapping:
    """A mapping of web."""
    return Mapping("web", TCPListen("127.0.0.1", port), **options)


class DataPlaneStage:
    """A data plane in a reactor of its own."""

    def __init__(self, reactor: ReactorThread, config: Config = CONFIG) -> None:
        self.reactor = reactor
        self.observer = EventRecorder()
        made = reactor.call(
            make_data_plane, reactor.reactor, config, lambda: 0.0, {}, self.observer
        )
        self.data_plane: DataPlane = made
        self.service: Any = made

    def start(self) -> None:
        """Start the service."""
        self.reactor.call(self.service.privilegedStartService)
        self.reactor.call(self.service.startService)

    def end(self) -> tuple[int, int, int]:
        """Stop the service: what it says of connections."""
        self.reactor.outcome(self.service.stopService)
        return self.reactor.call(self.data_plane.end)

    def listen(self, *mappings: Mapping) -> None:
        """Serve mappings."""
        for each in mappings:
            self.reactor.call(self.data_plane.listen, each)

    def replace(self, *mappings: Mapping) -> None:
        """Serve these mappings instead."""

        def replace() -> None:
            sockets = self.data_plane.sockets
            served = {each.mapping.listen for each in sockets}
            new = [each for each in mappings if each.listen not in served]
            added = finish(sockets.binding(new))
            for _ in self.data_plane.replacing(mappings, added, True):
                pass

        self.reactor.call(replace)

    def answer(self, *instances: Any, query: ServiceQuery = WEB) -> None:
        """Consul has these instances."""
        self.reactor.call(self.data_plane.registry.replace, query, instances)

    def wait_until_it_serves(self) -> None:
        """Return when clients of every mapping are accepted."""
        eventually(
            lambda: self.reactor.call(lambda: self.data_plane.is_serving), "it serves"
        )

    def traffic(self, mapping: Mapping) -> MappingTraffic:
        """What is known of the connections of a mapping."""
        return self.reactor.call(self.data_plane.traffic, mapping)

    def eject(self, identity: Any) -> str:
        """Have an upstream ejected."""
        said: list[str] = []
        asked = self.reactor.call(self.data_plane.eject, identity)
        self.reactor.call(asked.addCallback, said.append)
        eventually(lambda: bool(said), "there is an answer")
        return said[0]


@pytest.fixture(
    params=[
        pytest.param(1, id="local"),
        pytest.param(2, id="workers", marks=pytest.mark.process),
    ]
)
def serving(request: pytest.FixtureRequest, running: ReactorThread) -> DataPlaneStage:
    """Each data plane."""
    return DataPlaneStage(running, evolve(CONFIG, workers=request.param))


def test_is_a_service(serving: DataPlaneStage) -> None:
    """A data plane starts and stops with the gateway that it belongs to."""
    assert verifyObject(IService, serving.service)
    serving.end()


def test_counts(serving: DataPlaneStage, held: ExitStack) -> None:
    """Connections count wherever they are served, and so do drain timeouts."""
    server = held.enter_context(listening())
    [port] = free_ports(1)
    serving.listen(mapping(port, drain=Drain(timeout=7.0)))
    data_plane = serving.data_plane
    own = Mapping("own", drain=Drain(timeout=9.0))
    serving.reactor.call(data_plane.lend, own)
    assert data_plane.longest_drain == 9.0
    assert data_plane.mappings == [mapping(port, drain=Drain(timeout=7.0)), own]
    serving.start()
    serving.answer(instance("a", server.getsockname()[1]))
    with connect(("127.0.0.1", port)), accept(server):
        eventually(lambda: serving.reactor.call(lambda: data_plane.open) == 1, "open")
        eventually(
            lambda: serving.reactor.call(lambda: data_plane.accepted) == 1, "accepted"
        )
        served = data_plane.mappings[0]
        eventually(lambda: serving.traffic(served).stats.accepted == 1, "it is known")
        assert serving.traffic(served).used == {0}
        assert not serving.reactor.call(lambda: data_plane.full)
        assert serving.end() == (1, 1, 0)


def test_names(serving: DataPlaneStage) -> None:
    """A mapping is found by its name, however it came, and only while it is served."""
    data_plane = serving.data_plane
    one, two = (mapping(each) for each in free_ports(2))
    serving.listen(one)
    assert data_plane.mapping(str(one)) == one
    serving.listen(two)
    assert data_plane.mapping(str(two)) == two
    own = Mapping("own")
    assert data_plane.mapping(str(own)) is None
    serving.reactor.call(data_plane.lend, own)
    assert data_plane.mapping(str(own)) == own
    serving.replace(two)
    assert data_plane.mapping(str(one)) is None
    serving.end()


def test_listens_when_it_runs(serving: DataPlaneStage) -> None:
    """A mapping is accepted for once the service runs; a lent one is at once."""
    data_plane = serving.data_plane
    [port] = free_ports(1)
    serving.listen(mapping(port))
    serving.reactor.call(data_plane.lend, Mapping("own"))
    assert data_plane.is_listening(Mapping("own"))
    assert not data_plane.is_listening(mapping(port))
    serving.answer()
    serving.start()
    serving.wait_until_it_serves()
    assert serving.reactor.call(data_plane.is_listening, mapping(port))
    serving.end()


def test_a_further_mapping(serving: DataPlaneStage, held: ExitStack) -> None:
    """A running data plane serves a further mapping, unless its port is taken."""
    server = held.enter_context(listening())
    [port] = free_ports(1)
    serving.start()
    serving.answer(instance("a", server.getsockname()[1]))
    serving.listen(mapping(port))
    with connect(("127.0.0.1", port)), accept(server):
        pass
    with pytest.raises(CannotListen):
        serving.listen(mapping(server.getsockname()[1]))
    assert serving.data_plane.mappings == [mapping(port)]
    serving.end()


def test_mappings_are_added_and_removed(
    serving: DataPlaneStage, held: ExitStack
) -> None:
    """Added mappings are served, removed ones are not, and old connections stay."""
    server = held.enter_context(listening())
    one, two, three = (mapping(each) for each in free_ports(3))
    serving.listen(one, two)
    serving.start()
    serving.answer(instance("a", server.getsockname()[1]))
    client = held.enter_context(connect(("127.0.0.1", two.listen.port)))  # type: ignore[union-attr]
    upstream = held.enter_context(accept(server))
    serving.replace(one, three)
    assert serving.data_plane.mappings == [one, three]
    for each in (one, three):
        with connect(("127.0.0.1", each.listen.port)), accept(server):  # type: ignore[union-attr]
            pass
    client.sendall(b"hello")
    assert upstream.recv(5) == b"hello"
    serving.end()


def test_forgets(serving: DataPlaneStage) -> None:
    """Answers that no mapping needs are forgotten; others are not."""
    one, two = free_ports(2)
    serving.listen(mapping(one))
    other = evolve(mapping(two), service="mail")
    serving.listen(other)
    for query in (WEB, MAIL):
        serving.answer(query=query)
    serving.replace(other)
    serving.reactor.call(serving.data_plane.forget, [WEB])
    registry = serving.data_plane.registry
    assert [str(each.mapping) for each in serving.data_plane.sockets] == [str(other)]
    assert not registry.answered(WEB)
    assert registry.answered(MAIL)
    serving.end()


def test_operator(serving: DataPlaneStage, held: ExitStack) -> None:
    """A drained upstream gets no connections; an ejected one is the last resort."""
    servers = [held.enter_context(listening()) for _ in range(3)]
    [port] = free_ports(1)
    serving.listen(mapping(port))
    serving.start()
    names = zip("abc", servers, strict=True)
    serving.answer(*(instance(name, each.getsockname()[1]) for name, each in names))
    serving.wait_until_it_serves()
    identities = {
        each.identity.service_id: each.identity
        for each in serving.data_plane.registry.known(WEB)
    }
    serving.reactor.call(serving.data_plane.set_drained, {identities["a"]: 0})
    assert serving.eject(an_identity("nowhere")) == "no mapping selects it"
    assert serving.eject(identities["b"]) == ""  # workers have read the drain before
    for _ in range(4):
        with connect(("127.0.0.1", port)), accept(servers[2]):
            pass
    ejected = serving.traffic(mapping(port)).ejected
    assert [identity for _, identity in ejected] == [identities["b"]]
    serving.end()


def test_drain_ends_with_the_last_connection(
    serving: DataPlaneStage, held: ExitStack
) -> None:
    """
    A draining data plane accepts no more clients, and is done when the last one is.
    """
    server = held.enter_context(listening())
    [port] = free_ports(1)
    serving.listen(mapping(port))
    serving.start()
    serving.answer(instance("a", server.getsockname()[1]))
    over: list[object] = []
    with connect(("127.0.0.1", port)) as client, accept(server) as upstream:
        serving.reactor.call(
            lambda: serving.data_plane.drain().addCallback(over.append)
        )
        client.sendall(b"hello")
        assert upstream.recv(5) == b"hello"
        assert over == []
    eventually(lambda: over == [None], "it is over")
    with pytest.raises(ConnectionRefusedError):
        connect(("127.0.0.1", port))
    assert serving.end() == (1, 0, 0)


def test_observer(serving: DataPlaneStage) -> None:
    """The gateway hears of answers, and of drains that a new registration ends."""
    [port] = free_ports(1)
    serving.listen(mapping(port))
    old = evolve(instance("a", 9), created=10)
    serving.answer(old)
    assert serving.observer.answered == [WEB]
    serving.reactor.call(serving.data_plane.set_drained, {old.identity: 10})
    serving.answer(evolve(old, created=11))
    assert [each.identity for each in serving.observer.reregistered] == [old.identity]
    assert serving.data_plane.registry.drained == {}
    serving.end()


@pytest.mark.parametrize(
    ("count", "cores", "workers"),
    [("auto", 1, 1), ("auto", 3, 3), ("1", 8, 1), ("5", 1, 5), ("auto", 999, 256)],
)
def test_count(
    running: ReactorThread,
    monkeypatch: pytest.MonkeyPatch,
    count: str,
    cores: int,
    workers: int,
) -> None:
    """There are as many workers as configured, or as cores; one is this process."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(cores))
    serving = DataPlaneStage(running, configure([], ["8080:web"], workers=count))
    assert getattr(serving.service, "count", 1) == workers
    serving.end()


def test_cores_elsewhere(
    running: ReactorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a process cannot be kept to some cores, all of them count."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    serving = DataPlaneStage(running, configure([], ["8080:web"], workers="auto"))
    assert serving.service.count == 2
    serving.end()


def test_no_room(running: ReactorThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no shared memory, that is one line."""

    def fail(rows: int) -> Table:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Table, "create", fail)
    with pytest.raises(NoWorkers) as raised:
        DataPlaneStage(running, configure([], ["8080:web"], workers="2"))
    assert str(raised.value) == (
        "--workers 2: cannot create the workers' shared table: Too many open files"
    )
