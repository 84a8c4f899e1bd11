"""Mappings that come and go while the process serves."""

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from attrs import evolve
from twisted.application.service import IService
from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.logger import capturedLogs, formatEvent
from zope.interface.verify import verifyObject

from lbconsul.balance.pool_spec import FailoverSpec
from lbconsul.balance.registry import Registry
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import (
    Drain,
    Limits,
    Mapping,
    Timeouts,
)
from lbconsul.errors import CannotListen
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.proxy import connection_drain
from lbconsul.proxy.active_listener import ActiveListener
from lbconsul.proxy.handler import handle
from lbconsul.proxy.listener_manager import ListenerManager
from lbconsul.proxy.runtime import ProxyRuntime
from lbconsul.proxy.saturation import DESCRIPTORS, PROCESS
from lbconsul.proxy.saturation import MAPPING as MAPPING_FULL
from lbconsul.proxy.targets import failover_spec
from tests.support import loopback
from tests.support.loopback import accept, connect, listening
from tests.support.ports import free_ports
from tests.support.running_proxy import ReactorThread
from tests.support.upstreams import WEB, instance
from tests.support.waiting import PATIENCE, eventually

HERE = TCPListen("127.0.0.1", 0)
MAPPING = Mapping("web", HERE)


class Running:
    """Runs listeners in a reactor of its own; the test sets the instances of web."""

    def __init__(self, running: ReactorThread, held: ExitStack) -> None:
        self.running = running
        self.held = held
        self.registry = Registry(
            lambda: 0.0, on_change=lambda query, _: self.serving.answered(query)
        )
        #: How often unused pools were released.
        self.releases = 0
        self.runtime = running.call(
            ProxyRuntime,
            running.reactor,
            self.registry,
            needed_elsewhere=self._releasing,
        )
        self.serving = ListenerManager(self.runtime)
        self.server = held.enter_context(listening())
        self.sources: list[OwnedSocket] = []

    def _releasing(self) -> tuple[FailoverSpec, ...]:
        self.releases += 1
        return ()

    def begin(self, *mappings: Mapping, answered: bool = True) -> list[OwnedSocket]:
        """Serve these from the start."""
        self.sources = [OwnedSocket(each) for each in mappings]
        for each in self.sources:
            self.running.call(self.serving.serve, each.mapping, each)
        if answered:
            self.answer()
        self.running.call(self.serving.privilegedStartService)
        self.running.call(self.serving.startService)
        return self.sources

    def answer(self) -> None:
        """Consul says that our server is the one instance of web."""
        one = instance("a", self.server.getsockname()[1])
        self.running.call(self.registry.replace, WEB.query, [one])

    def replace(
        self, *wanted: tuple[Mapping, OwnedSocket], renew: bool = False
    ) -> None:
        """Serve just these."""
        steps = self.serving.replacing(wanted, renew=renew)
        self.running.call(deque, steps, 0)

    def pair(self, source: OwnedSocket) -> tuple[Any, Any]:
        """A client, and what the server has of it."""
        client = self.held.enter_context(connect(source.open().getsockname()))
        return client, self.held.enter_context(accept(self.server))

    def drain(self) -> list[bool]:
        """Retire; holds True once that is over."""
        over: list[bool] = []
        self.running.call(
            lambda: self.serving.drain().addCallback(lambda _: over.append(True))
        )
        return over

    def end(self) -> None:
        """Stop, and close everything."""
        if self.serving.running:
            self.running.call(self.serving.stopService)
        self.running.call(self.serving.close_connections)
        self.running.call(self.serving.close)
        assert self.registry.open_connections() == 0


@pytest.fixture
def running() -> Iterator[Running]:
    """Not started."""
    with ReactorThread() as reactor, ExitStack() as held:
        made = Running(reactor, held)
        yield made
        made.end()


def assert_alive(client: Any, upstream: Any) -> None:
    """Client and upstream are still connected."""
    client.sendall(b"hello")
    assert upstream.recv(5) == b"hello"


def test_interface(running: Running) -> None:
    """The manager is a Twisted service."""
    assert verifyObject(IService, running.serving)


