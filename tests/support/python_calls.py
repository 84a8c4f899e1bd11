"""Counts the Python functions that a proxy calls for a connection."""

import os
import re
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import repeat
from types import FrameType
from typing import Any

from attrs import evolve

from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping
from lbconsul.logs.connection_lines import ConnectionLines
from lbconsul.logs.format import LineFormat
from lbconsul.logs.targets import Descriptor
from lbconsul.logs.writer import LogWriter
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.proxy.listener_manager import ListenerManager
from lbconsul.proxy.runtime import ProxyRuntime
from tests.support import loopback
from tests.support.ports import free_ports
from tests.support.recording_reactor import RecordingReactor
from tests.support.tls import NOT_NOW, acceptor_of, python_client
from tests.support.upstreams import instance, registry_of

#: Upstreams to choose from.
_UPSTREAMS = 3

#: Connections before the counted ones, which fill caches.
_FIRST = 16

_REQUEST = b"GET /small HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
_KEPT_REQUEST = b"GET /small HTTP/1.1\r\nHost: bench\r\n\r\n"
_VARYING_REQUEST = (
    b"GET /small?page=%d HTTP/1.1\r\nHost: bench\r\nCookie: session=%d; theme=dark\r\n"
    b"Connection: keep-alive\r\nAccept: */*\r\n\r\n"
)
_HEAD = b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
_KEPT_ANSWER = _HEAD + b"Content-Length: 100\r\n\r\n" + b"x" * 100
_ANSWER = _HEAD + b"Connection: close\r\n\r\n" + b"x" * 100


def calls_per_connection(
    *, logs: bool, connections: int = 1024, before: bytes = b"", **options: Any
) -> float:
    """The mean over connections that carry one request and one answer each.

    The upstream closes after its answer, and then the client, as with HTTP's
    ``Connection: close``.  Each connection comes alone, so that the figure is the same
    in each run and on each machine.  It counts the listener, the poller and all that
    they call; not what the reactor calls around them, which many connections share
    under load, nor periodic work.  With `logs` each connection's line is formatted and
    queued for the thread that writes the log.

    `options` are attributes of the mapping; the client sends the bytes `before` its
    request.  If the mapping has certificates, the client makes a full handshake of TLS
    first, whose ClientHello is there when the connection is accepted.
    """
    mapping = evolve(Mapping("web", TCPListen("127.0.0.1", 0)), **options)
    with ExitStack() as held:
        proxy = _Proxy(held, logs, mapping, before + _REQUEST)
        # While one connection stays open the sweepers do not stop and start again.
        held.enter_context(proxy.connect())
        held.enter_context(proxy.server_side())
        for _ in range(_FIRST):
            proxy.serve_one()
        proxy.reactor.counted = 0
        for _ in range(connections):
            proxy.serve_one()
        return proxy.reactor.counted / connections


def calls_per_request(
    *, logs: bool, requests: int = 1024, varies: bool = False, **options: Any
) -> float:
    """The mean over requests of one client that keeps its connection.

    Counted as for a connection.  Those to upstreams are kept as well.  It sends the
    cookie that it gets.  With `varies`
    each request has another target and another Cookie.
    """
    mapping = evolve(Mapping("web", TCPListen("127.0.0.1", 0)), **options)
    with ExitStack() as held:
        proxy = _Proxy(held, logs, mapping, _KEPT_REQUEST)
        client = held.enter_context(proxy.connect())
        proxy.answer(client, held)
        for _ in range(_FIRST):
            proxy.ask_again(client, held)
        proxy.reactor.counted = 0
        for number in range(requests):
            if varies:
                proxy.request = _VARYING_REQUEST % (number, number)
            proxy.ask_again(client, held)
        return proxy.reactor.counted / requests


def calls_per_client(*, logs: bool, clients: int = 1024, **options: Any) -> float:
    """The mean over clients in HTTP mode that connect for one request each.

    Counted as for a connection.  Those to upstreams are kept.
    """
    mapping = evolve(Mapping("web", TCPListen("127.0.0.1", 0), mode="http"), **options)
    with ExitStack() as held:
        proxy = _Proxy(held, logs, mapping, _REQUEST)
        # While one connection stays open the sweepers do not stop and start again.
        proxy.connect_silently(held)
        for _ in range(_FIRST):
            proxy.serve_client(held)
        proxy.reactor.counted = 0
        for _ in range(clients):
            proxy.serve_client(held)
        return proxy.reactor.counted / clients


class _CountingReactor(RecordingReactor):
    """Counts the Python functions that its readers and writers call."""

    #: As a real reactor has it: a built-in function, which is not counted.
    seconds = staticmethod(time.monotonic)

    def __init__(self, is_stopped: bool) -> None:
        """With `is_stopped` the clock is: no handshake takes long, and none waits."""
        super().__init__()
        self.counted = 0
        if is_stopped:
            self.seconds = repeat(0.0).__next__

    def _tell(self, each: Any, events: int) -> None:
        sys.setprofile(self._count)
        try:
            super()._tell(each, events)
        finally:
            sys.setprofile(None)
            self.counted -= 1  # `_tell` of the class above

    def _count(self, frame: FrameType, event: str, argument: object) -> None:
        self.counted += event == "call"


