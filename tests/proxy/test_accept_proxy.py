"""Clients that a PROXY header names, turned by hand."""

import socket
from contextlib import ExitStack
from typing import Any

import pytest

from lbconsul.net.proxy_protocol import build_v1, build_v2
from lbconsul.net.sockets import set_nodelay
from lbconsul.proxy.mapping_proxy import MappingProxy
from tests.support import loopback
from tests.support.tended_proxy import Server, TendedProxy

#: The networks whose clients send a header, and a proxy there.
NETWORKS = ("10.0.0.0/8",)
BALANCER = ("10.0.0.9", 4000)

#: A client and what it connected to, and the headers that say so.
CLIENT, PLACE = ("192.0.2.7", 5000), ("192.0.2.80", 443)
V1, V2 = build_v1(CLIENT, PLACE), build_v2(CLIENT, PLACE, [(5, b"id")], checksum=True)

#: The same client as the log and these tests have it.
NAME = str(CLIENT)


class Stage:
    """A mapping with accept-proxy, and connections to it."""

    def __init__(self, proxy: TendedProxy, held: ExitStack) -> None:
        self.proxy, self._held = proxy, held
        self.server: Server = proxy.server("a")
        proxy.register(self.server.instance())

    def serve(self, **options: Any) -> MappingProxy:
        """The mapping."""
        return self.proxy.serve(accept_proxy=NETWORKS, **options)

    def connect(
        self, mapped: MappingProxy, data: bytes = b"", address: object = BALANCER
    ) -> socket.socket:
        """A connection from an address, which has sent this."""
        pair = loopback.tcp_pair if isinstance(address, tuple) else socket.socketpair
        ours, peer = pair()
        ours.setblocking(False)
        set_nodelay(peer)
        self._held.enter_context(peer)
        peer.sendall(data)
        self.proxy.accept(mapped, ours, address)
        self.proxy.reactor.settle()
        return peer

    def send(self, peer: socket.socket, data: bytes) -> None:
        """It sends more."""
        peer.sendall(data)
        self.proxy.reactor.settle()


@pytest.fixture
def stage(proxy: TendedProxy) -> Any:
    """One with an instance."""
    with ExitStack() as held:
        yield Stage(proxy, held)


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("waits", [False, True])
def test_header(stage: Stage, header: bytes, waits: bool) -> None:
    """
    A header is taken off, and no byte of what follows; its source is the client, and
    the log tells which proxy said so.
    """
    mapped = stage.serve(wait_for_client=waits)
    peer = stage.connect(mapped, header + b"hello")
    assert stage.server.heard() == ["hello"]
    [session] = mapped.sessions
    assert session.address == CLIENT
    stage.proxy.leave(peer)
    info = stage.proxy.infos[NAME]
    assert info is not None and info.header is not None
    assert info.facts() == {"via": "10.0.0.9:4000"}
    assert info.header.destination == PLACE
    assert info.header.tlvs == (((5, b"id"),) if header is V2 else ())
    assert stage.proxy.is_drained()


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("address", [BALANCER, ""], ids=["tcp", "unix"])
def test_byte_by_byte(stage: Stage, header: bytes, address: object) -> None:
    """A header may come in any number of pieces, the last with the first data."""
    mapped = stage.serve()
    peer = stage.connect(mapped, b"", address)
    for at in range(len(header) - 1):
        stage.send(peer, header[at : at + 1])
        assert stage.server.heard() == []
    stage.send(peer, header[-1:] + b"hello")

    def is_heard() -> bool:
        stage.proxy.pass_time(0.3)
        return bool(stage.server.heard())

    # The kernel holds small pieces back until those before are acknowledged.
    stage.proxy.reactor.turn_until(is_heard)
    assert stage.server.heard() == ["hello"]
    stage.send(peer, b"!")  # a single byte is enough again
    [upstream] = stage.server._accepted
    assert upstream.recv(10) == b"!"
    mapped.close_connections()
    assert list(stage.proxy.endings) == [NAME]


@pytest.mark.parametrize("header", [build_v1(None, None), build_v2(None, None)])
def test_header_without_address(stage: Stage, header: bytes) -> None:
    """Where a header names no client, the connection's own address is the client's."""
    mapped = stage.serve()
    peer = stage.connect(mapped, header + b"hello")
    assert stage.server.heard() == ["hello"]
    stage.proxy.leave(peer)
    info = stage.proxy.infos[str(BALANCER)]
    assert info is not None and info.facts() == {}


