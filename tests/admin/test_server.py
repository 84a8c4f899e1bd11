"""The admin listener as a service, with real sockets."""

import errno
import gc
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.logger import capturedLogs, formatEvent

from lbconsul.admin.http_server import MOST_CONNECTIONS
from lbconsul.admin.server import AdminServer
from lbconsul.config.listen import TCPListen, UnixListen
from lbconsul.errors import CannotListen
from tests.support.fake_source import FakeSource, FixedToken, fake_source
from tests.support.in_reactor import run, until
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE

#: The part of all work that one turn of the reactor may do, where much is shown.
HOLD = 0.1


def _server(
    reactor: Any, listen: Any = None, upstreams: int = 12, **how: Any
) -> AdminServer:
    source = fake_source(reactor.seconds, upstreams)
    where = listen or TCPListen("127.0.0.1", free_ports(1)[0])
    return AdminServer(reactor, where, source, source.events, FixedToken("t"), **how)


def _source(server: AdminServer) -> FakeSource:
    source = server._source
    assert isinstance(source, FakeSource)
    return source


def _port(server: AdminServer) -> int:
    assert isinstance(server.listen, TCPListen)
    return server.listen.port


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


async def _ask(reactor: Any, server: AdminServer, path: str) -> tuple[int, bytes]:
    pool = reactor.getThreadPool()
    said: tuple[int, bytes] = await deferToThreadPool(
        reactor, pool, _get, _port(server), path
    )
    return said


def test_serving() -> None:
    """
    The admin listener serves from its start to its stop, and then its address is free.
    """

    async def scenario(reactor: EPollReactor) -> None:
        server = _server(reactor)
        assert server.address == f"http://127.0.0.1:{_port(server)}/"
        server.bind()
        server.bind()
        server.privilegedStartService()
        server.startService()
        code, body = await _ask(reactor, server, "/status")
        assert (code, json.loads(body)["format"]) == (200, 2)
        await server.stopService()
        with pytest.raises(ConnectionRefusedError):
            await _ask(reactor, server, "/healthz")
        socket.create_server(("127.0.0.1", _port(server))).close()

    run(scenario)


def test_unix(tmp_path: Path) -> None:
    """A UNIX socket works as well, and only its user can open it."""

    async def scenario(reactor: EPollReactor) -> None:
        path = tmp_path / "admin"
        server = _server(reactor, UnixListen(str(path)))
        assert server.address == f"unix:{path}"
        server.startService()
        assert path.stat().st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: any.name\r\n\r\n")
            client.setblocking(False)
            data = b""
            while b"alive" not in data:
                await deferLater(reactor, 0.01)
                try:
                    data += client.recv(4096)
                except BlockingIOError:
                    continue
        await server.stopService()
        assert not path.exists()

    run(scenario)


