"""The admin listener over TLS: handshakes, their limits, and the log of failures."""

import json
import socket
import ssl
from collections.abc import Callable
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThreadPool
from twisted.logger import capturedLogs, formatEvent

from lbconsul.admin.client import Admin, CannotAsk
from lbconsul.admin.http_server import ASKING, AdminFactory, AdminRequest
from lbconsul.admin.server import AdminServer
from lbconsul.admin.tls_connections import TLSFactory
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import TLS
from lbconsul.config.sources import SourcedText
from lbconsul.console.tls import verified
from lbconsul.steps import finish
from lbconsul.tls.material import building, reading
from lbconsul.tls.server import TLSServer
from tests.support.admin_client import Connection
from tests.support.certificates import Authority, together
from tests.support.fake_source import FixedToken, fake_source
from tests.support.in_reactor import run, until
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def _tls_server(authority: Authority, folder: Path, client_ca: str = "") -> TLSServer:
    issued = authority.issue("localhost", "127.0.0.1")
    pem = together(folder / "admin.pem", issued.cert, issued.key)
    tls = TLS(certificates=pem, client_ca=client_ca)
    material = finish(reading("admin", tls))
    return finish(building(tls, material, lambda: 1.0))


def _answer(request: AdminRequest) -> None:
    request.write(b"well")
    request.finish()


class _Transport(Connection):
    def setTcpNoDelay(self, is_on: bool) -> None:  # noqa: N802
        """Called by Twisted."""


class _Client:
    """A client of TLS in memory, and the transport that the server has for it."""

    def __init__(self, factory: TLSFactory) -> None:
        self.transport = _Transport()
        server: Any = factory.buildProtocol(None)
        self.server = self.transport.protocol = server
        self.tls = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        self.tls.set_connect_state()
        self.server.makeConnection(self.transport)

    def step(self) -> None:
        """Take what the server has sent, and send what the handshake needs next."""
        if self.transport.value():
            self.tls.bio_write(self.transport.value())
            self.transport.clear()
        with _wants_more():
            self.tls.do_handshake()
        self.flush()

    def flush(self) -> None:
        """Send what OpenSSL has to send."""
        with _wants_more():
            while data := self.tls.bio_read(1 << 15):
                self.say(data)

    def say(self, data: bytes) -> None:
        """Send bytes, which the server reads unless it has paused."""
        self.server.dataReceived(data)


class _wants_more:  # noqa: N801 (a context manager)
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return isinstance(error, SSL.WantReadError)


class _TickingClock(Clock):
    """A clock by which each look at it takes a fifth of a millisecond."""

    def seconds(self) -> float:
        self.rightNow += 0.0002
        return self.rightNow


def test_flood(authority: Authority, tmp_path: Path) -> None:
    """
    However many clients begin a handshake, only a few are served in one turn of the
    reactor; a client that waits is not read from, and each gets its turn.
    """
    clock = _TickingClock()
    server = _tls_server(authority, tmp_path)
    factory = TLSFactory(AdminFactory(clock, _answer), server)
    clients = [_Client(factory) for _ in range(60)]
    for each in clients:
        each.step()

    def answered() -> int:
        return sum(bool(each.transport.value()) for each in clients)

    assert answered() == 0
    assert all(each.transport.producerState == "paused" for each in clients)
    turns, before = 0, 0
    while answered() < len(clients):
        clock.advance(0.01)
        assert 0 <= answered() - before < 10
        turns, before = turns + 1, answered()
        assert turns < 100
    assert all(each.transport.producerState == "producing" for each in clients)


def test_unfinished(authority: Authority, tmp_path: Path) -> None:
    """A handshake that does not come to its end is cut as a request would be."""
    clock = Clock()
    factory = TLSFactory(AdminFactory(clock, _answer), _tls_server(authority, tmp_path))
    client = _Client(factory)
    client.step()
    clock.advance(ASKING - 0.1)
    assert client.transport.value()
    assert client.transport.connected
    clock.advance(0.2)
    assert not client.transport.connected


def test_lost_before_its_turn(authority: Authority, tmp_path: Path) -> None:
    """A client that leaves while its handshake waits is forgotten."""
    clock = Clock()
    admin = AdminFactory(clock, _answer)
    client = _Client(TLSFactory(admin, _tls_server(authority, tmp_path)))
    client.step()
    client.transport.lose()
    clock.advance(0)
    assert len(admin.connections) == 0
    assert clock.getDelayedCalls() == []


