"""A web server in a thread, whose health endpoint says what a test wants."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

#: What ``/health`` does beside answering with a status.
HANGS, ENDLESS, GARBAGE = "hangs", "endless", "garbage"


class LyingServer:
    """Answers its name; ``/health`` is answered with `health`, whatever is true."""

    def __init__(self, name: str, context: ssl.SSLContext | None = None) -> None:
        self.name = name
        self.host = "127.0.0.1"
        #: A status, or one of the words above.
        self.health: int | str = 200
        #: Whether every other request is closed without an answer.
        self.is_dead = False
        #: The heads of the health requests so far.
        self.asked: list[str] = []
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.context = context
        self.port: int = self._server.server_port

    def serve(self) -> None:
        """Serve until `stop`."""
        self._server.serve_forever(0.05)

    def stop(self) -> None:
        """Serve no more."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def lying_server(
    name: str, context: ssl.SSLContext | None = None
) -> Iterator[LyingServer]:
    """One that runs in a thread; with TLS if there is a context."""
    server = LyingServer(name, context)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield server
    server.stop()
    thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    context: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        with suppress(OSError):  # resets are what checks end with
            if self.context is not None:
                request = self.context.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


def _handler(server: LyingServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/health":
                server.asked.append(f"{self.requestline}\n{self.headers}")
                self._tell()
            elif server.is_dead:
                self.close_connection = True
            else:
                said = urlsplit(self.path).query
                body = f"{server.name} {said}\n".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def _tell(self) -> None:
            health = server.health
            if isinstance(health, int):
                self.send_response(health)
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif health == HANGS:
                server.over.wait(30.0)
            elif health == GARBAGE:
                self.wfile.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            else:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while not server.over.is_set():
                    self.wfile.write(b"x-again: and again\r\n" * 500)
            self.close_connection = not isinstance(health, int)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
