"""A proxy in HTTP mode between clients and upstreams that a test plays by hand."""

import re
import select
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

from lbconsul.proxy.http_session import HTTPSession
from tests.support import loopback
from tests.support.running_proxy import RunningProxy
from tests.support.upstreams import instance
from tests.support.waiting import eventually

#: A request that any server understands.
GET = b"GET / HTTP/1.1\r\nHost: web.example\r\n\r\n"

#: What a response has from its server; one without gets it from the proxy.
DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

#: A response with a short body.
OK = b"HTTP/1.1 200 OK\r\n%bContent-Length: 2\r\n\r\nok" % DATE

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)")


class Peer:
    """A client or an upstream: what it says, and what it hears."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._heard = b""

    def say(self, *parts: bytes) -> None:
        """Send these bytes, each part in a packet of its own."""
        for part in parts:
            self.sock.sendall(part)

    def hear(self, until: bytes = b"\r\n\r\n") -> bytes:
        """What comes up to these bytes, with them."""
        while until not in self._heard:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(self._heard)
            self._heard += data
        heard, found, self._heard = self._heard.partition(until)
        return heard + found

    def hear_bytes(self, count: int) -> bytes:
        """The next so many bytes."""
        while len(self._heard) < count:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(self._heard)
            self._heard += data
        heard, self._heard = self._heard[:count], self._heard[count:]
        return heard

    def hear_message(self) -> tuple[bytes, bytes]:
        """A head, and a body of the length that it tells."""
        head = self.hear()
        length = _LENGTH.search(head)
        return head, self.hear_bytes(int(length[1])) if length else b""

    def hears_end(self) -> bytes:
        """What comes up to the end of the connection.

        :raises ConnectionResetError: it ends with a reset.
        """
        while data := self.sock.recv(65536):
            self._heard += data
        heard, self._heard = self._heard, b""
        return heard

    def end(self) -> None:
        """End the own direction."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection."""
        self.sock.close()


class HTTPStage:
    """A mapping with ``mode=http`` over so many upstreams, and the peers round it."""

    def __init__(
        self,
        upstreams: int = 1,
        routes: Mapping[str, Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        """`routes` are options of routes, by their patterns; all have the upstreams."""
        self._stack = ExitStack()
        self._listening = [
            self._stack.enter_context(loopback.listening()) for _ in range(upstreams)
        ]
        ports = [each.getsockname()[1] for each in self._listening]
        instances = [instance(f"web{n}", port) for n, port in enumerate(ports)]
        self.proxy = RunningProxy(
            *instances, routes=routes or {}, mode="http", **options
        )

    def __enter__(self) -> Self:
        self._stack.enter_context(self.proxy)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def enter(self, sock: socket.socket) -> socket.socket:
        """Close a socket with the stage."""
        return self._stack.enter_context(sock)

    def client(self) -> Peer:
        """A client that has connected."""
        return Peer(self.proxy.connect())

    def narrow_client(self) -> Peer:
        """The first client, for which there is little room in sockets."""
        client = self.enter(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(loopback.PATIENCE)
        address = self.proxy.address
        assert isinstance(address, tuple)
        client.connect(address)
        eventually(lambda: self.proxy.mapped.sessions, "the client is accepted")
        sock = self.session().sock
        self.proxy.call(sock.setsockopt, socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return Peer(client)

    def narrow_upstream(self, number: int = 0) -> None:
        """An upstream whose connections, from now on, have little room."""
        self._listening[number].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def session(self) -> HTTPSession:
        """The only session."""
        [session] = self.proxy.mapped.sessions
        assert isinstance(session, HTTPSession)
        return session

    def upstream(self, number: int = 0) -> Peer:
        """The next connection to an upstream, which has accepted it."""
        sock = loopback.accept(self._listening[number])
        return Peer(self.enter(sock))

    def next_request(self, known: dict[int, Peer]) -> tuple[int, Peer]:
        """Which upstream gets the next request, and its connection.

        `known` are the connections so far, one to each; a new one is added.
        """
        waiting: dict[socket.socket, int] = {
            each: number for number, each in enumerate(self._listening)
        }
        waiting |= {each.sock: number for number, each in known.items()}
        ready = select.select(list(waiting), [], [], loopback.PATIENCE)[0]
        number = waiting[ready[0]]
        if ready[0] is self._listening[number]:
            known[number] = self.upstream(number)
        known[number].hear_message()
        return number, known[number]

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """The proxy sees what happens meanwhile only afterwards, in this order."""
        is_held, goes_on = threading.Event(), threading.Event()

        def hold() -> None:
            is_held.set()
            goes_on.wait(loopback.PATIENCE)

        self.proxy.reactor.callFromThread(hold)
        is_held.wait(loopback.PATIENCE)
        try:
            yield
        finally:
            goes_on.set()

    def address(self, number: int = 0) -> str:
        """The address of an upstream."""
        host, port = self._listening[number].getsockname()
        return f"{host}:{port}"

    def refuse(self, number: int = 0) -> None:
        """Have an upstream refuse connections."""
        self._listening[number].close()


def exchange(client: Peer, upstream: Peer, request: bytes = GET) -> bytes:
    """The head of the response to a request that the upstream answers."""
    client.say(request)
    upstream.hear_message()
    upstream.say(OK)
    head, body = client.hear_message()
    assert body == b"ok"
    return head
