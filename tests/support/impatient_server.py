"""A server that closes idle connections at random moments, often just too early."""

import random
import re
import select
import socket
import threading
from collections import Counter
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.support.load import Broken
from tests.support.loopback import PATIENCE

_HEAD = re.compile(
    rb"(\w+) /(\S+) HTTP/1\.1\r\n(?is:.*?\r\ncontent-length: (\d+)\r\n)?"
)

#: The longest that a connection is kept, in seconds.
KEEPS = 1.0


class ImpatientServer:
    """Says the body of each request again, and counts how often it got each target."""

    name = "impatient"
    host = "127.0.0.1"

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._server = socket.create_server((self.host, 0), backlog=1024)
        #: Requests by their targets, without the slash.
        self.seen = Counter[str]()
        #: How many idle connections it has closed.
        self.closed = 0
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._server.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._server.accept()
                threading.Thread(target=self._serve, args=[sock], daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            waits = PATIENCE  # the first request is on its way
            while select.select([sock], [], [], waits)[0]:
                self._answer(sock)
                waits = self._patience()
            with self._lock:
                self.closed += 1

    def _patience(self) -> float:
        """Half of the times it is about as long as the next request takes."""
        draw = self._random
        return draw.choice((draw.uniform(0, 0.004), draw.uniform(0, KEEPS)))

    def _answer(self, sock: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += _more(sock)
        head, _, body = data.partition(b"\r\n\r\n")
        match = _HEAD.match(head + b"\r\n")
        assert match is not None
        with self._lock:
            self.seen[match[2].decode()] += 1
        length = int(match[3] or 0)
        while len(body) < length:
            body += _more(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + body)


def _more(sock: socket.socket) -> bytes:
    data = sock.recv(1 << 16)
    if not data:
        raise Broken("the gateway has closed it")
    return data
