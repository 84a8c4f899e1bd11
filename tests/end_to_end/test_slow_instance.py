"""An instance that is much slower than its peers gets no more requests for a while."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.end_to_end.stage import Stage
from tests.support.admin_side import AdminSide
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul

#: Seconds that an answer of the slow one takes.
SLOW = 0.4


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        time.sleep(self.server.takes)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    """A web server whose answers take so long."""

    daemon_threads = True
    request_queue_size = 128
    host = "127.0.0.1"

    def __init__(self, name: str) -> None:
        super().__init__((self.host, 0), _Handler)
        self.name, self.takes = name, 0.0

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server_port


@pytest.fixture
def three() -> Iterator[list[Server]]:
    """Three web servers."""
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(name)) for name in ("a", "b", "slow")]
        for each in servers:
            threading.Thread(target=each.serve_forever, daemon=True).start()
            stack.callback(each.shutdown)
        yield servers


def test_a_slow_instance(stage: Stage, three: list[Server]) -> None:
    """
    Workers eject an instance that answers many times more slowly than its peers, and
    the status says why; a service that is slow as a whole loses none.
    """
    port, admin_port = free_ports(2)
    for each in three:
        stage.add(each)
    admin = AdminSide(admin_port)
    gateway = stage.gateway(
        *("--workers", "2", f"--admin={admin_port}", "--policy", "roundrobin"),
        *("--map", f"{port}:{stage.service},mode=http"),
        "--eject-latency=p50>250ms;factor=2;samples=10",
    )
    all_serve(gateway, 2)
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            client = HTTPConnection("127.0.0.1", port)
            with suppress(OSError, HTTPException):
                client.request("GET", "/")
                client.getresponse().read()
            client.close()
            is_over.wait(0.05)

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for client in clients:
        client.start()

    def ejected() -> dict[str, str]:
        [mapping] = admin.status()["mappings"]
        return {
            row["id"].rpartition("-")[2]: row["reason"]
            for row in mapping["pools"][0]["upstreams"]
            if row["standing"] == "ejected"
        }

    try:
        for each in three:
            each.takes = SLOW
        # Until there is more than one window of answers of each.
        admin.status()
        time.sleep(5)
        assert ejected() == {}
        for each in three[:2]:
            each.takes = 0.0
        eventually(lambda: ejected().keys() == {"slow"}, "the slow one is ejected")
        assert "p50 of first bytes 0." in ejected()["slow"]
        gateway.wait_for(r" p50 of first bytes 0\.\d+ s, peers 0\.")
    finally:
        is_over.set()
        for client in clients:
            client.join()