def test_an_address_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If the address was asked for that is an error, in one line; otherwise a warning,
    and all else goes on.
    """

    async def scenario(reactor: EPollReactor) -> None:
        with (
            capturedLogs() as events,
            socket.create_server(("127.0.0.1", 0)) as taker,
        ):
            listen = TCPListen("127.0.0.1", taker.getsockname()[1])
            with pytest.raises(CannotListen) as caught:
                _server(reactor, listen).bind()
            server = _server(reactor, listen, is_needed=False)
            server.bind()
            server.privilegedStartService()
            server.startService()
            await server.stopService()
        why = f"cannot listen on {listen} for --admin: Address already in use"
        assert str(caught.value) == why
        [line] = {formatEvent(each) for each in events}
        assert line == (
            f"{why}; there is no status, no metrics and no page. --admin"
            " [ADDRESS:]PORT has them elsewhere"
        )

    run(scenario)


def test_a_patient_one() -> None:
    """A gateway that takes over waits until the admin address is free."""

    async def scenario(reactor: EPollReactor) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taker:
            listen = TCPListen("127.0.0.1", taker.getsockname()[1])
            impatient = _server(reactor, listen, is_patient=True)
            impatient.startService()
            await impatient.stopService()
            server = _server(reactor, listen, is_patient=True)
            server.bind()
            server.startService()
            await deferLater(reactor, 0.1)
            assert not server.is_bound
        await until(reactor, lambda: server.is_bound)
        assert (await _ask(reactor, server, "/healthz"))[0] == 200
        await server.stopService()

    run(scenario)


def test_never_started() -> None:
    """A socket that was bound without a start can be closed."""

    async def scenario(reactor: EPollReactor) -> None:
        server = _server(reactor)
        server.bind()
        server.close()
        server.close()
        assert not server.is_bound
        socket.create_server(("127.0.0.1", _port(server))).close()

    run(scenario)


class Holds:
    """Which part of its work the reactor did in one turn, at most.

    It is the thread's time that counts, and its parts, so that neither a slow or busy
    machine nor the client, which is another thread, is taken for ours.
    """

    def __init__(self, reactor: Any) -> None:
        self.longest = 0.0
        self._call = LoopingCall(self._look)
        self._call.clock = reactor
        gc.collect()
        gc.freeze()  # as a gateway does when it starts
        self._begun = self._last = time.thread_time()
        self._call.start(0)

    def _look(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._last)
        self._last = now

    def stop(self) -> float:
        self._call.stop()
        gc.unfreeze()
        return self.longest / (self._last - self._begun)


def _longest_hold(
    scenario: Callable[[EPollReactor], Coroutine[Any, Any, float]],
) -> float:
    """What a scenario returns, which it does again if that is much.

    What we do in one turn takes as long each time; a machine that another one shares
    counts time as the thread's in which it did not run.
    """
    longest = 1.0
    for _ in range(4):
        longest = min(longest, run(scenario))
        if longest < HOLD:
            break
    return longest


@pytest.mark.parametrize("path", ["/status", "/metrics"])
def test_ten_thousand_upstreams(path: str) -> None:
    """However much is shown, connections never wait long for it."""

    async def scenario(reactor: EPollReactor) -> float:
        server = _server(reactor, upstreams=10_000)
        server.startService()
        holds = Holds(reactor)
        code, body = await _ask(reactor, server, path)
        longest = holds.stop()
        print(f"{path}: {len(body)} bytes, {longest:.1%} in one turn")
        assert code == 200
        assert body.count(b"web-1") > 100
        await server.stopService()
        return longest

    assert _longest_hold(scenario) < HOLD


def test_listening_to_ten_thousand_upstreams() -> None:
    """A live page of very many upstreams does not hold the reactor either."""
    size = 3_100_000  # all of them, and some that change

    async def scenario(reactor: EPollReactor) -> float:
        server = _server(reactor, upstreams=10_000)
        server.startService()
        seen: list[int] = []
        listener = threading.Thread(
            target=_listen, args=(_port(server), seen, size), daemon=True
        )
        holds = Holds(reactor)
        listener.start()
        source = _source(server)
        while listener.is_alive():
            for upstream in list(source.pools["80:web", 0])[:2000:20]:
                source.alter("80:web", 0, upstream, open=int(reactor.seconds() * 1000))
            await deferLater(reactor, 0.05)
        longest = holds.stop()
        print(f"/events: {sum(seen)} bytes, {longest:.1%} in one turn")
        assert sum(seen) >= size
        await server.stopService()
        return longest

    assert _longest_hold(scenario) < HOLD


def test_held_open() -> None:
    """However many connections are held open with halves, a probe is answered."""

    async def scenario(reactor: EPollReactor) -> None:
        server = _server(reactor)
        server.startService()
        held = []
        for number in range(MOST_CONNECTIONS + 40):
            held.append(socket.create_connection(("127.0.0.1", _port(server))))
            held[-1].sendall(b"GET /healthz HTTP/1.1\r\n")
            if number % 20 == 0:
                await deferLater(reactor, 0.01)
        for path in ("/healthz", "/readyz"):
            assert (await _ask(reactor, server, path))[0] == 200
        assert len(server._factory.connections) <= MOST_CONNECTIONS
        for each in held:
            each.close()
        await server.stopService()

    run(scenario)


class _Exhausted:
    """A listening socket for whose next client no descriptor is left."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._errors = [errno.EMFILE]

    def fileno(self) -> int:
        return self._sock.fileno()

    def accept(self) -> tuple[socket.socket, Any]:
        if self._errors:
            raise OSError(self._errors.pop(), "Too many open files")
        return self._sock.accept()


def test_without_descriptors() -> None:
    """
    Without a descriptor for a client the connection that is idle for longest is closed,
    and the client is served.
    """

    async def scenario(reactor: EPollReactor) -> None:
        server = _server(reactor)
        server.startService()
        with socket.create_connection(("127.0.0.1", _port(server))) as idle:
            await until(reactor, lambda: len(server._factory.connections) == 1)
            acceptor: Any = server._acceptor
            acceptor._sock = _Exhausted(acceptor._sock)
            assert (await _ask(reactor, server, "/healthz"))[0] == 200
            idle.settimeout(PATIENCE)
            with suppress(ConnectionResetError):
                assert idle.recv(1) == b""
        await server.stopService()

    run(scenario)


def _listen(port: int, seen: list[int], size: int) -> None:
    """Read that much of the stream."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while sum(seen) < size and (data := client.recv(1 << 16)):
            seen.append(len(data))


def test_slow_listeners() -> None:
    """However little of the stream is read, it costs bounded memory."""

    async def scenario(reactor: EPollReactor) -> None:
        server = _server(reactor, upstreams=500)
        server.startService()
        clients = [_slow_client(_port(server)) for _ in range(8)]
        source, factory = _source(server), server._factory
        await until(reactor, lambda: len(factory.connections) == len(clients))
        longest = 0
        for turn in range(300):
            for upstream in source.pools["80:web", 0]:
                source.alter("80:web", 0, upstream, open=turn)
            for number in range(30):
                source.events.add("joined", f"{turn} {number} " + "a" * 200)
            await deferLater(reactor, 0.01)
            longest = max([longest, *map(_unsent, factory.connections)])
        print(f"{longest} bytes unsent of one reader")
        assert 0 < longest < 1 << 18
        for client in clients:
            client.close()
        await server.stopService()

    run(scenario)


def _slow_client(port: int) -> socket.socket:
    """A client that asks for the stream, and never reads it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return client


def _unsent(channel: Any) -> int:
    """The bytes in Twisted's buffers that the reader has not taken."""
    transport = channel.transport
    return len(transport.dataBuffer) + sum(map(len, transport._tempDataBuffer))