def test_serves(running: Running) -> None:
    """From its start on clients are accepted, and after its end none are."""
    [source] = running.begin(MAPPING)
    assert running.serving.mappings == [MAPPING]
    address = source.open().getsockname()
    pair = running.pair(source)
    assert (running.runtime.open, running.runtime.accepted) == (1, 1)
    running.running.call(running.serving.stopService)
    with pytest.raises(ConnectionRefusedError):
        connect(address)
    assert_alive(*pair)
    running.running.call(running.serving.close_connections)
    assert pair[0].recv(1) == b""


def test_bound_early(running: Running) -> None:
    """Sockets can be opened before the start, and given back without one."""
    [port] = free_ports(1)
    free = OwnedSocket(Mapping("web", TCPListen("127.0.0.1", port)))
    taken = running.server.getsockname()[1]
    busy = OwnedSocket(Mapping("web", TCPListen("127.0.0.1", taken)))
    for each in (free, busy):
        running.running.call(running.serving.serve, each.mapping, each)
    with pytest.raises(CannotListen):
        running.serving.bind()
    connect(("127.0.0.1", port)).close()
    running.serving.close()
    with pytest.raises(ConnectionRefusedError):
        connect(("127.0.0.1", port))


def test_waits_for_the_first_answer(running: Running) -> None:
    """A client that comes before Consul's first answer waits in the kernel's queue."""
    mapping = evolve(MAPPING, timeouts=Timeouts(connect=30.0))
    [source] = running.begin(mapping, answered=False)
    client = running.held.enter_context(connect(source.open().getsockname()))
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(1)
    running.answer()
    assert_alive(client, running.held.enter_context(accept(running.server)))


def test_waits_not_for_ever(running: Running) -> None:
    """After connect-timeout clients are let in anyway, to be closed."""
    [source] = running.begin(
        evolve(MAPPING, timeouts=Timeouts(connect=0.2)), answered=False
    )
    with connect(source.open().getsockname()) as client:
        assert client.recv(1) == b""
    running.answer()
    running.pair(source)


def test_waits_while_names_are_looked_up(running: Running) -> None:
    """Once Consul has answered, clients wait until its instances' names are known."""
    [source] = running.begin(
        evolve(MAPPING, timeouts=Timeouts(connect=0.1)), answered=False
    )
    ask = failover_spec(MAPPING).selections[0].query
    running.running.call(partial(running.registry.replace, ask, [], pending=True))
    client = running.held.enter_context(connect(source.open().getsockname()))
    client.settimeout(0.5)
    with pytest.raises(TimeoutError):
        client.recv(1)
    running.answer()
    assert_alive(client, running.held.enter_context(accept(running.server)))


def test_stopped_while_it_waits(running: Running) -> None:
    """A stop leaves nothing behind that would begin to accept later."""
    running.begin(evolve(MAPPING, timeouts=Timeouts(connect=30.0)), answered=False)
    running.running.call(running.serving.stopService)
    running.answer()
    [served] = running.serving.served
    assert (served.listener, served.waiting) == (None, None)


def test_fallback(running: Running) -> None:
    """Each datacenter is waited for, up to the first one with an instance."""
    mapping = evolve(MAPPING, dc=("dc1", "dc2"), timeouts=Timeouts(connect=30.0))
    running.begin(mapping, answered=False)
    [served] = running.serving.served
    one, two = (each.query for each in failover_spec(mapping).all())
    replace = running.registry.replace
    running.running.call(replace, two, [])
    assert served.listener is None
    running.running.call(replace, one, [])
    assert served.listener is not None


def test_an_unchanged_mapping(running: Running) -> None:
    """An unchanged mapping is not touched."""
    sources = running.begin(MAPPING, MAPPING)
    before = [(each.proxy, each.listener) for each in running.serving.served]
    pair = running.pair(sources[0])
    running.replace(*((each.mapping, each) for each in sources))
    after = [(each.proxy, each.listener) for each in running.serving.served]
    assert after == before
    assert_alive(*pair)


def test_an_added_mapping(running: Running) -> None:
    """An added mapping is served at once."""
    [old] = running.begin(MAPPING)
    new = OwnedSocket(MAPPING)
    running.replace((MAPPING, old), (MAPPING, new))
    running.pair(old)
    running.pair(new)


