"""HTTP mode before real servers: nginx, gunicorn, Node, and Python's own."""

import queue
import select
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.end_to_end.registrar import Place, Registrar
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.http_server import python_server
from tests.support.peers import gunicorn, nginx_http, node
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually
from tests.support.workers import all_serve, pids, resident

pytestmark = pytest.mark.consul

APPLICATIONS = Path(__file__).with_name("applications")

#: It answers as the others do, by asking itself.
NGINX = """;
    client_max_body_size 0;
    location / {
        add_header X-Seen "$request_method $request_uri $http_x_forwarded_for";
        proxy_pass http://127.0.0.1:%d;
        proxy_http_version 1.1;
        proxy_set_header Host $host;
    }
"""

BODY = bytes(range(256)) * 4096

EVENT = b"data: %012d " + b"x" * 1000 + b"\n\n"

#: The most that a gateway may need for a client that does not read, in bytes: some
#: reads, and what its allocator keeps.
MOST_HELD = 4 << 20

REFUSAL = b"HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"


class _Echo(BaseHTTPRequestHandler):
    """HTTP/1.0: bodies end with the connection."""

    def do_GET(self) -> None:
        self.send_response(200)
        seen = f"{self.command} {self.path} {self.headers['X-Forwarded-For']}"
        self.send_header("X-Seen", seen)
        self.end_headers()
        self.wfile.write(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Refusing(BaseHTTPRequestHandler):
    """Refuses uploads, and reads nothing of them: its kernel resets the connection."""

    def do_POST(self) -> None:
        # In one packet: the reset discards what is not sent yet.
        self.wfile.write(REFUSAL)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Events(BaseHTTPRequestHandler):
    """Server-sent events, each once it was asked for."""

    #: What is to be said; None: no more.
    wanted: "queue.Queue[str | None]"

    def do_GET(self) -> None:
        is_new = self.path.endswith("/chunked")
        self.protocol_version = "HTTP/1.1" if is_new else "HTTP/1.0"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding" if is_new else "X-None", "chunked")
        self.end_headers()
        while (what := self.wanted.get(timeout=PATIENCE)) is not None:
            event = f"data: {what}\n\n".encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event) if is_new else event)
        if is_new:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Endless(BaseHTTPRequestHandler):
    """Server-sent events, as many as there is room for."""

    #: How many bytes there was room for.
    said = 0

    def do_GET(self) -> None:
        _Endless.said = 0
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.connection.setblocking(False)
        number, rest = 0, b""
        while not select.select([self.connection], [], [], 0)[0]:
            if not rest:
                number += 1
                event = EVENT % number
                rest = b"%x\r\n%b\r\n" % (len(event), event)
            if select.select([], [self.connection], [], 0.01)[1]:
                sent = self.connection.send(rest)
                _Endless.said, rest = _Endless.said + sent, rest[sent:]
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def servers(
    consul: ConsulAgent, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    """The servers, each an instance of a service ``real-NAME``."""
    registrar, home = Registrar(consul), tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:
        of_node = stack.enter_context(node(home, APPLICATIONS / "echo.js"))
        servers = {
            "node": of_node,
            "gunicorn": stack.enter_context(gunicorn(home, APPLICATIONS / "echo.py")),
            "nginx": stack.enter_context(nginx_http(home, NGINX % of_node[1])),
            "python": stack.enter_context(python_server(_Echo)),
            "events": stack.enter_context(python_server(_Events)),
            "refusing": stack.enter_context(python_server(_Refusing)),
            "endless": stack.enter_context(python_server(_Endless)),
        }
        for name, (_, port) in servers.items():
            registrar.add(f"real-{name}", Place(name, port))
        stack.callback(registrar.clean_up)
        yield list(servers)


class Through(NamedTuple):
    """A gateway, and where it serves each of the servers."""

    gateway: Gateway
    ports: dict[str, int]


@pytest.fixture(scope="module", params=["1", "2"], ids=["", "2-workers"])
def through(
    request: pytest.FixtureRequest,
    consul: ConsulAgent,
    servers: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Through]:
    """A gateway before the servers, with one worker and with two."""
    ports = dict(zip(servers, free_ports(len(servers)), strict=True))
    told = ["--consul", f"127.0.0.1:{consul.port}", "--workers", request.param]
    for name, port in ports.items():
        told += ["--map", f"{port}:real-{name},mode=http"]
    with Gateway(tmp_path_factory.mktemp("gateway"), *told) as gateway:
        if request.param != "1":
            all_serve(gateway, int(request.param))
        yield Through(gateway, ports)


@pytest.fixture
def ports(through: Through) -> dict[str, int]:
    """Where a gateway serves each of the servers."""
    return through.ports


def ask(
    connection: HTTPConnection, method: str, body: bytes, *, chunked: bool = False
) -> bytes:
    """The body of the answer to a request."""
    parts = (body[at : at + 10000] for at in range(0, len(body), 10000))
    connection.request(
        method,
        "/a%20b?c=d",
        parts if chunked else body or None,
        encode_chunked=chunked,
        headers={"Transfer-Encoding": "chunked"} if chunked else {},
    )
    response = connection.getresponse()
    answer = response.read()
    assert response.status == 200, answer
    # nginx adds its own to what the server behind it says.
    assert f"{method} /a%20b?c=d 127.0.0.1" in response.headers.get_all("X-Seen", [])
    return answer


@pytest.mark.parametrize("server", ["nginx", "gunicorn", "node", "python"])
def test_server(ports: dict[str, int], server: str) -> None:
    """Requests of all kinds come back as they were sent, on one connection or more."""
    connection = HTTPConnection("127.0.0.1", ports[server], timeout=PATIENCE)
    for _ in range(2):
        assert ask(connection, "GET", b"") == b""
        assert ask(connection, "POST", b"short") == b"short"
        assert ask(connection, "POST", BODY) == BODY
        if server != "python":  # which knows no chunks
            assert ask(connection, "POST", BODY, chunked=True) == BODY
    connection.close()


@pytest.mark.parametrize("way", ["chunked", "until-close"])
def test_events(ports: dict[str, int], way: str) -> None:
    """Each server-sent event arrives before the next one is even sent."""
    _Events.wanted = queue.Queue()
    connection = HTTPConnection("127.0.0.1", ports["events"], timeout=PATIENCE)
    connection.request("GET", f"/{way}", headers={"Accept": "text/event-stream"})
    response = connection.getresponse()
    for number in range(20):
        _Events.wanted.put(str(number))
        assert response.readline() == b"data: %d\n" % number
        assert response.readline() == b"\n"
    _Events.wanted.put(None)
    assert response.read() == b""
    connection.close()


def test_refused_uploads(ports: dict[str, int]) -> None:
    """A client learns why a server refuses its upload, however early that is."""
    heard = []
    for _ in range(20):
        connection = HTTPConnection("127.0.0.1", ports["refusing"], timeout=PATIENCE)
        connection.request("POST", "/", BODY)
        response = connection.getresponse()
        heard.append((response.status, response.read()))
        connection.close()
    assert heard == [(413, b"no")] * 20


def test_events_that_are_not_read(through: Through) -> None:
    """A client that does not read its events holds their server up, not memory."""
    gateway, port = through.gateway, through.ports["endless"]
    processes = list(pids(gateway).values()) or [gateway.pid]
    before = sum(map(resident, processes))
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/")
    response = connection.getresponse()
    said = -1

    def is_full() -> bool:
        nonlocal said
        before, said = said, _Endless.said
        time.sleep(0.2)
        return before == said > 0

    eventually(is_full, "the server has no room")
    assert sum(map(resident, processes)) - before < MOST_HELD
    for number in range(1, 10_000):
        assert response.read(len(EVENT % 0)) == EVENT % number
    connection.sock.close()
    response.close()
    gateway.wait_for(r'"GET / HTTP/1.1" 200 .* CD id=')
