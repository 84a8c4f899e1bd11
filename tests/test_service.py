"""A whole gateway in a reactor of its own; what Consul would say, the test says."""

import os
import select
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from attrs import evolve
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from lbconsul import service
from lbconsul.admin.status_model import WatchStatus
from lbconsul.balance.instance import Instance
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.config.build import build, configure
from lbconsul.config.diff import Plan
from lbconsul.config.model import Config, Mapping
from lbconsul.config.sources import Source, from_command_line
from lbconsul.errors import CannotListen, CannotReload, ConfigError
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.proxy import own_listeners as own
from lbconsul.proxy.targets import failover_spec
from lbconsul.service import Gateway, balancer
from tests.support.loopback import accept, connect, listening, receive, refusing
from tests.support.ports import free_ports
from tests.support.running_proxy import ReactorThread
from tests.support.upstreams import instance
from tests.support.waiting import eventually

WEB = ServiceQuery("web")


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Closes at the end of a test what it put into it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def running() -> Iterator[ReactorThread]:
    """A reactor."""
    with ReactorThread() as reactor:
        yield reactor


@pytest.fixture
def no_consul() -> Iterator[str]:
    """Where Consul is not: what the registry knows is what the test fills in."""
    with refusing() as port:
        yield f"127.0.0.1:{port}"


class Started:
    """A gateway that runs, until it is left."""

    def __init__(self, running: ReactorThread, gateway: Gateway) -> None:
        self.running = running
        self.gateway = gateway

    def __enter__(self) -> Gateway:
        self.running.call(self.gateway.privilegedStartService)
        self.running.call(self.gateway.startService)
        return self.gateway

    def __exit__(self, *_: object) -> None:
        if self.gateway.running:
            self.stop()

    def stop(self) -> None:
        """Stop it, and wait until that is done."""
        self.running.outcome(self.gateway.stopService)


def serve(running: ReactorThread, gateway: Gateway, *instances: Instance) -> None:
    """Let Consul say that these are the instances of web."""
    running.call(gateway.registry.replace, WEB, instances)


def of(server: socket.socket, name: str = "a") -> Instance:
    """The instance that listens on a socket."""
    return instance(name, server.getsockname()[1])


def local(port: int) -> tuple[str, int]:
    """A port of loopback."""
    return "127.0.0.1", port


