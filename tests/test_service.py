"""A whole gateway in a reactor of its own; what Consul would say, the test says."""

import os
import select
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from attrs import evolve
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.logger import capturedLogs
from zope.interface.verify import verifyObject

from lbconsul.config.build import build, configure
from lbconsul.config.model import Mapping
from lbconsul.config.sources import Source, from_command_line
from lbconsul.errors import CannotListen, CannotReload, ConfigError
from lbconsul.proxy.targets import failover_spec
from lbconsul.service import Gateway
from tests.support.loopback import accept, connect, listening, receive, refusing
from tests.support.ports import free_ports
from tests.support.running_gateway import (
    WEB,
    Started,
    assert_passes,
    is_free,
    local,
    of,
    serve,
    texts,
)
from tests.support.running_proxy import ReactorThread
from tests.support.waiting import eventually


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


class TestMakeup:
    """What a gateway is made of."""

    def test_interface(self, running: ReactorThread) -> None:
        """The gateway is a Twisted service like any other."""
        gateway = Gateway(running.reactor, configure([], ["8080:web"]))
        assert verifyObject(IService, gateway)

    def test_watches(self, running: ReactorThread) -> None:
        """Mappings that ask Consul the same share one watch."""
        mappings = [
            "8080:web",
            "8081:web,tag=v2,policy=p2c",
            "8082:web,dc=dc2",
            "8083:mail",
        ]
        gateway = Gateway(running.reactor, configure([], mappings))
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
            Gateway(running.reactor, config)

    def test_no_place_for_snapshots(self, running: ReactorThread) -> None:
        """So is a path for snapshots that cannot be a directory."""
        config = evolve(configure([], ["8080:web"]), state_dir="/dev/null")
        with pytest.raises(ConfigError, match="--state-dir /dev/null"):
            Gateway(running.reactor, config)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_state_of_another_user(
        self, running: ReactorThread, tmp_path: Path
    ) -> None:
        """A state directory that another user can change is refused."""
        os.chown(tmp_path, 12345, -1)
        config = evolve(configure([], ["8080:web"]), state_dir=str(tmp_path))
        with pytest.raises(ConfigError, match="belongs to user 12345 instead of 0"):
            Gateway(running.reactor, config)


class TestBinding:
    """Listening sockets before the start."""

    def test_all(self, running: ReactorThread, no_consul: str) -> None:
        """Every port is open once they are bound, and bound again that changes none."""
        ports = free_ports(2)
        mappings = [f"127.0.0.1:{port}:web,connect-timeout=100ms" for port in ports]
        gateway = Gateway(running.reactor, configure([no_consul], mappings))
        running.call(gateway.bind)
        running.call(gateway.bind)
        clients = [connect(local(port)) for port in ports]
        with Started(running, gateway):
            for client in clients:
                assert client.recv(1) == b""
                client.close()

    @pytest.mark.parametrize("dev", [False, True])
    def test_one_socket_that_cannot_be_bound(
        self, running: ReactorThread, *, dev: bool
    ) -> None:
        """If one socket cannot be bound, none is left open."""
        free, other, consul = free_ports(3)
        with listening() as taken:
            busy = taken.getsockname()[1]
            ports = [free, busy, other]
            source = from_command_line(
                {},
                [f"127.0.0.1:{consul}"],
                [f"127.0.0.1:{port}:web" for port in ports],
            )
            gateway = Gateway(
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
        gateway = Gateway(running.reactor, config, inherited={"front": passed.fileno()})
        with Started(running, gateway):
            serve(running, gateway, of(server))
            with connect(passed.getsockname()) as client, accept(server) as upstream:
                assert_passes(client, upstream)


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
        with Started(running, Gateway(running.reactor, config)) as gateway:
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
        with Started(running, Gateway(running.reactor, config)) as gateway:
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
        gateway = Gateway(running.reactor, configure([no_consul], [mapping]))
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
        gateway = Gateway(running.reactor, config, max_connections=1)
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
            Started(running, Gateway(running.reactor, config)),
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
        with Started(running, Gateway(running.reactor, config)) as gateway:
            eventually(
                lambda: running.call(gateway.registry.answered, WEB), "an answer"
            )
            with connect(local(port)) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert receive(client, 12).endswith(b" 200")


class TestOwnEndpoint:
    """A mapping whose clients an embedder accepts."""

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
        gateway = Gateway(running.reactor, config)
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
        gateway = Gateway(running.reactor, config)
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
            "stopped: 6 connections accepted, 6 closed at the end",
        ]

    @pytest.mark.process
    def test_taken(self, running: ReactorThread, no_consul: str) -> None:
        """If a port is taken no worker is started, and nothing is left open."""
        [free] = free_ports(1)
        with listening() as taken:
            ports = [free, taken.getsockname()[1]]
            mappings = [f"127.0.0.1:{port}:web" for port in ports]
            config = configure([no_consul], mappings, workers="2")
            gateway = Gateway(running.reactor, config)
            with pytest.raises(CannotListen, match=mappings[1]):
                running.call(gateway.bind)
        assert is_free(free)

    @pytest.mark.process
    def test_a_further_mapping_for_workers(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """Workers that run can be given another mapping, unless its port is taken."""
        ports = free_ports(2)
        server = held.enter_context(listening())
        mappings = [f"127.0.0.1:{port}:web" for port in ports]
        config = configure([no_consul], mappings[:1], workers="2")
        gateway = Gateway(running.reactor, config)
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
    """A service that is stopped from its own callback."""

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
        gateway = Gateway(running.reactor, configure([no_consul], mappings))
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
            "stopped: 2 connections accepted, 2 closed at the end",
        ]

    def test_parts_stop_in_order(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """
        New clients are refused first; those that are being served go on until
        everything else has stopped.
        """
        [port] = free_ports(1)
        server = held.enter_context(listening())
        config = configure([no_consul], [f"127.0.0.1:{port}:web"])
        gateway = Gateway(running.reactor, config)
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

    def test_drain_is_over_when_nothing_is_open(
        self, running: ReactorThread, no_consul: str, held: ExitStack
    ) -> None:
        """The drain is over when nothing is open any more; then a reload is refused."""
        [port] = free_ports(1)
        server = held.enter_context(listening())
        config = configure([no_consul], [f"127.0.0.1:{port}:web"])
        gateway = Gateway(running.reactor, config)
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
        """An order to drain ends the gateway, once; the drain is an event and shown."""
        [port] = free_ports(1)
        gateway = Gateway(
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
        """A stop meanwhile does not wait for connections."""
        ports = free_ports(2)
        for port, grace in zip(ports, (0.0, 60.0), strict=True):
            server = held.enter_context(listening())
            config = configure([no_consul], [f"127.0.0.1:{port}:web"])
            gateway = Gateway(running.reactor, config)
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
        gateway = Gateway(running.reactor, config)
        with capturedLogs() as events, Started(running, gateway):
            serve(running, gateway, of(server))
            client = held.enter_context(connect(local(port)))
            upstream = held.enter_context(accept(server))
            over: list[object] = []
            running.call(lambda: gateway.drain().addCallback(over.append))
            eventually(lambda: is_free(port), "no process listens")
            assert_passes(client, upstream)
            assert over == []
            client.close()
            upstream.close()
            eventually(lambda: over == [None], "it is over")
        assert texts(events)[-1] == (
            "stopped: 1 connections accepted, 0 closed at the end"
        )
