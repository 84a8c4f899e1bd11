"""Connections that are open and idle."""

import socket
from types import TracebackType
from typing import Self

from bench.processes import unverified

_REQUEST = b"GET /small HTTP/1.1\r\nHost: bench\r\n\r\n"


class IdleConnections:
    """So many connections through a balancer, each after one request and answer."""

    def __init__(self, port: int, tls: bool = False) -> None:
        self._port = port
        self._context = unverified() if tls else None
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self._open:
            each.close()

    def grow(self, count: int) -> None:
        """Open more, until there are `count`."""
        while len(self._open) < count:
            sock = socket.create_connection(("127.0.0.1", self._port), 30)
            if self._context is not None:
                sock = self._context.wrap_socket(sock)
            self._open.append(sock)
            sock.sendall(_REQUEST)
            received = b""
            while not received.endswith(b"x" * 100):
                data = sock.recv(4096)
                if not data:
                    raise RuntimeError(f"closed at {len(self._open)} connections")
                received += data