def texts(events: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of log."""
    return [formatEvent(event) for event in events]


def assert_passes(client: socket.socket, upstream: socket.socket) -> None:
    """What either says reaches the other."""
    client.sendall(b"question")
    assert receive(upstream, 8) == b"question"
    upstream.sendall(b"answer")
    assert receive(client, 6) == b"answer"


class TestMakeup:
    """What a gateway is made of."""

    def test_interface(self, running: ReactorThread) -> None:
        """It is a service like any other of Twisted's."""
        gateway = balancer(running.reactor, configure([], ["8080:web"]))
        assert verifyObject(IService, gateway)

    def test_watches(self, running: ReactorThread) -> None:
        """Mappings that ask Consul the same share one watch."""
        mappings = [
            "8080:web",
            "8081:web,tag=v2,policy=p2c",
            "8082:web,dc=dc2",
            "8083:mail",
        ]
        gateway = balancer(running.reactor, configure([], mappings))
        gateway.proxy_factory(Mapping("mail", health=frozenset({"passing"})))
        assert sorted(map(str, gateway._watches._watches)) == [
            "mail",
            "web",
            "web,dc=dc2",
        ]

    def test_unreadable_token(self, running: ReactorThread) -> None:
        """A token file that cannot be read is found out before anything starts."""
        config = configure([], ["8080:web"], token_file="/nowhere/token")
        with pytest.raises(ConfigError, match="/nowhere/token"):
            balancer(running.reactor, config)

    def test_no_place_for_snapshots(self, running: ReactorThread) -> None:
        """So is a directory for snapshots that cannot be one."""
        config = evolve(configure([], ["8080:web"]), state_dir="/dev/null")
        with pytest.raises(ConfigError, match="--state-dir /dev/null"):
            balancer(running.reactor, config)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_state_of_another_user(
        self, running: ReactorThread, tmp_path: Path
    ) -> None:
        """What another user may have put there decides nothing."""
        os.chown(tmp_path, 12345, -1)
        config = evolve(configure([], ["8080:web"]), state_dir=str(tmp_path))
        with pytest.raises(ConfigError, match="belongs to user 12345 instead of 0"):
            balancer(running.reactor, config)


class TestBinding:
    """Listening sockets before the start."""

    def test_all(self, running: ReactorThread, no_consul: str) -> None:
        """Every port is open once they are bound, and bound again that changes none."""
        ports = free_ports(2)
        mappings = [f"127.0.0.1:{port}:web,connect-timeout=100ms" for port in ports]
        gateway = balancer(running.reactor, configure([no_consul], mappings))
        running.call(gateway.bind)
        running.call(gateway.bind)
        clients = [connect(local(port)) for port in ports]
        with Started(running, gateway):
            for client in clients:
                assert client.recv(1) == b""
                client.close()

    @pytest.mark.parametrize("dev", [False, True])
    def test_none(self, running: ReactorThread, *, dev: bool) -> None:
        """If one of them is not to be had, none is left open."""
        free, other, consul = free_ports(3)
        with listening() as taken:
            busy = taken.getsockname()[1]
            ports = [free, busy, other]
            source = from_command_line(
                {},
                [f"127.0.0.1:{consul}"],
                [f"127.0.0.1:{port}:web" for port in ports],
            )
            gateway = balancer(
                running.reactor, build(Source(), Source(), source, dev=dev)
            )
            with pytest.raises(CannotListen, match=f"127.0.0.1:{busy}:web"):
                running.call(gateway.bind)
        for port in (free, other, consul):
            eventually(lambda port=port: is_free(port), f"{port} is free")  # type: ignore[misc]
        running.call(gateway.bind)
        with Started(running, gateway):
            connect(local(busy)).close()

    def test_inherited(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """Sockets that systemd passed in are found by their name."""
        passed, server = (held.enter_context(listening()) for _ in range(2))
        config = configure([no_consul], ["systemd:front:web"])
        gateway = balancer(
            running.reactor, config, inherited={"front": passed.fileno()}
        )
        with Started(running, gateway):
            serve(running, gateway, of(server))
            with connect(passed.getsockname()) as client, accept(server) as upstream:
                assert_passes(client, upstream)


def is_free(port: int) -> bool:
    """Whether nobody listens on it."""
    try:
        socket.create_server(local(port)).close()
    except OSError:
        return False
    return True


class TestServing:
    """From a port to the instances of its service."""

    def test_what_consul_says_counts(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """A client gets an instance as soon as there is one, and the new ones then."""
        [port] = free_ports(1)
        one, other = (held.enter_context(listening()) for _ in range(2))
        mapping = f"127.0.0.1:{port}:web,connect-timeout=100ms"
        config = configure([no_consul], [mapping])
        with Started(running, balancer(running.reactor, config)) as gateway:
            assert connect(local(port)).recv(1) == b""
            for server in (one, other):
                serve(running, gateway, of(server, str(server.fileno())))
                with connect(local(port)) as client, accept(server) as upstream:
                    assert_passes(client, upstream)

    def test_mappings_share_their_counts(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """Two ports of one service are balanced as one."""
        ports = free_ports(2)
        servers = [held.enter_context(listening()) for _ in range(2)]
        config = configure([no_consul], [f"127.0.0.1:{port}:web" for port in ports])
        with Started(running, balancer(running.reactor, config)) as gateway:
            serve(running, gateway, *(of(each, str(each.fileno())) for each in servers))
            for port in ports * 5:
                held.enter_context(connect(local(port)))
            upstreams = [
                held.enter_context(accept(server))
                for server in servers
                for _ in range(5)
            ]
            assert len(upstreams) == 10
            assert running.call(gateway.registry.open_connections) == 10

    def test_limit(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """Where only one connection is allowed, the next follows on its end."""
        [port] = free_ports(1)
        server = held.enter_context(listening())
        mapping = f"127.0.0.1:{port}:web,max-connections=1"
        gateway = balancer(running.reactor, configure([no_consul], [mapping]))
        with Started(running, gateway):
            serve(running, gateway, of(server))
            for client in [connect(local(port)) for _ in range(5)]:
                with accept(server) as upstream, client:
                    assert running.call(gateway.registry.open_connections) == 1
                    assert_passes(client, upstream)

    def test_limit_of_the_process(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """Where there is room for one only, the next follows on any mapping's end."""
        ports = free_ports(2)
        server = held.enter_context(listening())
        mappings = [f"127.0.0.1:{port}:web" for port in ports]
        config = configure([no_consul], mappings)
        gateway = balancer(running.reactor, config, max_connections=1)
        with Started(running, gateway):
            serve(running, gateway, of(server))
            clients = [held.enter_context(connect(local(port))) for port in ports * 3]
            for number, client in enumerate(clients):
                client.sendall(bytes([number]))
            served: list[int] = []
            for _ in clients:
                with accept(server) as upstream:
                    assert running.call(gateway.registry.open_connections) == 1
                    served += upstream.recv(1)
                    clients[served[-1]].close()
            assert sorted(served) == [0, 1, 2, 3, 4, 5]

    def test_an_address_that_moves_here(
        self, running: ReactorThread, no_consul: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A virtual address that this host takes over is its own soon after, though
        Consul says nothing new: else the gateway would connect to itself.
        """
        (port,) = free_ports(1)
        addresses = {"192.0.2.1"}
        monkeypatch.setattr(own, "_host_addresses", lambda: frozenset(addresses))
        monkeypatch.setattr(own, "MAX_AGE", 0.05)
        monkeypatch.setattr(service, "MAX_AGE", 0.05)
        mapping = f"{port}:web,when-empty=fallback=192.0.2.7:{port}"
        gateway = balancer(running.reactor, configure([no_consul], [mapping]))
        with Started(running, gateway):

            def skipped() -> int:
                states: list[WatchStatus] = running.call(
                    lambda: [*gateway.watch_states]
                )
                return sum(each.skipped for each in states)

            assert skipped() == 0
            addresses.add("192.0.2.7")
            eventually(lambda: skipped() == 1, "it knows itself")
            addresses.remove("192.0.2.7")
            eventually(lambda: skipped() == 0, "it is another host's again")

    @pytest.mark.parametrize("log", ["on", "off"])
    def test_connection_log(
        self, running: ReactorThread, no_consul: str, log: str
    ) -> None:
        """One can have a line of log for each connection, or none."""
        [port] = free_ports(1)
        mapping = f"127.0.0.1:{port}:web,connect-timeout=100ms"
        config = configure([no_consul], [mapping], connection_log=log)
        with (
            capturedLogs() as events,
            Started(running, balancer(running.reactor, config)),
        ):
            assert connect(local(port)).recv(1) == b""
        lines = [text for text in texts(events) if text.endswith(" SC")]
        assert len(lines) == (log == "on")

    def test_dev(self, running: ReactorThread) -> None:
        """With --dev the catalog and its web servers are there by themselves."""
        port, consul = free_ports(2)
        source = from_command_line(
            {}, [f"127.0.0.1:{consul}"], [f"127.0.0.1:{port}:web"]
        )
        config = build(Source(), Source(), source, dev=True)
        with Started(running, balancer(running.reactor, config)) as gateway:
            eventually(
                lambda: running.call(gateway.registry.answered, WEB), "an answer"
            )
            with connect(local(port)) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert receive(client, 12).endswith(b" 200")


class TestOwnEndpoint:
    """A mapping that somebody else listens for."""

    @pytest.mark.parametrize("early", [True, False])
    def test_endpoint(
        self,
        running: ReactorThread,
        no_consul: str,
        held: ExitStack,
        *,
        early: bool,
    ) -> None:
        """An endpoint of one's own serves, whether it was there at the start or not."""
        server = held.enter_context(listening())
        [port] = free_ports(1)
        config = configure([no_consul], [f"127.0.0.1:{port}:other"])
        gateway = balancer(running.reactor, config)
        started = Started(running, gateway)
        if not early:
            held.enter_context(started)
        factory = running.call(gateway.proxy_factory, Mapping("web"))
        assert str(factory.mapping) == "web"
        endpoint = TCP4ServerEndpoint(running.reactor, 0, interface="127.0.0.1")
        listener = running.outcome(lambda: endpoint.listen(factory))
        if early:
            held.enter_context(started)
        assert {each.name for each in gateway if not each.running} == set()
        serve(running, gateway, of(server))
        with (
            connect(local(listener.getHost().port)) as client,
            accept(server) as upstream,
        ):
            assert_passes(client, upstream)
            started.stop()
            assert client.recv(1) == upstream.recv(1) == b""
        running.call(listener.stopListening)


class TestWorkers:
    """Processes beside this one."""

    @pytest.mark.process
    def test_one_balance(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """Workers serve what the gateway listens on; an endpoint of one's own is
        served here; and the balance is one.
        """
        servers = [held.enter_context(listening()) for _ in range(2)]
        [port] = free_ports(1)
        mapping = f"127.0.0.1:{port}:web"
        config = configure([no_consul], [mapping], workers="2")
        gateway = balancer(running.reactor, config)
        with capturedLogs() as events, Started(running, gateway):
            factory = running.call(gateway.proxy_factory, Mapping("web"))
            endpoint = TCP4ServerEndpoint(running.reactor, 0, interface="127.0.0.1")
            own = running.outcome(lambda: endpoint.listen(factory))
            serve(running, gateway, *(of(each, str(each)) for each in servers))
            for each in (port, own.getHost().port) * 3:
                client = held.enter_context(connect(local(each)))
                client.sendall(b"x")
                [ready], _, _ = select.select(servers, [], [], 20)
                held.enter_context(accept(ready))
            loads = {
                each.load.open
                for each in running.call(
                    gateway.registry.pool, failover_spec(Mapping("web")).selections[0]
                ).upstreams()
            }
            assert loads == {3}
            running.outcome(gateway.stopService)
            running.call(own.stopListening)
        said = [text for text in texts(events) if text.startswith(("bal", "stop"))]
        assert said == [
            f"balancing {mapping}",
            "stopped: 6 connections accepted, 6 closed at the end, 0 leases left",
        ]

    @pytest.mark.process
    def test_taken(self, running: ReactorThread, no_consul: str) -> None:
        """If a port is taken no worker is started, and nothing is left open."""
        [free] = free_ports(1)
        with listening() as taken:
            ports = [free, taken.getsockname()[1]]
            mappings = [f"127.0.0.1:{port}:web" for port in ports]
            config = configure([no_consul], mappings, workers="2")
            gateway = balancer(running.reactor, config)
            with pytest.raises(CannotListen, match=mappings[1]):
                running.call(gateway.bind)
        assert is_free(free)

    @pytest.mark.process
    def test_late(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """Workers that run can be given another mapping, unless its port is taken."""
        ports = free_ports(2)
        server = held.enter_context(listening())
        mappings = [f"127.0.0.1:{port}:web" for port in ports]
        config = configure([no_consul], mappings[:1], workers="2")
        gateway = balancer(running.reactor, config)
        [late] = configure([], mappings[1:]).mappings
        with Started(running, gateway):
            serve(running, gateway, of(server))
            running.call(gateway.listen, late)
            with connect(local(ports[1])) as client, accept(server) as upstream:
                assert_passes(client, upstream)
            busy = server.getsockname()[1]
            [taken] = configure([], [f"127.0.0.1:{busy}:web"]).mappings
            with pytest.raises(
                CannotListen, match=f"cannot listen on 127.0.0.1:{busy}"
            ):
                running.call(gateway.listen, taken)
            assert list(gateway.sockets) == [f"127.0.0.1:{port}" for port in ports]
        assert is_free(ports[1])


class Slow(Service):
    """A service that is stopped when it is told that it is."""

    def __init__(self) -> None:
        self.stopped: Deferred[None] = Deferred()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return self.stopped


class TestStop:
    """The end."""

    def test_said(self, running: ReactorThread, no_consul: str) -> None:
        """A gateway says what it balances when it starts, and at its end how it was."""
        ports = free_ports(2)
        mappings = [f"127.0.0.1:{port}:web" for port in ports]
        gateway = balancer(running.reactor, configure([no_consul], mappings))
        with (
            listening() as server,
            capturedLogs() as events,
            Started(running, gateway),
        ):
            serve(running, gateway, of(server))
            with (
                connect(local(ports[0])) as one,
                accept(server),
                connect(local(ports[1])) as other,
                accept(server),
            ):
                running.outcome(gateway.stopService)
                assert one.recv(1) == other.recv(1) == b""
        said = [text for text in texts(events) if text.startswith(("bal", "stop"))]
        assert said == [
            f"balancing {mappings[0]}",
            f"balancing {mappings[1]}",
            "stopped: 2 connections accepted, 2 closed at the end, 0 leases left",
        ]

    def test_order(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """
        New clients are refused first; those that are being served go on until
        everything else has stopped.
        """
        [port] = free_ports(1)
        server = held.enter_context(listening())
        config = configure([no_consul], [f"127.0.0.1:{port}:web"])
        gateway = balancer(running.reactor, config)
        slow = Slow()
        slow.setServiceParent(gateway)
        with Started(running, gateway):
            serve(running, gateway, of(server))
            client = held.enter_context(connect(local(port)))
            upstream = held.enter_context(accept(server))
            stopping = running.call(gateway.stopService)
            with pytest.raises(ConnectionRefusedError):
                connect(local(port))
            ended: list[object] = []
            running.call(stopping.addCallback, ended.append)
            assert ended == []
            assert_passes(client, upstream)
            running.call(slow.stopped.callback, None)
            assert client.recv(1) == upstream.recv(1) == b""
            assert len(ended) == 1


class TestDrain:
    """The end in good order."""

    def test_waits(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """It is over when nothing is open any more; then it takes no other orders."""
        [port] = free_ports(1)
        server = held.enter_context(listening())
        config = configure([no_consul], [f"127.0.0.1:{port}:web"])
        gateway = balancer(running.reactor, config)
        with Started(running, gateway):
            serve(running, gateway, of(server))
            client = held.enter_context(connect(local(port)))
            upstream = held.enter_context(accept(server))
            over: list[object] = []
            for _ in range(2):
                running.call(lambda: gateway.drain().addCallback(over.append))
            assert is_free(port)
            assert_passes(client, upstream)
            with pytest.raises(CannotReload, match="the gateway is shutting down"):
                running.call(gateway.reload, config)
            assert over == []
            client.close()
            upstream.close()
            eventually(lambda: over == [None, None], "it is over")

    def test_by_the_admin_side(self, running: ReactorThread, no_consul: str) -> None:
        """Who drains the gateway ends it, once; that it drains is noted and shown."""
        [port] = free_ports(1)
        gateway = balancer(
            running.reactor, configure([no_consul], [f"127.0.0.1:{port}:web"])
        )
        ends: list[int] = []
        gateway.finished = ends.append
        with Started(running, gateway):
            seen = [gateway.is_draining]
            running.call(gateway.shut_down)
            assert [*seen, gateway.is_draining] == [False, True]
            assert is_free(port)
            eventually(lambda: ends == [0], "it is over")
            events = gateway._admin.events
            assert events.get(events.newest).kind == "draining"

    def test_stop_is_at_once(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """Whoever stops it meanwhile waits for nobody."""
        ports = free_ports(2)
        for port, grace in zip(ports, (0.0, 60.0), strict=True):
            server = held.enter_context(listening())
            config = configure([no_consul], [f"127.0.0.1:{port}:web"])
            gateway = balancer(running.reactor, config)
            over: list[object] = []
            with Started(running, gateway) as gateway:
                serve(running, gateway, of(server))
                client = held.enter_context(connect(local(port)))
                held.enter_context(accept(server))
                running.call(lambda: gateway.drain(grace).addCallback(over.append))  # noqa: B023
                assert is_free(port) == (not grace)
            assert client.recv(1) == b""
            assert over == [None]

    @pytest.mark.process
    def test_workers(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """Workers have ended by then."""
        [port] = free_ports(1)
        server = held.enter_context(listening())
        config = configure([no_consul], [f"127.0.0.1:{port}:web"], workers="2")
        gateway = balancer(running.reactor, config)
        with capturedLogs() as events, Started(running, gateway):
            serve(running, gateway, of(server))
            client = held.enter_context(connect(local(port)))
            upstream = held.enter_context(accept(server))
            over: list[object] = []
            running.call(lambda: gateway.drain().addCallback(over.append))
            eventually(lambda: is_free(port), "nobody listens")
            assert_passes(client, upstream)
            assert over == []
            client.close()
            upstream.close()
            eventually(lambda: over == [None], "it is over")
        assert texts(events)[-1] == (
            "stopped: 1 connections accepted, 0 closed at the end, 0 leases left"
        )


class TestReload:
    """Another configuration while it runs."""

    def test_not_now(self, running: ReactorThread, no_consul: str) -> None:
        """One that does not run is not reloaded."""
        config = configure([no_consul], ["8080:web"])
        gateway = balancer(running.reactor, config)
        with pytest.raises(CannotReload, match="the gateway does not run"):
            gateway.reload(config)

    @pytest.mark.process
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_mappings(
        self, running: ReactorThread, no_consul: str, held: ExitStack, workers: str
    ) -> None:
        """What is not there any more is not asked for; what is shared goes on."""
        ports = free_ports(3)
        server = held.enter_context(listening())

        def config(*mappings: str) -> Config:
            words = [f"127.0.0.1:{each}" for each in mappings]
            return configure([no_consul], words, workers=workers)

        one, two, three = ports
        first = config(f"{one}:web", f"{two}:mail")
        gateway = balancer(running.reactor, first)
        with capturedLogs() as events, Started(running, gateway):
            own = running.call(gateway.proxy_factory, Mapping("own"))
            serve(running, gateway, of(server))
            running.call(gateway.registry.replace, ServiceQuery("mail"), [])
            client = held.enter_context(connect(local(one)))
            upstream = held.enter_context(accept(server))
            change = running.call(
                gateway.reload, config(f"{one}:web,attempts=2", f"{three}:web")
            )
            assert [len(change.added), len(change.altered), len(change.removed)] == [
                1,
                1,
                1,
            ]
            assert_passes(client, upstream)
            with connect(local(three)), accept(server):
                pass
            eventually(lambda: is_free(two), "nobody listens")
            assert not gateway.registry.answered(ServiceQuery("mail"))
            assert set(gateway._watches._watches) == {WEB, ServiceQuery("own")}
            assert own.mapping in gateway.data_plane.mappings
            assert list(gateway.sockets) == [
                f"127.0.0.1:{port}" for port in (one, three)
            ]
        assert f"reloaded: {change}" in texts(events)

    def test_gradually(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """
        It may be done in slices.  What else is asked of the gateway meanwhile finds it
        done: another reload, and the end.
        """
        server, ports = held.enter_context(listening()), free_ports(20)
        every, some = (
            configure([no_consul], [f"127.0.0.1:{each}:web" for each in several])
            for several in (ports, ports[10:])
        )
        gateway = balancer(running.reactor, some)
        done: list[Plan] = []

        def reload(*configs: Config) -> int:
            """How many are done before the next turn of the reactor, if it is busy."""
            with patch.object(TimeSlicer, "_slice"):
                for each in configs:
                    gateway.reload_gradually(each).addCallback(done.append)
                return len(done)

        with capturedLogs() as events, Started(running, gateway):
            serve(running, gateway, of(server))
            assert running.call(reload, every) == 0
            running.call(gateway.proxy_factory, Mapping("own"))
            assert [len(each.added) for each in done] == [10]
            for each in ports:
                client = held.enter_context(connect(local(each)))
                assert_passes(client, held.enter_context(accept(server)))
            assert running.call(reload, some, every, some) == 3
            running.call(lambda: gateway.drain() and None)
            assert [len(each.added) for each in done] == [10, 0, 10, 0]
            assert all(map(is_free, ports))
        assert not any("bug" in text for text in texts(events))

    def test_gradually_nothing(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """If anything of it is not to be had it is told to whoever waits for it."""
        [port] = free_ports(1)
        taken = held.enter_context(listening())
        config, other = (
            configure([no_consul], [f"127.0.0.1:{each}:web"])
            for each in (port, taken.getsockname()[1])
        )
        gateway = balancer(running.reactor, config)
        failures: list[Failure] = []
        with Started(running, gateway):
            running.call(
                lambda: gateway.reload_gradually(other).addErrback(failures.append)
            )
            eventually(lambda: failures, "it is told")
            assert (gateway.config, is_free(port)) == (config, False)
        assert failures[0].check(CannotListen)

    def test_all_or_nothing(
        self, running: ReactorThread, no_consul: str, held: ExitStack, tmp_path: Path
    ) -> None:
        """If anything of it is not to be had nothing has changed."""
        one, free = free_ports(2)
        taken = held.enter_context(listening())
        config = configure([no_consul], [f"127.0.0.1:{one}:web"])
        gateway = balancer(running.reactor, config)
        more = configure([no_consul], [f"127.0.0.1:{free}:web"]).mappings
        busy = f"127.0.0.1:{taken.getsockname()[1]}:web"
        bad = [
            evolve(config, mappings=(*more, *configure([], [busy]).mappings)),
            evolve(config, mappings=more, state_dir="/dev/null"),
            evolve(
                config,
                mappings=more,
                consul=evolve(config.consul, token_file=str(tmp_path / "none")),
            ),
        ]
        with Started(running, gateway):
            served = list(gateway.data_plane.sockets)
            for each in bad:
                with pytest.raises((CannotListen, ConfigError)):
                    running.call(gateway.reload, each)
                assert (gateway.config, is_free(free)) == (config, True)
                assert list(gateway.data_plane.sockets) == served

    def test_consul(
        self, running: ReactorThread, no_consul: str, tmp_path: Path
    ) -> None:
        """Another Consul is asked, and answers are kept elsewhere; what needs a
        restart is told.
        """
        [port] = free_ports(1)
        mapping = f"127.0.0.1:{port}:web"
        config = configure([no_consul], [mapping])
        gateway = balancer(running.reactor, config)
        with capturedLogs() as events, Started(running, gateway):
            running.call(gateway.reload, config)
            assert not any("asked anew" in text for text in texts(events))
            other = configure(["127.0.0.1:1"], [mapping], workers="3")
            running.call(gateway.reload, evolve(other, state_dir=str(tmp_path)))
            [watch] = gateway._watches._watches.values()
            assert watch._client.where(0) == "http://127.0.0.1:1"
            assert watch._snapshot is not None
            assert gateway.config.workers == 1
        said = texts(events)
        assert (
            "Consul's address, the wait, the token or the certificate changed: all"
            " watches restarted" in said
        )
        assert "--workers cannot be changed by a reload: restart the gateway" in said
