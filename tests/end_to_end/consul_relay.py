"""A TCP relay in front of Consul that notes each question put to it."""

import socket
import socketserver
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class ConsulRelay(socketserver.ThreadingTCPServer):
    """Passes everything on to the port of a Consul agent, in threads."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, consul_port: int, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.port: int = self.server_address[1]
        self.consul_port = consul_port
        #: The heads of the requests, in the order in which they came.
        self.heads: list[str] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self.server_close()

    def queries(self, service: str) -> list[str]:
        """What was asked about a service, as the first lines of the requests."""
        lines = [head.split("\r\n", 1)[0] for head in self.heads]
        return [line for line in lines if f"/v1/health/service/{service}?" in line]


class _Handler(socketserver.BaseRequestHandler):
    server: ConsulRelay
    request: socket.socket

    def handle(self) -> None:
        consul = socket.create_connection(("127.0.0.1", self.server.consul_port))
        back = threading.Thread(target=_pass_on, args=(consul, self.request))
        back.daemon = True
        back.start()
        seen = b""
        with suppress(OSError):
            while data := self.request.recv(65536):
                *heads, seen = (seen + data).split(b"\r\n\r\n")
                self.server.heads += [head.decode("latin-1") for head in heads]
                consul.sendall(data)
        consul.close()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
