"""What upstreams get before the first byte of a client, turned by hand."""

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from OpenSSL import SSL
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.logger import LogEvent, capturedLogs, formatEvent
from zope.interface.verify import verifyObject

from lbconsul.net.proxy_protocol import build_v1, build_v2
from lbconsul.net.sockets import BareSocket, reset_on_close, set_nodelay
from lbconsul.proxy.dialer import DialState
from lbconsul.proxy.handshake_queue import STALLED, HandshakeQueue
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.tcp_session import TcpSession
from lbconsul.proxy.upstream_handshake import BURST
from lbconsul.tls.errors import TLSError
from lbconsul.tls.openssl import WANT_WRITE, PublicCalls, open_calls
from lbconsul.tls.stream import TLSStream
from tests.support import loopback
from tests.support.certificates import Authority
from tests.support.tended_proxy import Server, TendedProxy
from tests.support.tls import drive, plain_server_context, server_side

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
    """The PROXY header of a proxy in front goes on to the instance, TLVs too."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(send_proxy="v2", accept_proxy=("10.0.0.0/8",))
    ours, peer = loopback.tcp_pair()
    proxy._held.enter_context(peer)
    peer.sendall(build_v2(CLIENT, PLACE, [(5, b"id")], checksum=True) + b"hello")
    proxy.accept(mapped, ours, FRONT)
    proxy.reactor.settle()
    received = build_v2(CLIENT, PLACE, [(5, b"id")])
    assert heard(proxy, server) == received + b"hello"


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


# TLS to upstreams.


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A folder for certificates."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def authority(home: Path) -> Authority:
    """The authority that mappings trust."""
    return Authority(home)


@pytest.fixture(scope="module")
def context(authority: Authority) -> SSL.Context:
    """What upstreams with the right certificate serve with."""
    return plain_server_context(authority.issue("localhost", "127.0.0.1"))


@pytest.fixture(scope="module")
def expired(authority: Authority) -> SSL.Context:
    """What upstreams serve with that forgot to renew theirs."""
    past = -timedelta(minutes=1)
    return plain_server_context(authority.issue("old", "127.0.0.1", end=past))


def accept_tls(
    proxy: TendedProxy, server: Server, context: SSL.Context, header: bytes = b""
) -> TLSStream:
    """Shake hands with the proxy, which must send a header before.

    :raises OSError: the handshake fails.
    """
    sock, _ = server.sock.accept()
    server._accepted.append(sock)
    sock.setblocking(False)
    set_nodelay(sock)
    got = bytearray()

    def turn() -> bool:
        proxy.reactor.turn(0)
        with suppress(BlockingIOError):
            got.extend(sock.recv(len(header) - len(got)))
        return len(got) == len(header)

    if header:
        drive(turn, "the header")
        assert got == header
    stream = server_side(context, sock)

    def shake_hands() -> bool:
        proxy.reactor.advance(0)
        proxy.reactor.turn(0)
        try:
            stream.handshake()
        except BlockingIOError:
            return False
        return True

    drive(shake_hands, "the handshake")
    return stream


def converse(proxy: TendedProxy, client: socket.socket, stream: TLSStream) -> None:
    """See that bytes go both ways; the client has said hello before."""
    buffer, got = bytearray(1 << 16), bytearray()

    def hear() -> bool:
        proxy.reactor.turn(0)
        with suppress(BlockingIOError):
            got.extend(buffer[: stream.recv_into(buffer)])
        return len(got) == 5

    drive(hear, "the client's bytes")
    assert got == b"hello"
    stream.send(b"welcome")
    proxy.reactor.settle()
    assert client.recv(100) == b"welcome"


def lines(events: Sequence[LogEvent]) -> list[str]:
    """The lines about handshakes."""
    found = [str(formatEvent(event)) for event in events]
    return [each for each in found if "TLS handshake" in each]


@pytest.mark.parametrize("version", ["off", "v1", "v2"])
def test_tls(
    proxy: TendedProxy, authority: Authority, context: SSL.Context, version: str
) -> None:
    """An instance gets TLS, and a PROXY header before it."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(
        upstream_tls=True, upstream_ca=authority.file, send_proxy=version
    )
    client = connect(proxy, mapped, b"hello")
    header = b"" if version == "off" else header_of(client, version)
    assert state_of(mapped) is DialState.HANDSHAKING
    stream = accept_tls(proxy, server, context, header)
    converse(proxy, client, stream)
    proxy.leave(client)
    assert proxy.is_drained()


