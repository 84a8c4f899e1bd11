"""Clients that a handshake hands over to the route for the server name they ask for."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.route_table import making_table
from lbconsul.steps import finish
from tests.proxy.test_tls_handshake import OneContext
from tests.support import loopback
from tests.support.certificates import Authority
from tests.support.proxy_observer import CountingObserver
from tests.support.tended_proxy import Server, TendedProxy
from tests.support.tls import (
    NOT_NOW,
    drive,
    hello,
    plain_server_context,
    python_client,
)

#: An alert of TLS: fatal, unrecognized_name.
ALERT = b"\x15\x03\x03\x00\x02\x02\x70"


class Stage:
    """A mapping with routes for a.com and *.b.com, and its clients."""

    def __init__(self, proxy: TendedProxy, held: ExitStack) -> None:
        self.proxy, self._held = proxy, held
        self.servers = {name: self._server(name) for name in ("web", "a", "b")}

    def _server(self, name: str) -> Server:
        server = self.proxy.server(name)
        self.proxy.register(server.instance(), service=name)
        return server

    def serve(self, service: str = "web", **of_a: Any) -> MappingProxy:
        """The mapping; `of_a` are options of the route for a.com."""
        own = self.proxy.serve(service, mode="sni")
        self.route(own, **of_a)
        return own

    def route(self, own: MappingProxy, **of_a: Any) -> None:
        """Give it its routes."""
        self.routes = [
            self.proxy.serve("a", route="a.com", **of_a),
            self.proxy.serve("b", route="*.b.com"),
        ]
        own.route_by(finish(making_table("sni", self.routes)))

    def connect(
        self, own: MappingProxy, client: object, name: str | None
    ) -> socket.socket:
        """A client that asks for this name."""
        ours, peer = loopback.tcp_pair()
        self._held.enter_context(peer)
        peer.sendall(hello(name))
        self.proxy.accept(own, ours, client)
        self.proxy.reactor.settle()
        return peer

    def counts(self, *mapped: MappingProxy) -> list[tuple[int, int]]:
        """How many clients of each were accepted, and are open by its counts."""
        return [
            (each.stats.accepted, each.stats.accepted - each.stats.endings.total())
            for each in mapped
        ]


@pytest.fixture
def stage(proxy: TendedProxy) -> Iterator[Stage]:
    with ExitStack() as held:
        yield Stage(proxy, held)


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("a.com", "a"),
        ("A.COM", "a"),
        ("x.b.com", "b"),
        ("b.com", "web"),
        ("other.com", "web"),
        (None, "web"),
    ],
)
def test_names(stage: Stage, name: str | None, service: str) -> None:
    """
    Each client gets the service of the route for its name, or that of the mapping; it
    is counted and logged there, and nowhere else.
    """
    own = stage.serve()
    peer = stage.connect(own, "c", name)
    mapped = {"web": own, "a": stage.routes[0], "b": stage.routes[1]}
    there = mapped.pop(service)
    assert stage.counts(there, *mapped.values()) == [(1, 1), (0, 0), (0, 0)]
    assert [each.open for each in (there, *mapped.values())] == [1, 0, 0]
    assert (own.accepted, own.connection_limit.taken) == (1, 1)
    stage.proxy.leave(peer)
    assert stage.proxy.left == {"c": service}
    assert stage.counts(there, *mapped.values()) == [(1, 0), (0, 0), (0, 0)]
    assert stage.proxy.is_drained()


@pytest.mark.parametrize("name", ["other.com", None])
def test_no_route(stage: Stage, name: str | None) -> None:
    """
    Without a service of its own a mapping closes clients that no route takes, and says
    why in terms of TLS.
    """
    own = stage.serve("")
    peer = stage.connect(own, "c", name)
    assert loopback.receive(peer, len(ALERT)) == ALERT
    assert peer.recv(1) == b""
    assert stage.proxy.endings == {"c": "PN"}
    assert stage.counts(own, *stage.routes) == [(1, 0), (0, 0), (0, 0)]
    assert stage.proxy.is_drained()


def test_the_alert_is_understood(stage: Stage) -> None:
    """A client of TLS says that its name is not known here."""
    own = stage.serve("")
    peer = stage.connect(own, "c", "other.com")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, False, "x")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    incoming.write(loopback.receive(peer, len(ALERT)))
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        client.do_handshake()


def test_an_address_that_a_route_denies(stage: Stage) -> None:
    """What a route denies is refused there, after what its mapping denies."""
    own = stage.serve(deny=("192.0.2.0/24",))
    stage.connect(own, ("192.0.2.1", 1), "a.com")
    stage.connect(own, ("192.0.2.1", 2), "x.b.com")
    assert stage.proxy.endings == {"('192.0.2.1', 1)": "PR"}
    assert stage.counts(own, *stage.routes) == [(0, 0), (1, 0), (1, 1)]


def test_limits_of_mapping_and_route(stage: Stage) -> None:
    """
    A client's connections to all routes count for its mapping, and those to one route
    for that; each that ends makes room in both.
    """
    own = stage.proxy.serve(mode="sni", max_connections_per_client=3)
    stage.route(own, max_connections_per_client=2)
    clients = [
        stage.connect(own, ("192.0.2.1", number), name)
        for number, name in enumerate(("a.com", "a.com", "a.com", "x.b.com", "c.com"))
    ]
    assert stage.proxy.endings == {
        "('192.0.2.1', 2)": "PL",  # by the route
        "('192.0.2.1', 4)": "PL",  # by the mapping
    }
    for client in clients:
        stage.proxy.leave(client)
    assert stage.proxy.is_drained()
    stage.servers["a"].close()
    for number in range(5, 10):  # without an instance, too, each makes room
        stage.connect(own, ("192.0.2.1", number), "a.com")
        assert stage.proxy.endings[f"('192.0.2.1', {number})"] == "SC"
    assert stage.proxy.is_drained()


def test_the_last_handshake_of_an_older_proxy(stage: Stage) -> None:
    """Who waits for the end of a proxy's connections hears of those handed over."""
    own, observer = stage.serve(), CountingObserver(awaits_end=False)
    own.observer = observer
    stage.connect(own, "c1", "a.com")
    assert observer.ended == 0
    observer.awaits_end = True
    stage.connect(own, "c2", "a.com")
    stage.connect(own, "c3", None)
    assert observer.ended == 1


def test_decrypted(stage: Stage, tmp_path: Path) -> None:
    """A client whose TLS ends here is routed by the name of its handshake."""
    context = plain_server_context(Authority(tmp_path).issue("a.com"))
    own = stage.proxy.serve("", acceptor=OneContext(context), tls="x.pem")
    stage.route(own)

    def shake_hands(name: str) -> ssl.SSLSocket:
        ours, peer = loopback.tcp_pair()
        stage.proxy.accept(own, ours, name)
        peer.setblocking(False)
        client = python_client(peer, name=name)

        def step() -> bool:
            stage.proxy.reactor.turn(0)
            stage.proxy.reactor.advance(0)
            try:
                client.do_handshake()
            except NOT_NOW:
                return False
            return True

        drive(step, "a handshake")
        stage.proxy.reactor.settle()
        stage.proxy.reactor.advance(0)
        stage.proxy.reactor.settle()
        return client

    with shake_hands("x.b.com") as client, shake_hands("other.com"):
        client.send(b"hello")
        stage.proxy.reactor.settle()
        assert stage.servers["b"].heard() == ["hello"]
        assert stage.proxy.endings == {"other.com": "PN"}
        assert stage.counts(own, *stage.routes) == [(1, 0), (0, 0), (1, 1)]
