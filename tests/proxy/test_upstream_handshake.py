"""What upstreams get before the first byte of a client, turned by hand."""

import errno
import socket
from collections.abc import Iterator
from typing import Any, ClassVar
from unittest.mock import patch

import pytest

from lbconsul.net.proxy_protocol import build_v1, build_v2
from lbconsul.net.sockets import BareSocket, reset_on_close
from lbconsul.proxy.dialer import DialState
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.tcp_session import TcpSession
from tests.support import loopback
from tests.support.tended_proxy import Server, TendedProxy

FRONT, CLIENT, PLACE = ("10.0.0.9", 4000), ("192.0.2.7", 5000), ("192.0.2.80", 443)


class Trickling(BareSocket):
    """A socket of the dialer that takes a byte at a time, when there is room."""

    #: How many bytes the next sends of all such sockets take; an error for none.
    room: ClassVar[list[int | OSError]] = []

    def send(self, data: Any, *flags: Any) -> int:
        """Send as much of the data as there is room for."""
        if not self.room:
            return super().send(data)
        room = self.room.pop(0)
        if isinstance(room, OSError):
            raise room
        return super().send(data[:room])


@pytest.fixture
def trickling() -> Iterator[type[Trickling]]:
    """Sockets of the dialer are such."""
    with patch("lbconsul.net.connect.BareSocket", Trickling):
        yield Trickling
    assert Trickling.room == []


def connect(proxy: TendedProxy, mapped: MappingProxy, data: bytes) -> socket.socket:
    """A client that has sent this; what is accepted has its real address."""
    ours, peer = loopback.tcp_pair()
    proxy._held.enter_context(peer)
    peer.sendall(data)
    proxy.accept(mapped, ours, ours.getpeername())
    for _ in range(3):
        proxy.reactor.turn()
    return peer


def heard(proxy: TendedProxy, server: Server) -> bytes:
    """All that the server's next connection has got by now."""
    sock, _ = server.sock.accept()
    server._accepted.append(sock)
    sock.setblocking(False)
    proxy.reactor.settle()
    return sock.recv(10_000)


def header_of(client: socket.socket, version: str) -> bytes:
    """The header of a client."""
    build = build_v1 if version == "v1" else build_v2
    return build(client.getsockname(), client.getpeername())


def state_of(mapped: MappingProxy) -> DialState:
    """What the dial of the one session does."""
    [session] = mapped.sessions
    assert isinstance(session, TcpSession)
    assert session._dial is not None
    return session._dial.state


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_header_comes_first(proxy: TendedProxy, version: str) -> None:
    """The header is what an instance gets before the client's bytes."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(send_proxy=version)
    client = connect(proxy, mapped, b"hello")
    assert heard(proxy, server) == header_of(client, version) + b"hello"
    proxy.leave(client)
    assert proxy.is_drained()


def test_next_upstream(proxy: TendedProxy) -> None:
    """If an instance refuses, the next one gets the header."""
    server = proxy.server("b")
    proxy.register(proxy.refusing("a"), server.instance(passing_weight=1))
    mapped = proxy.serve(send_proxy="v1", policy="roundrobin")
    clients = [connect(proxy, mapped, b"hello") for _ in range(3)]
    for client in clients:
        assert heard(proxy, server) == header_of(client, "v1") + b"hello"


@pytest.mark.usefixtures("trickling")
def test_header_in_pieces(proxy: TendedProxy) -> None:
    """A socket without room for the whole header gets it piece by piece."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(send_proxy="v2")
    Trickling.room = [3, BlockingIOError(), 1, BlockingIOError(), 5]
    client = connect(proxy, mapped, b"hello")
    assert heard(proxy, server) == header_of(client, "v2") + b"hello"


@pytest.mark.usefixtures("trickling")
def test_upstream_without_room(proxy: TendedProxy) -> None:
    """An instance that takes no header within the connect timeout is given up."""
    server, other = proxy.server("a"), proxy.server("b")
    proxy.register(server.instance())
    mapped = proxy.serve(send_proxy="v1", connect_timeout=2.0)
    with patch.object(Trickling, "send", side_effect=BlockingIOError):
        client = connect(proxy, mapped, b"hello")
        assert state_of(mapped) is DialState.HANDSHAKING
        proxy.pass_time(1.9)
        assert state_of(mapped) is DialState.HANDSHAKING
        proxy.register(server.instance(), other.instance())
        proxy.pass_time(0.3)
        assert state_of(mapped) is DialState.HANDSHAKING  # with the other one
    proxy.pass_time(0.1)
    assert heard(proxy, other) == header_of(client, "v1") + b"hello"
    proxy.leave(client)
    assert proxy.is_drained()


