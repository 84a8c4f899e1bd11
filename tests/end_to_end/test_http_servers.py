"""HTTP mode before real servers: nginx, gunicorn, Node, and Python's own."""

import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.registrar import Place, Registrar
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.peers import gunicorn, nginx_http, node
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE

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


@contextmanager
def python(handler: type[BaseHTTPRequestHandler]) -> Iterator[tuple[str, int]]:
    """Python's own server; where it listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        yield "127.0.0.1", server.server_port
        server.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def ports(
    consul: ConsulAgent, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, int]]:
    """Where a gateway serves each of the servers."""
    registrar, home = Registrar(consul), tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:
        of_node = stack.enter_context(node(home, APPLICATIONS / "echo.js"))
        servers = {
            "node": of_node,
            "gunicorn": stack.enter_context(gunicorn(home, APPLICATIONS / "echo.py")),
            "nginx": stack.enter_context(nginx_http(home, NGINX % of_node[1])),
            "python": stack.enter_context(python(_Echo)),
            "events": stack.enter_context(python(_Events)),
            "refusing": stack.enter_context(python(_Refusing)),
        }
        listening = dict(zip(servers, free_ports(len(servers)), strict=True))
        told = ["--consul", f"127.0.0.1:{consul.port}"]
        for name, port in listening.items():
            registrar.add(f"real-{name}", Place(name, servers[name][1]))
            told += ["--map", f"{port}:real-{name},mode=http"]
        stack.callback(registrar.clean_up)
        stack.enter_context(Gateway(home, *told))
        yield listening


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
