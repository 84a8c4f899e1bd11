"""A real web server as a process of its own: answers its name, and can be killed.

usage: python -m tests.support.web_server NAME HOST PORT

``/`` is answered with one line, the server's name and the query, so that an
answer to another question is found out; ``/slow?s=2`` likewise, but two seconds
later; PUT with the CRC of its body besides.  SIGTERM ends it gracefully: it goes on
answering, closes each connection behind the answer, and ends once it has had no
connection for `QUIET`.
"""

import faulthandler
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.binaries import REPOSITORY
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE

#: So long without a connection is idle, in seconds.
QUIET = 0.5


class WebServer:
    """A web server process, on a port that it keeps over a `kill` and a `start`.

    Leaving it as a context manager fails if it printed anything: it has
    nothing to say but tracebacks.
    """

    #: What is run, with the name, the host and the port.
    module = "tests.support.web_server"

    #: More to tell it.
    more: Sequence[str] = ()

    def __init__(self, name: str, host: str = "127.0.0.1", port: int = 0) -> None:
        self.name = name
        self.host = host
        self.port = port or free_ports(1, host)[0]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        self.wait_until_listening()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        said = self.output()
        self._output.close()
        if kind is None:
            assert not said, f"{self.name} printed:\n{said}"

    def start(self) -> None:
        """Run it, which does not wait for it."""
        command = [sys.executable, "-S", "-E", "-m", self.module]
        self._process = subprocess.Popen(
            [*command, self.name, self.host, str(self.port), *self.more],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def wait_until_listening(self) -> None:
        """Return once it accepts connections."""
        end = time.monotonic() + PATIENCE
        while not self._accepts():
            assert self._process is not None
            ended = self._process.poll() is not None
            if ended or time.monotonic() > end:
                raise RuntimeError(f"{self.name} does not run:\n{self.output()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a crash would, kill -9; its sockets are closed on return."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def terminate(self) -> None:
        """Ask it to end once it is idle, and do not wait for that."""
        assert self._process is not None
        self._process.terminate()

    def wait_until_gone(self) -> None:
        """Wait for it after `terminate`; it must have ended by itself."""
        assert self._process is not None
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGUSR1)  # it tells where it is
            time.sleep(1.0)
            raise AssertionError(f"{self.name} hangs:\n{self.output()}") from None
        self._process = None
        assert status == 0, f"{self.name} ended with {status}:\n{self.output()}"

    def pause(self) -> None:
        """Freeze it: its kernel accepts, but it does not answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after a `pause`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def output(self) -> str:
        """What it printed."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def _accepts(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), 1.0).close()
        except OSError:
            return False
        return True


class _Server(ThreadingHTTPServer):
    """Counts its connections, so that it can tell when it is idle."""

    daemon_threads = True
    request_queue_size = 1024
    draining = False

    def __init__(self, name: str, host: str, port: int) -> None:
        self.name = name
        self.open = 0
        self.last_seen = 0.0
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer would look its own name up.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def count(self, connections: int) -> None:
        """So many connections more, or fewer."""
        with self._lock:
            self.open += connections
            self.last_seen = time.monotonic()

    def is_idle(self) -> bool:
        """Whether there has been no connection for `QUIET`."""
        with self._lock:
            return not self.open and time.monotonic() - self.last_seen > QUIET

    def process_request(self, request: Any, client_address: Any) -> None:
        self.count(1)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.count(-1)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers with the server's name and the query."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if url.path == "/slow":
            time.sleep(float(query["s"][0]))
        self._answer(200 if url.path in ("/", "/slow") else 404, url.query)

    def do_PUT(self) -> None:
        length = int(self.headers["Content-Length"])
        data = self.rfile.read(length)
        if len(data) < length:
            raise ConnectionError("the connection ended before the body did")
        self._answer(200, f"{urlsplit(self.path).query} {zlib.crc32(data):x}")

    def _answer(self, status: int, said: str) -> None:
        body = f"{self.server.name} {said}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        if self.server.draining:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: whatever is printed fails the test."""


def main(name: str, host: str, port: str) -> None:
    """Serve until SIGTERM, and then until it is idle."""
    # Blocked before anything listens, so that it is waited for and never lost: a
    # handler would not wake a main thread that is just about to wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    faulthandler.register(signal.SIGUSR1)
    server = _Server(name, host, int(port))
    serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    serving.start()
    signal.sigwait({signal.SIGTERM})
    server.draining = True
    server.count(0)
    while not server.is_idle():
        time.sleep(0.02)
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main(*sys.argv[1:])