def test_sessions_are_resumed(
    proxy: TendedProxy, authority: Authority, context: SSL.Context
) -> None:
    """The next connection to an instance resumes the TLS session of an earlier one."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(upstream_tls=True, upstream_ca=authority.file)
    reused = []
    for _ in range(2):
        client = connect(proxy, mapped, b"hello")
        stream = accept_tls(proxy, server, context)
        converse(proxy, client, stream)
        lib: Any = vars(SSL)["_lib"]
        reused.append(lib.SSL_session_reused(stream.connection._ssl))
        client.close()
        stream.close()
        proxy.reactor.settle()
    assert reused == [0, 1]


def test_next_upstream_after_a_handshake_that_failed(
    proxy: TendedProxy,
    authority: Authority,
    context: SSL.Context,
    expired: SSL.Context,
) -> None:
    """An instance whose certificate is not accepted is like one that refuses."""
    server, other = proxy.server("a"), proxy.server("b")
    proxy.register(server.instance())
    mapped = proxy.serve(upstream_tls=True, upstream_ca=authority.file, eject_after=1)
    client = connect(proxy, mapped, b"hello")
    proxy.register(server.instance(), other.instance())
    with capturedLogs() as events:
        with pytest.raises(TLSError, match="certificate expired"):
            accept_tls(proxy, server, expired)
        converse(proxy, client, accept_tls(proxy, other, context))
    assert lines(events) == [
        f"web: the TLS handshake with {server.instance().text} failed:"
        " certificate verify failed: certificate has expired"
    ]
    account = mapped.stats.accounts[server.instance().identity]
    assert account.failures == 1
    proxy.leave(client)
    assert proxy.is_drained()


def test_no_upstream_after_handshakes_that_failed(
    proxy: TendedProxy, authority: Authority, expired: SSL.Context
) -> None:
    """If all handshakes fail the client is closed, with a code of its own."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(upstream_tls=True, upstream_ca=authority.file)
    client = connect(proxy, mapped, b"")
    with pytest.raises(TLSError):
        accept_tls(proxy, server, expired)
    assert list(proxy.endings.values()) == ["ST"]
    assert client.recv(1) == b""
    assert proxy.is_drained()


def test_upstream_without_tls(proxy: TendedProxy, authority: Authority) -> None:
    """An instance that speaks no TLS is told by the log."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(upstream_tls=True, upstream_ca=authority.file)
    connect(proxy, mapped, b"hello")
    sock, _ = server.sock.accept()
    server._accepted.append(sock)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with capturedLogs() as events:
        proxy.reactor.settle()
    [line] = lines(events)
    assert "wrong version number" in line or "packet length too long" in line
    assert list(proxy.endings.values()) == ["ST"]


def test_upstream_that_closes(proxy: TendedProxy, authority: Authority) -> None:
    """An instance that closes or resets during the handshake is told by the log."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(upstream_tls=True, upstream_ca=authority.file)
    connect(proxy, mapped, b"hello")
    sock, _ = server.sock.accept()
    loopback.reset(sock)
    with capturedLogs() as events:
        proxy.reactor.settle()
    [line] = lines(events)
    assert line.endswith("Connection reset by peer")
    assert list(proxy.endings.values()) == ["ST"]


def test_upstream_that_requires_a_certificate(
    proxy: TendedProxy, authority: Authority
) -> None:
    """
    An instance that gets no certificate says so only after the handshake, in TLS 1.3;
    the log tells.
    """
    requiring = plain_server_context(authority.issue("strict", "127.0.0.1"))
    requiring.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(upstream_tls=True, upstream_ca=authority.file)
    connect(proxy, mapped, b"hello")
    with capturedLogs() as events:
        with pytest.raises(TLSError):
            accept_tls(proxy, server, requiring)
        proxy.reactor.settle()
    told = [str(formatEvent(event)) for event in events]
    assert any(" ended TLS: " in each and "certificate" in each for each in told), told
    assert list(proxy.endings.values()) == ["SD"]


def test_silent_upstream(proxy: TendedProxy, authority: Authority) -> None:
    """A handshake has to be over within the connect timeout."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(
        upstream_tls=True, upstream_ca=authority.file, connect_timeout=2.0
    )
    connect(proxy, mapped, b"hello")
    with capturedLogs() as events:
        proxy.pass_time(1.9)
        assert state_of(mapped) is DialState.HANDSHAKING
        proxy.pass_time(0.4)
    assert lines(events) == [
        f"web: the TLS handshake with {server.instance().text} failed:"
        " no answer in time"
    ]
    assert list(proxy.endings.values()) == ["sC"]
    assert proxy.is_drained()


def test_many_handshakes_that_fail(proxy: TendedProxy, tmp_path: Path) -> None:
    """Lines about handshakes are limited; the rest is counted."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(upstream_tls=True, upstream_ca=str(tmp_path / "none.pem"))
    with capturedLogs() as events:
        for _ in range(round(BURST) + 5):
            connect(proxy, mapped, b"")
        proxy.pass_time(1.1)
    *told, last = lines(events)
    assert len(told) == BURST
    assert last == (
        "web: more TLS handshakes with upstreams failed: 5 web: upstream-ca"
        f" {tmp_path}/none.pem: cannot be read: No such file or directory"
    )
    assert len(proxy.endings) == BURST + 5