class _Proxy:
    """A mapping that is served as in a gateway of one process, and its web servers."""

    def __init__(
        self, held: ExitStack, logs: bool, mapping: Mapping, request: bytes
    ) -> None:
        self.request = request
        acceptor = acceptor_of(mapping)
        self._has_tls = acceptor is not None
        self.reactor = _CountingReactor(self._has_tls)
        # An upstream in the ephemeral range would cost a further check.
        self._servers = [
            held.enter_context(socket.create_server(("127.0.0.1", port)))
            for port in free_ports(_UPSTREAMS)
        ]
        #: Connections of theirs that are used again.
        self._kept: list[socket.socket] = []
        ports = [each.getsockname()[1] for each in self._servers]
        self._registry = registry_of(*(instance(f"web-{n}", n) for n in ports))
        nowhere = held.enter_context(open(os.devnull, "wb"))  # noqa: SIM115
        writer = LogWriter(Descriptor(nowhere.fileno()), lambda dropped, error: b"")
        self._runtime = ProxyRuntime(
            self.reactor,
            self._registry,
            logs,
            connection_writer=ConnectionLines(
                LineFormat(), writer.write, now=repeat(0.0).__next__
            ),
        )
        if acceptor is not None:
            self._runtime.acceptors.use(mapping.tls, acceptor)
        self._manager = ListenerManager(self._runtime)
        self._manager.serve(mapping, OwnedSocket(mapping))
        self._manager.startService()
        held.callback(self._close)
        (served,) = self._manager.served
        assert served.listener is not None
        self._address = served.listener.address

    def connect(self) -> socket.socket:
        """A client that has sent its request."""
        client = loopback.connect(self._address)
        if self._has_tls:
            client = self._shake_hands(client)
        client.sendall(self.request)
        return client

    def _shake_hands(self, sock: socket.socket) -> ssl.SSLSocket:
        sock.setblocking(False)
        client = python_client(sock)
        self._until(client, client.do_handshake)
        return client

    def _until(self, client: ssl.SSLSocket, step: Callable[[], object]) -> None:
        """Turn until a client has taken a step."""

        def is_taken() -> bool:
            with suppress(*NOT_NOW):
                step()
                return True
            return False

        while not is_taken():
            self.reactor.turn_until(lambda: _is_ready(client))

    def server_side(self) -> socket.socket:
        """The next connection of a server, which has received the request."""
        self.reactor.turn_until(lambda: any(map(_is_ready, self._servers)))
        (server,) = filter(_is_ready, self._servers)
        accepted = loopback.accept(server)
        self.reactor.turn_until(lambda: _is_ready(accepted))
        accepted.recv(4096)
        return accepted

    def serve_one(self) -> None:
        """Let a client ask and get its answer; both sides close."""
        left = self._runtime.open
        with self.connect() as client:
            with self.server_side() as accepted:
                accepted.sendall(_ANSWER)
            if isinstance(client, ssl.SSLSocket):
                self._until(client, lambda: client.recv(len(_ANSWER)))
                self._until(client, client.unwrap)
            else:
                self.reactor.turn_until(lambda: _is_ready(client))
                client.recv(len(_ANSWER))
        self.reactor.turn_until(lambda: self._runtime.open == left)

    def answer(self, client: socket.socket, held: ExitStack) -> None:
        """Answer a client's request, so that all connections can be used again."""
        self.reactor.turn_until(
            lambda: any(map(_is_ready, [*self._kept, *self._servers]))
        )
        upstream = next(filter(_is_ready, self._kept), None)
        if upstream is None:
            upstream = held.enter_context(self.server_side())
            self._kept.append(upstream)
        else:
            upstream.recv(4096)
        upstream.sendall(_KEPT_ANSWER)
        received = b""
        while not received.endswith(b"x" * 100):
            self.reactor.turn_until(lambda: _is_ready(client))
            received += client.recv(4096)
        cookie = re.search(rb"Set-Cookie: ([^;]+)", received)
        if cookie is not None:
            self.request = b"%bCookie: %b\r\n\r\n" % (self.request[:-2], cookie[1])

    def connect_silently(self, held: ExitStack) -> None:
        """A client that says nothing."""
        held.enter_context(loopback.connect(self._address))
        self.reactor.turn_until(lambda: self._runtime.open == 1)

    def serve_client(self, held: ExitStack) -> None:
        """Let a client connect, ask, get its answer, and go."""
        left = self._runtime.open
        with self.connect() as client:
            self.answer(client, held)
        self.reactor.turn_until(lambda: self._runtime.open == left)

    def ask_again(self, client: socket.socket, held: ExitStack) -> None:
        """One more request of a client that has had its answer."""
        client.sendall(self.request)
        self.answer(client, held)

    def _close(self) -> None:
        self._manager.stopService()
        self._manager.close_connections()
        assert not self._registry.open_connections()


def _is_ready(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])