def test_a_removed_mapping(running: Running) -> None:
    """A removed mapping listens no longer; its connections may end by themselves."""
    other, gone = running.begin(MAPPING, evolve(MAPPING, attempts=5))
    address = gone.open().getsockname()
    client, upstream = running.pair(gone)
    running.replace((MAPPING, other))
    with pytest.raises(ConnectionRefusedError):
        connect(address)
    assert_alive(client, upstream)
    assert running.runtime.open == 1
    assert running.releases == 1
    client.close()
    upstream.close()
    eventually(lambda: running.releases == 2, "its proxy is gone")
    assert len(running.runtime._proxies) == 1
    assert running.runtime.accepted == 1


def test_many_removed(running: Running) -> None:
    """Where connections of many that were removed end together it lets go once."""
    several = [evolve(MAPPING, attempts=5 + each) for each in range(5)]
    other, *gone = running.begin(MAPPING, *several)
    pairs = [running.pair(each) for each in gone]
    running.replace((MAPPING, other))
    running.running.call(running.runtime.close_connections)
    assert len(running.runtime._proxies) == 1
    eventually(lambda: running.releases == 2, "their pools are released")
    for client, _ in pairs:
        assert client.recv(1) == b""
    running.running.call(running.serving.tick)
    assert running.releases == 2


def test_removed_in_time(running: Running) -> None:
    """Connections that do not end are closed when the drain timeout is over."""
    [source] = running.begin(evolve(MAPPING, drain=Drain(timeout=0.5)))
    client, _ = running.pair(source)
    with capturedLogs() as events:
        running.replace()
        assert client.recv(1) == b""
        eventually(lambda: events, "it is told")
    assert formatEvent(events[-1]).endswith(" KM")
    eventually(lambda: not running.runtime._proxies, "its proxy is gone")


def test_an_altered_mapping(running: Running) -> None:
    """Under other options the socket stays; old connections live on under theirs."""
    [source] = running.begin(MAPPING)
    sock = source.open()
    old = running.pair(source)
    [served] = running.serving.served
    first = served.proxy
    longer = evolve(MAPPING, timeouts=Timeouts(idle=5.0))
    running.replace((longer, source))
    new = running.pair(source)
    assert source.open() is sock
    assert (served.mapping, served.open, served.older) == (longer, 2, [first])
    for pair in (old, new):
        assert_alive(*pair)
        pair[0].close()
        pair[1].close()
    eventually(lambda: served.older == [], "the old proxy is gone")
    eventually(lambda: served.open == 0, "all is over")
    assert running.runtime.accepted == 2
    assert len(running.runtime._proxies) == 1


def test_altered_while_idle(running: Running) -> None:
    """Without a connection nothing of the old one stays."""
    [source] = running.begin(MAPPING)
    running.replace((evolve(MAPPING, attempts=1), source))
    [served] = running.serving.served
    assert (served.older, len(running.runtime._proxies)) == ([], 1)
    running.replace((evolve(MAPPING, attempts=1), source), renew=True)
    running.pair(source)


def test_altered_before_the_start(running: Running) -> None:
    """A change before the start takes effect at the start."""
    source = OwnedSocket(MAPPING)
    running.running.call(running.serving.serve, MAPPING, source)
    altered = evolve(MAPPING, attempts=1)
    running.replace((altered, source))
    [served] = running.serving.served
    assert (served.mapping, served.listener) == (altered, None)


def test_another_service(running: Running) -> None:
    """Clients wait until Consul has answered for the new service."""
    [source] = running.begin(MAPPING)
    other = evolve(MAPPING, service="mail", timeouts=Timeouts(connect=30.0))
    running.replace((other, source))
    client = running.held.enter_context(connect(source.open().getsockname()))
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(1)
    one = instance("m", running.server.getsockname()[1])
    query = failover_spec(other).selections[0].query
    running.running.call(running.registry.replace, query, [one])
    assert_alive(client, running.held.enter_context(accept(running.server)))


def test_limit(running: Running) -> None:
    """
    A limit holds over all connections of an address, those of older options included.
    """
    limited = evolve(MAPPING, limits=Limits(connections=1))
    [source] = running.begin(limited)
    client, upstream = running.pair(source)
    running.replace((evolve(limited, attempts=1), source))
    waiting = running.held.enter_context(connect(source.open().getsockname()))
    running.server.settimeout(0.3)
    with pytest.raises(TimeoutError):
        accept(running.server)
    running.server.settimeout(PATIENCE)
    client.close()
    upstream.close()
    assert_alive(waiting, running.held.enter_context(accept(running.server)))