def test_stopped_in_a_handshake(proxy: TendedProxy, authority: Authority) -> None:
    """A stop closes what is in a handshake."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(upstream_tls=True, upstream_ca=authority.file)
    connect(proxy, mapped, b"hello")
    mapped.close_connections()
    assert list(proxy.endings.values()) == ["KH"]
    assert proxy.is_drained()


def test_descriptor(proxy: TendedProxy, authority: Authority) -> None:
    """A reactor takes such a dial for a reader and a writer."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(upstream_tls=True, upstream_ca=authority.file)
    connect(proxy, mapped, b"hello")
    [session] = mapped.sessions
    assert isinstance(session, TcpSession)
    assert verifyObject(IReadWriteDescriptor, session._dial)


def test_tls_takes_more_than_a_turn(
    proxy: TendedProxy, authority: Authority, context: SSL.Context
) -> None:
    """A handshake whose bytes have no room waits until there is some."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(upstream_tls=True, upstream_ca=authority.file)
    hindered = [WANT_WRITE]
    shake_hands = open_calls.handshake

    def handshake(self: PublicCalls) -> int:
        return hindered.pop() if hindered else shake_hands(self)

    with patch.object(open_calls, "handshake", handshake):
        client = connect(proxy, mapped, b"hello")
    assert hindered == []
    converse(proxy, client, accept_tls(proxy, server, context))


def test_handshakes_wait_for_their_turn(
    proxy: TendedProxy, authority: Authority, context: SSL.Context
) -> None:
    """No more handshakes begin than the process has room for; others wait."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(upstream_tls=True, upstream_ca=authority.file)
    mapped.handshake_queue._most = 1
    clients = [connect(proxy, mapped, b"hello") for _ in range(3)]
    for client in clients:
        converse(proxy, client, accept_tls(proxy, server, context))
    for client in clients:
        proxy.leave(client)
    assert proxy.is_drained()


def test_handshakes_without_a_turn(proxy: TendedProxy, authority: Authority) -> None:
    """A handshake that could not begin in time is no failure of the instance's."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(
        upstream_tls=True, upstream_ca=authority.file, connect_timeout=2.0
    )
    with patch.object(HandshakeQueue, "run", return_value=False):
        client = connect(proxy, mapped, b"")
        proxy.pass_time(2.3)
    assert client.recv(1) == b""
    assert list(proxy.endings.values()) == ["RC"]
    assert not mapped.stats.accounts
    assert proxy.is_drained()


def test_bug_in_a_handshake(proxy: TendedProxy, authority: Authority) -> None:
    """A bug ends the connection in whose handshake it shows, and leaks nothing."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(upstream_tls=True, upstream_ca=authority.file)
    with (
        patch.object(TLSStream, "handshake", side_effect=ZeroDivisionError),
        pytest.raises(ZeroDivisionError),
    ):
        connect(proxy, mapped, b"")
    assert list(proxy.endings.values()) == ["I-"]
    assert proxy.is_drained()


def test_handshakes_of_a_flood(
    proxy: TendedProxy, authority: Authority, context: SSL.Context
) -> None:
    """Handshakes of many clients at once are spread over turns of the reactor."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(upstream_tls=True, upstream_ca=authority.file)
    mapped.handshake_queue._used = 1.0  # others took this turn
    client = connect(proxy, mapped, b"hello")
    assert proxy.reactor.reading() == proxy.reactor.writing() == set()
    assert state_of(mapped) is DialState.HANDSHAKING
    converse(proxy, client, accept_tls(proxy, server, context))


def test_upstream_that_stalls(
    proxy: TendedProxy, authority: Authority, context: SSL.Context
) -> None:
    """While others wait, an instance that stalls is given up before its timeout."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(
        upstream_tls=True, upstream_ca=authority.file, connect_timeout=60.0
    )
    mapped.handshake_queue._most = 1
    connect(proxy, mapped, b"stalls")
    client = connect(proxy, mapped, b"hello")
    server._accepted.append(server.sock.accept()[0])
    proxy.pass_time(STALLED + 0.1)
    assert list(proxy.endings.values()) == ["sC"]
    converse(proxy, client, accept_tls(proxy, server, context))