def test_full(authority: Authority, tmp_path: Path) -> None:
    """When it ends, the listener takes no more clients with TLS either."""
    admin = AdminFactory(Clock(), _answer)
    factory = TLSFactory(admin, _tls_server(authority, tmp_path))
    admin.cut_all()
    assert factory.buildProtocol(None) is None


def _serve(reactor: Any, tls: TLSServer) -> AdminServer:
    source = fake_source(reactor.seconds, 2000)
    listen = TCPListen("127.0.0.1", free_ports(1)[0])
    server = AdminServer(reactor, listen, source, source.events, FixedToken("t"))
    server.use_tls(tls)
    server.startService()
    return server


def _get(port: int, path: str, context: ssl.SSLContext) -> tuple[int, bytes, str]:
    connection = HTTPSConnection("localhost", port, timeout=PATIENCE, context=context)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        shown: Any = connection.sock.getpeercert(binary_form=True)
        return response.status, response.read(), shown
    finally:
        connection.close()


def _threaded(reactor: Any, call: Callable[..., Any], *arguments: Any) -> Any:
    return deferToThreadPool(reactor, reactor.getThreadPool(), call, *arguments)


def test_serving(authority: Authority, tmp_path: Path) -> None:
    """
    Long answers come whole; clients that come later get the certificate that is given
    later; a client that speaks no TLS, or another one, is in the log.
    """
    context = ssl.create_default_context(cafile=authority.file)

    async def scenario(reactor: EPollReactor) -> None:
        server = _serve(reactor, _tls_server(authority, tmp_path))
        assert isinstance(server.listen, TCPListen)
        port = server.listen.port
        assert server.address == f"https://127.0.0.1:{port}/"
        code, body, first = await _threaded(reactor, _get, port, "/status", context)
        assert (code, len(body) > 500_000, body[-1:]) == (200, True, b"\n")
        server.use_tls(_tls_server(authority, tmp_path))
        code, _, second = await _threaded(reactor, _get, port, "/metrics", context)
        assert (code, first != second) == (200, True)
        with capturedLogs() as events:
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
                await until(reactor, lambda: events)
            strange = ssl.create_default_context()
            with pytest.raises(ssl.SSLCertVerificationError):
                await _threaded(reactor, _get, port, "/status", strange)
            await until(reactor, lambda: len(events) == 2)
        assert [formatEvent(each) for each in events] == [
            "admin: no TLS with 127.0.0.1: http request",
            "admin: no TLS with 127.0.0.1: tlsv1 alert unknown ca",
        ]
        await server.stopService()

    run(scenario)


def test_events(authority: Authority, tmp_path: Path) -> None:
    """The commands follow the events over TLS, until they want no more."""
    ca = SourcedText("--admin-ca", authority.file)

    async def scenario(reactor: EPollReactor) -> None:
        server = _serve(reactor, _tls_server(authority, tmp_path))
        assert isinstance(server.listen, TCPListen)
        admin = Admin(f"https://{server.listen}", tls=verified(ca, None))
        stream = await _threaded(reactor, admin.events)
        kinds: list[str] = []

        def follow() -> str:
            try:
                for each in stream:
                    kinds.append(json.loads(each.data)["kind"])  # noqa: PERF401
            except CannotAsk as error:
                return str(error)
            return ""

        following = _threaded(reactor, follow)
        server._events.add("joined", "web-1 joined")
        await until(reactor, lambda: "joined" in kinds)
        stream.stop()
        assert "the stream of events has ended" in await following
        assert (await _threaded(reactor, admin.status))["format"] == 2
        await server.stopService()

    run(scenario)


def test_client_certificates(authority: Authority, tmp_path: Path) -> None:
    """With authorities of clients, a client without their certificate is refused."""
    context = ssl.create_default_context(cafile=authority.file)
    anonymous = ssl.create_default_context(cafile=authority.file)
    own = authority.issue("prometheus")
    context.load_cert_chain(own.cert, own.key)

    async def scenario(reactor: EPollReactor) -> None:
        tls = _tls_server(authority, tmp_path, client_ca=authority.file)
        server = _serve(reactor, tls)
        assert isinstance(server.listen, TCPListen)
        port = server.listen.port
        assert (await _threaded(reactor, _get, port, "/healthz", context))[0] == 200
        with pytest.raises(OSError):
            await _threaded(reactor, _get, port, "/healthz", anonymous)
        await server.stopService()

    run(scenario)