def test_other_networks(stage: Stage) -> None:
    """Clients from elsewhere need no header, and cannot pretend by one."""
    mapped = stage.serve()
    stage.connect(mapped, V1 + b"hello", ("198.51.100.1", 4000))
    assert stage.server.heard() == [(V1 + b"hello").decode()]
    [session] = mapped.sessions
    assert session.address == ("198.51.100.1", 4000)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "PROXY"),
        (b"\x16\x03\x01", "PROXY"),
        (V1.replace(b"443", b"99999"), "port"),
        (V2[:-1] + b"\0", "CRC32C"),
    ],
)
def test_bad_header(stage: Stage, data: bytes, why: str) -> None:
    """Where a header is required, whatever else comes closes the connection."""
    mapped = stage.serve()
    peer = stage.connect(mapped, data)
    assert stage.proxy.endings == {str(BALANCER): "PX"}
    info = stage.proxy.infos[str(BALANCER)]
    assert info is not None and why in info.error
    assert stage.server.heard() == []
    assert loopback.was_reset(peer)
    assert stage.proxy.is_drained()


@pytest.mark.parametrize("data", [b"", V1[:9], V2[:-1]])
@pytest.mark.parametrize("address", [BALANCER, ""], ids=["tcp", "unix"])
def test_late(stage: Stage, data: bytes, address: object) -> None:
    """A header that is not complete after three seconds closes the connection."""
    mapped = stage.serve()
    stage.connect(mapped, data, address)
    stage.proxy.pass_time(2.9)
    assert stage.proxy.endings == {}
    stage.proxy.pass_time(0.5)
    assert stage.proxy.endings == {str(address): "cX"}
    assert stage.server.heard() == []
    assert stage.proxy.is_drained()


@pytest.mark.parametrize("data", [b"", V1[:9], V2[:-1]])
@pytest.mark.parametrize("address", [BALANCER, ""], ids=["tcp", "unix"])
def test_left(stage: Stage, data: bytes, address: object) -> None:
    """A connection that ends before its header does is seen at once, or soon."""
    mapped = stage.serve()
    stage.connect(mapped, data, address).shutdown(socket.SHUT_WR)
    stage.proxy.reactor.settle()
    stage.proxy.pass_time(0.3)
    assert stage.proxy.endings == {str(address): "CX"}
    assert stage.proxy.is_drained()


def test_reset(stage: Stage) -> None:
    """So is one that is reset, and one that comes dead."""
    mapped = stage.serve()
    stage.proxy.leave(stage.connect(mapped, V1[:9]))
    assert stage.proxy.endings == {str(BALANCER): "CX"}


def test_access_control(stage: Stage) -> None:
    """
    Allow, deny and the limit per client go by the address in the header; the proxy that
    sends it needs no place in allow.
    """
    mapped = stage.serve(allow=("192.0.2.0/24",), max_connections_per_client=1)
    stage.connect(mapped, V1 + b"one")
    other = build_v1(("192.0.2.8", 5000), PLACE)
    stage.connect(mapped, other + b"two")
    assert stage.server.heard() == ["one", "two"]
    again = build_v1(("192.0.2.7", 5001), PLACE)
    assert loopback.was_reset(stage.connect(mapped, again))
    denied = build_v1(("198.51.100.1", 5000), PLACE)
    assert loopback.was_reset(stage.connect(mapped, denied))
    local = build_v2(None, None)
    assert loopback.was_reset(stage.connect(mapped, local))
    assert stage.proxy.endings == {
        "('192.0.2.7', 5001)": "PL",
        "('198.51.100.1', 5000)": "PR",
        str(BALANCER): "PR",
    }
    assert mapped.open == 2


def test_end_before_the_header(stage: Stage) -> None:
    """A connection without a header yet counts for no client's limit at its end."""
    mapped = stage.serve(max_connections_per_client=1)
    stage.connect(mapped, V1[:9])
    mapped.close_connections()
    assert stage.proxy.endings == {str(BALANCER): "KH"}
    stage.connect(mapped, V1 + b"one")
    assert stage.server.heard() == ["one"]