def test_a_limit_is_reported_after_a_second(running: Running) -> None:
    """A reached limit shows after a second, until there has been room for as long."""
    (source,) = running.begin(evolve(MAPPING, limits=Limits(connections=2)))
    pairs = [running.pair(source) for _ in range(2)]
    name = str(source.mapping)
    eventually(lambda: running.serving.full == ((MAPPING_FULL, name),), "it is full")
    for each in pairs[0]:
        each.close()
    eventually(lambda: running.serving.full == (), "it is full no more")


def test_full_process(running: Running) -> None:
    """So are a process at its limit, and one without descriptors."""
    (source,) = running.begin(MAPPING)
    look = running.serving._look_for_full
    assert running.running.call(look) == {}
    running.runtime.connection_limit.limit = 1
    running.pair(source)
    assert running.running.call(look) == {(PROCESS, ""): 1}
    running.runtime.connection_limit.limit = 0
    running.running.call(running.serving.served[0].on_starved)
    assert running.running.call(look) == {(DESCRIPTORS, ""): 0}
    eventually(lambda: running.running.call(look) == {}, "there is something again")


def test_lent(running: Running) -> None:
    """A mapping may have no listener of its own; it drains with the rest."""
    running.begin()
    factory = running.running.call(running.serving.lend, MAPPING)
    assert running.serving.mappings == [MAPPING]
    running.answer()
    reactor = running.running.reactor
    endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    port = running.running.outcome(lambda: endpoint.listen(factory))
    there = "127.0.0.1", port.getHost().port
    client = running.held.enter_context(connect(there))
    upstream = running.held.enter_context(accept(running.server))
    over = running.drain()
    assert_alive(client, upstream)
    assert over == []
    client.close()
    upstream.close()
    eventually(lambda: over == [True], "it is over")
    running.running.outcome(lambda: maybeDeferred(port.stopListening))


def test_drain_ends_with_the_last_connection(running: Running) -> None:
    """No client is accepted any more; the drain is over when nothing is open."""
    [source] = running.begin(MAPPING)
    address = source.open().getsockname()
    client, upstream = running.pair(source)
    over = running.drain()
    with pytest.raises(ConnectionRefusedError):
        connect(address)
    assert_alive(client, upstream)
    assert over == []
    client.close()
    upstream.close()
    eventually(lambda: over == [True], "it is over")


def test_drain_while_idle(running: Running) -> None:
    """
    Where nothing is open the drain is over at once, whether the service was started or
    not.
    """
    assert running.drain() == [True]