@pytest.mark.usefixtures("trickling")
def test_last_upstream_without_room(proxy: TendedProxy) -> None:
    """If no instance takes the header in time, the client is closed: too late."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(send_proxy="v1", connect_timeout=2.0)
    with patch.object(Trickling, "send", side_effect=BlockingIOError):
        client = connect(proxy, mapped, b"")
        proxy.pass_time(2.3)
    assert list(proxy.endings.values()) == ["sC"]
    assert client.recv(1) == b""
    assert proxy.is_drained()


@pytest.mark.usefixtures("trickling")
def test_upstream_that_resets(proxy: TendedProxy) -> None:
    """An instance that is gone before it has the header counts as one that refused."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(send_proxy="v1", eject_after=1)
    Trickling.room = [BrokenPipeError(errno.EPIPE, "Broken pipe")]
    connect(proxy, mapped, b"hello")
    assert list(proxy.endings.values()) == ["SC"]
    [account] = mapped.stats.accounts.values()
    assert account.failures == 1
    assert proxy.is_drained()


@pytest.mark.usefixtures("trickling")
def test_shortage(proxy: TendedProxy) -> None:
    """Without memory for the header, the same instance is tried again."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(send_proxy="v1")
    Trickling.room = [OSError(errno.ENOBUFS, "No buffer space available")]
    client = connect(proxy, mapped, b"hello")
    assert state_of(mapped) is DialState.STARVED
    proxy.pass_time(0.3)
    lost = heard(proxy, server)
    assert lost == b""
    assert heard(proxy, server) == header_of(client, "v1") + b"hello"


@pytest.mark.usefixtures("trickling")
def test_no_watch_left(proxy: TendedProxy) -> None:
    """If the poller cannot watch a socket, the same instance is tried again."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(send_proxy="v1")
    Trickling.room = [BlockingIOError()]
    full = OSError(errno.ENOSPC, "No space left on device")
    with patch.object(type(proxy.reactor), "addWriter", side_effect=full):
        client = connect(proxy, mapped, b"hello")
    assert state_of(mapped) is DialState.STARVED
    proxy.pass_time(0.3)
    assert heard(proxy, server) == b""
    assert heard(proxy, server) == header_of(client, "v1") + b"hello"


@pytest.mark.usefixtures("trickling")
def test_client_that_leaves(proxy: TendedProxy) -> None:
    """A client that leaves before the header is sent ends the dial."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(send_proxy="v1")
    with patch.object(Trickling, "send", side_effect=BlockingIOError):
        client = connect(proxy, mapped, b"")
        reset_on_close(client)
        client.close()
        proxy.pass_time(0.5)
    assert list(proxy.endings.values()) == ["CC"]
    assert heard(proxy, server) == b""
    assert proxy.is_drained()


def test_chain_of_proxies(proxy: TendedProxy) -> None:
    """What a proxy in front has announced is announced to the instance, TLVs too."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(send_proxy="v2", accept_proxy=("10.0.0.0/8",))
    ours, peer = loopback.tcp_pair()
    proxy._held.enter_context(peer)
    peer.sendall(build_v2(CLIENT, PLACE, [(5, b"id")], checksum=True) + b"hello")
    proxy.accept(mapped, ours, FRONT)
    proxy.reactor.settle()
    announced = build_v2(CLIENT, PLACE, [(5, b"id")])
    assert heard(proxy, server) == announced + b"hello"


def test_first_byte_awaited(proxy: TendedProxy) -> None:
    """With wait-for-client the header goes out when the client has spoken."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(send_proxy="v1", wait_for_client=True)
    client = connect(proxy, mapped, b"")
    with pytest.raises(BlockingIOError):
        server.sock.accept()
    client.sendall(b"hello")
    proxy.reactor.settle()
    assert heard(proxy, server) == header_of(client, "v1") + b"hello"
