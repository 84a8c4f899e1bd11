"""Clients that TLS is terminated for, turned by hand."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest
from attrs import define
from OpenSSL import SSL

from lbconsul.net.sockets import BareSocket
from lbconsul.proxy import handshake_queue
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.tls.openssl import WANT_READ, WANT_WRITE, PublicCalls, open_calls
from lbconsul.tls.stream import TLSStream
from tests.support import loopback
from tests.support.certificates import Authority, Issued
from tests.support.tended_proxy import Server, TendedProxy
from tests.support.tls import (
    NOT_NOW,
    drive,
    peer_reads,
    plain_server_context,
    python_client,
    server_side,
)


@define(eq=False)
class OneContext:
    """Serves every client with the same context."""

    context: SSL.Context
    asked: int = 0

    def accept(self, sock: BareSocket) -> TLSStream:
        self.asked += 1
        return server_side(self.context, cast(socket.socket, sock))


class Stage:
    """A mapping with TLS, and its clients."""

    def __init__(self, proxy: TendedProxy, held: ExitStack, issued: Issued) -> None:
        self.proxy, self._held = proxy, held
        self.server: Server = proxy.server("a")
        proxy.register(self.server.instance())
        self.tls = OneContext(plain_server_context(issued))

    def serve(self, **options: Any) -> MappingProxy:
        """The mapping."""
        return self.proxy.serve(acceptor=self.tls, tls="x.pem", **options)

    def connect(self, mapped: MappingProxy, name: str, data: bytes = b"") -> Any:
        """A client's socket, which has sent this."""
        ours, peer = loopback.tcp_pair()
        self._held.enter_context(peer)
        peer.sendall(data)
        self.proxy.accept(mapped, ours, name)
        self.proxy.reactor.settle()
        peer.setblocking(False)
        return peer

    def client(self, mapped: MappingProxy, name: str) -> ssl.SSLSocket:
        """A client of Python's ssl, which has sent nothing."""
        return python_client(self.connect(mapped, name))

    def shake_hands(self, client: ssl.SSLSocket) -> None:
        """Both sides go on until the client's is complete."""

        def step() -> bool:
            self.turn()
            try:
                client.do_handshake()
            except NOT_NOW:
                return False
            return True

        drive(step, "a handshake")
        self.proxy.reactor.settle()
        self.turn()

    def turn(self) -> None:
        """One turn of the reactor, with what waits for it."""
        self.proxy.reactor.turn(0)
        self.proxy.reactor.advance(0)


@pytest.fixture
def stage(proxy: TendedProxy, tmp_path: Path) -> Iterator[Stage]:
    """One with an instance."""
    with ExitStack() as held:
        yield Stage(proxy, held, Authority(tmp_path).issue("localhost"))


def test_terminated(stage: Stage) -> None:
    """The instance gets in the clear what the client sends under TLS, and back."""
    mapped = stage.serve()
    client = stage.client(mapped, "c")
    assert (mapped.open, stage.tls.asked) == (1, 0)
    stage.shake_hands(client)
    client.send(b"hello")
    stage.proxy.reactor.settle()
    assert stage.server.heard() == ["hello"]
    [upstream] = stage.server._accepted
    upstream.send(b"world")
    stage.proxy.reactor.settle()
    assert peer_reads(client) == b"world"
    assert (mapped.open, stage.tls.asked) == (1, 1)
    loopback.reset(client)
    stage.proxy.reactor.settle()
    info = stage.proxy.infos["c"]
    assert info is not None and info.tls is not None
    assert (info.server_name, info.tls.version) == ("localhost", "TLSv1.3")
    assert stage.proxy.is_drained()


def test_wait_for_client(stage: Stage) -> None:
    """With wait-for-client the handshake alone does not take an instance."""
    mapped = stage.serve(wait_for_client=True, first_byte_timeout=2.0)
    silent, spoken = stage.client(mapped, "silent"), stage.client(mapped, "spoken")
    stage.shake_hands(silent)
    stage.shake_hands(spoken)
    assert stage.server.heard() == []
    spoken.send(b"hello")
    stage.proxy.reactor.settle()
    stage.proxy.pass_time(3)
    assert stage.server.heard() == ["hello"]
    assert stage.proxy.endings == {"silent": "cR"}


def test_byte_by_byte(stage: Stage) -> None:
    """A client's handshake may come in any number of pieces."""
    mapped = stage.serve()
    peer = stage.connect(mapped, "c")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")

    def step() -> bool:
        is_complete = False
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
            is_complete = True
        for byte in outgoing.read():
            peer.send(bytes([byte]))
            stage.turn()
        with suppress(BlockingIOError):
            incoming.write(peer.recv(65536))
        return is_complete

    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    drive(step, "a handshake")
    stage.proxy.reactor.settle()
    client.write(b"hello")
    peer.send(outgoing.read())
    stage.proxy.reactor.settle()
    assert stage.server.heard() == ["hello"]