def test_drain_too_late(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a proxy to close nothing, it would be done for it in the end."""
    monkeypatch.setattr(connection_drain, "LATE", 0.1)
    [source] = running.begin(evolve(MAPPING, drain=Drain(timeout=0.1)))
    client, _ = running.pair(source)
    [served] = running.serving.served
    served.proxy._draining_since = 1e12  # as if that were not over for long
    with capturedLogs() as events:
        over = running.drain()
        eventually(lambda: over == [True], "it is over")
    assert client.recv(1) == b""
    said = [formatEvent(event) for event in events]
    assert "a bug in lbconsul: 1 connections are open past their deadline" in said
    assert said[-1].endswith(" KS")


def test_is_listening(running: Running) -> None:
    """A mapping's clients are accepted once its instances are known."""
    [source] = running.begin(MAPPING, answered=False)
    serving = running.serving
    assert not serving.is_listening(source.mapping)
    running.answer()
    assert serving.is_listening(source.mapping)
    own = Mapping("own")
    assert not serving.is_listening(own)
    running.running.call(serving.lend, own)
    assert serving.is_listening(own)
    running.running.call(serving.stopService)
    assert not serving.is_listening(source.mapping)


class TestRoutes:
    """A mapping with routes: each has a proxy and connections of its own."""

    A, B = (evolve(MAPPING, route=f"{each}.com") for each in "ab")

    @pytest.fixture
    def served(self, running: Running) -> ActiveListener:
        """One with two routes, all to the same service, which serves."""
        running.begin(evolve(MAPPING, routes=(self.A, self.B)))
        [served] = running.serving.served
        return served

    def replace(self, running: Running, mapping: Mapping) -> None:
        """Reload with this mapping only."""
        [source] = running.sources
        running.replace((mapping, source))

    def route(self, running: Running, served: ActiveListener, name: str) -> Any:
        """A client that a handshake hands over to the route for this name."""
        ours, client = loopback.tcp_pair()
        running.held.enter_context(client)
        proxy = served.proxy.route_for(name)
        assert proxy is not None
        running.running.call(handle, proxy, ours, ("127.0.0.1", 1))
        return client, running.held.enter_context(accept(running.server))

    def test_shown(self, running: Running, served: ActiveListener) -> None:
        """Mapping and routes are shown by themselves, and listen together."""
        serving = running.serving
        assert serving.mappings == [MAPPING, self.A, self.B]
        assert all(map(serving.is_listening, serving.mappings))
        assert not serving.is_listening(evolve(self.A, tag="v2"))
        served.pause()
        assert not any(map(serving.is_listening, serving.mappings))

    def test_names(self, running: Running, served: ActiveListener) -> None:
        """Each client goes to the route for its name, the others to the mapping."""
        for name, row in (
            ("a.com", self.A),
            ("b.com", self.B),
            ("c.com", MAPPING),
            (None, MAPPING),
        ):
            proxy = served.proxy.route_for(name)
            assert proxy is not None
            assert proxy.mapping == row
        self.replace(running, evolve(MAPPING, service="", routes=(self.A,)))
        assert served.proxy.route_for("b.com") is None

    def test_reload(self, running: Running, served: ActiveListener) -> None:
        """
        Connections outlive a change of their route, and live on for the drain timeout
        if it is removed; unchanged routes are left alone.
        """
        own, a, b = served.current
        pairs = [self.route(running, served, name) for name in ("a.com", "b.com")]
        altered = evolve(self.A, attempts=5)
        self.replace(running, evolve(MAPPING, routes=(altered, self.B)))
        assert [*served.current][::2] == [own, b]
        assert (served.open, served.older) == (2, [a])
        self.replace(running, evolve(MAPPING, routes=(altered,)))
        assert served.older == [a, b]
        for client, upstream in pairs:
            assert_alive(client, upstream)
            client.close()
            upstream.close()
        eventually(lambda: not served.older, "the old proxies are gone")
        assert len(running.runtime._proxies) == 2

    def test_removed_in_time(self, running: Running, served: ActiveListener) -> None:
        """Connections of a removed route are closed when its drain timeout is over."""
        short = evolve(self.A, drain=Drain(timeout=0.5))
        self.replace(running, evolve(MAPPING, routes=(short, self.B)))
        client, _ = self.route(running, served, "a.com")
        with capturedLogs() as events:
            self.replace(running, evolve(MAPPING, routes=(self.B,)))
            assert client.recv(1) == b""
            eventually(lambda: events, "it is told")
        assert " a.com=web " in formatEvent(events[-1]).replace("127.0.0.1:0:", "")
        assert formatEvent(events[-1]).endswith(" KM")
        eventually(lambda: not served.older, "its proxy is gone")

    def test_removed(self, running: Running, served: ActiveListener) -> None:
        """With its mapping a route is removed."""
        client, upstream = self.route(running, served, "a.com")
        running.replace()
        assert_alive(client, upstream)
        assert len(running.runtime._proxies) == 1
        client.close()
        upstream.close()
        eventually(lambda: not running.runtime._proxies, "the last proxy is gone")

    def test_lent(self, running: Running) -> None:
        """Routes of a mapping that is lent get their clients from its factory."""
        rows = tuple(evolve(each, listen=None) for each in (self.A, self.B))
        own = Mapping("own", routes=rows)
        factory = running.running.call(running.serving.lend, own)
        assert list(map(str, running.serving.mappings)) == [
            "own",
            "a.com=web",
            "b.com=web",
        ]
        proxy = factory._proxy.route_for("b.com")
        assert proxy is not None
        assert proxy.mapping == rows[1]
        running.answer()
        ours, client = loopback.tcp_pair()
        running.held.enter_context(client)
        running.running.call(handle, proxy, ours, ("127.0.0.1", 1))
        assert factory.open == 1