def test_no_room(stage: Stage) -> None:
    """A handshake whose bytes have no room goes on once there is some."""
    hindered = [WANT_WRITE, WANT_READ, WANT_WRITE]
    shake_hands = open_calls.handshake

    def handshake(self: PublicCalls) -> int:
        return hindered.pop() if hindered else shake_hands(self)

    with patch.object(open_calls, "handshake", handshake):
        client = stage.client(stage.serve(), "c")
        stage.shake_hands(client)
    client.send(b"hello")
    stage.proxy.reactor.settle()
    assert stage.server.heard() == ["hello"]
    assert hindered == []


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "http request"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "wrong version number"),
        (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", ""),
    ],
)
def test_no_tls(stage: Stage, data: bytes, why: str) -> None:
    """What is no TLS is closed, and the log has OpenSSL's reason."""
    mapped = stage.serve()
    stage.connect(mapped, "c", data)
    assert stage.proxy.endings == {"c": "PT"}
    info = stage.proxy.infos["c"]
    assert info is not None
    assert info.error
    assert why in info.error
    assert stage.server.heard() == []
    assert stage.proxy.is_drained()


def test_client_is_told_why(stage: Stage) -> None:
    """A client with which nothing can be agreed on gets an alert, not a reset."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    stage.tls.context.set_min_proto_version(SSL.TLS1_3_VERSION)
    client = python_client(stage.connect(stage.serve(), "c"), context)
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        stage.shake_hands(client)
    assert stage.proxy.endings == {"c": "PT"}


def test_client_refuses_us(stage: Stage) -> None:
    """A client that does not trust our certificate says so, which the log tells."""
    context = ssl.create_default_context()
    client = python_client(stage.connect(stage.serve(), "c"), context)
    with pytest.raises(ssl.SSLCertVerificationError):
        stage.shake_hands(client)
    stage.proxy.reactor.settle()
    assert stage.proxy.endings == {"c": "PT"}
    info = stage.proxy.infos["c"]
    assert info is not None
    assert "unknown ca" in info.error
    assert info.server_name == "localhost"


@pytest.mark.parametrize("begins", [False, True])
def test_late(stage: Stage, begins: bool) -> None:
    """A handshake that is not complete after ten seconds closes the connection."""
    client = stage.client(stage.serve(), "c")
    if begins:
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        stage.proxy.reactor.settle()
    stage.proxy.pass_time(9.9)
    assert stage.proxy.endings == {}
    stage.proxy.pass_time(0.5)
    assert stage.proxy.endings == {"c": "cT"}
    assert stage.proxy.is_drained()


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("how", ["end", "reset"])
def test_left(stage: Stage, begins: bool, how: str) -> None:
    """A client that leaves before the handshake is complete has its own code."""
    client = stage.client(stage.serve(), "c")
    if begins:
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        stage.proxy.reactor.settle()
    if how == "reset":
        loopback.reset(client)
    else:
        client.shutdown(socket.SHUT_WR)
    stage.proxy.reactor.settle()
    assert stage.proxy.endings == {"c": "CT"}
    assert stage.proxy.is_drained()


def test_flood(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a flood each handshake has its turn; who has left meanwhile costs nothing."""
    monkeypatch.setattr(handshake_queue, "BUDGET", 0.0)  # all wait for their turn
    mapped = stage.serve()
    clients = [stage.client(mapped, str(number)) for number in range(8)]
    for client in clients:
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
    stage.proxy.reactor.turn(0)
    assert stage.tls.asked == 0
    assert len(stage.proxy.reactor.reading()) == 0  # or the poller would spin
    clients.pop(3).close()
    monkeypatch.undo()
    for client in clients:
        stage.shake_hands(client)
    assert stage.tls.asked == 7
    assert (mapped.open, stage.proxy.endings) == (7, {"3": "CT"})


def test_end_while_it_waits(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handshakes that wait for their turn end with their mapping."""
    monkeypatch.setattr(handshake_queue, "BUDGET", 0.0)
    mapped = stage.serve()
    client = stage.client(mapped, "c")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    stage.proxy.reactor.turn(0)
    mapped.close_connections()
    assert stage.proxy.endings == {"c": "KH"}
    assert stage.proxy.is_drained()


def test_bug(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in a handshake costs its own connection, and leaves nothing behind."""
    mapped = stage.serve()
    monkeypatch.setattr(OneContext, "accept", lambda self, sock: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        stage.connect(mapped, "c", b"\x16\x03\x01")
    assert stage.proxy.endings == {"c": "I-"}
    assert stage.proxy.is_drained()
