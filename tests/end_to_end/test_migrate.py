"""What docs/migrate.md has for users of other balancers does what they had.

One gateway on a real Consul serves all mappings of its tables, each at a port of its
own, and migrations.txt has what each is asked.
"""

import json
import re
import shlex
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fnmatch import fnmatchcase
from http.client import HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from attrs import frozen

from tests.end_to_end.registrar import TOLD, Registrar
from tests.support.certificates import Authority, Issued
from tests.support.console import COMMAND, console
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.passwords import write_passwords
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE
from tests.test_documentation import MIGRATIONS

pytestmark = pytest.mark.consul

#: The client of 10.0.0.0/8, and that of no network.
INSIDE, OUTSIDE = "127.0.0.2", "127.0.0.1"

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
SOURCE, TARGET = socket.inet_aton("192.0.2.7"), socket.inet_aton("192.0.2.8")
PROXY_HEADERS = {
    "v1": b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n",
    "v2": SIGNATURE + b"\x21\x11\0\x0c" + SOURCE + TARGET + b"\x12\x67\0\x50",
}

PAGE = "<p>the page of an operator</p>"


def _cases() -> dict[str, list[str]]:
    """The questions of each mapping."""
    text = Path(__file__).with_name("migrations.txt").read_text()
    cases = defaultdict[str, list[str]](list)
    mapping = ""
    for line in text[text.index("\n--map") + 1 :].splitlines():
        if line.startswith("    "):
            cases[mapping].append(line.strip())
        elif line:
            mapping = line
    return dict(cases)


CASES = _cases()

#: Between the fields of a question; values may have semicolons, too.
_FIELDS = re.compile(r"; (?=[<>=!]|only|all|from|proxy|cert|TLS|held|after|page)")

#: The tags of services that have routes.
TAGS = {
    "tagged": (
        "urlprefix-tags.example/x strip=/x",
        "urlprefix-a.example/t",
        "urlprefix-glob.example/*/y",
        "p-tags.example/",
    )
}

#: Options of the gateway itself.
OPTIONS = [each for each in MIGRATIONS if not re.match("--map|docker", each)]

#: What replaces the command line of nginx-consul.
COMMANDS = [each for each in MIGRATIONS if each.startswith("docker ")]


class _Instance(ThreadingHTTPServer):
    """Answers with what it is, and what it saw; understands PROXY headers."""

    daemon_threads = True

    def __init__(self, service: str, number: int, issued: Issued | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service, self.number = service, number
        self.context: ssl.SSLContext | None = None
        if issued is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(issued.cert, issued.key)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is none of ours."""

    @property
    def name(self) -> str:
        """The end of its service id."""
        return str(self.number)

    @property
    def host(self) -> str:
        """Where it listens."""
        return "127.0.0.1"

    @property
    def port(self) -> int:
        """Its port there."""
        return self.server_port


class _Handler(BaseHTTPRequestHandler):
    server: _Instance
    protocol_version = "HTTP/1.1"
    #: The paths that have failed, on any instance.
    failed: set[str] = set()  # noqa: RUF012
    proxy = ""

    def setup(self) -> None:
        begin = self.request.recv(16, socket.MSG_PEEK)
        if begin.startswith(b"PROXY "):
            self.proxy = "v1"
            while self.request.recv(1) != b"\n":
                pass
        elif begin.startswith(SIGNATURE):
            self.proxy = "v2"
            self.request.recv(16)
            self.request.recv(int.from_bytes(begin[14:16], "big"))
        if self.server.context is not None:
            self.request = self.server.context.wrap_socket(
                self.request, server_side=True
            )
        super().setup()

    def do_GET(self) -> None:
        # The first to be asked for such a path fails.
        fails = re.match(r"/50[23]-", self.path) and self.path not in self.failed
        self.failed.add(self.path)
        if fails and self.path.startswith("/502"):
            self.close_connection = True
            return
        seen = dict(self.headers)
        seen |= {"PROXY": self.proxy} if self.proxy else {}
        seen |= {"TLS": "on"} if self.server.context else {}
        said = [self.server.service, self.server.number, self.path, seen]
        body = json.dumps(said).encode()
        self.send_response(503 if fails else 200)
        self.send_header("X-Powered-By", "Python")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@frozen
class Stage:
    """The gateway that serves all mappings, and what its clients have."""

    #: Where the real Consul is.
    consul: str
    gateway: Gateway
    ports: dict[str, int]
    authority: Authority
    certificate: Issued

    def answer(
        self, port: int, url: str, fields: list[str]
    ) -> tuple[HTTPResponse, str]:
        """One answer of a mapping.

        :raises OSError: the connection is closed, or there is no TLS.
        """
        method, _, url = url.rpartition(" ")
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        source = INSIDE if "from inside" in fields else OUTSIDE
        to = ("127.0.0.1", port)
        with ExitStack() as held:
            for field in fields:
                if field.startswith("held "):
                    self._hold(held, to, int(field[5:]))
            sock = socket.create_connection(to, PATIENCE, (source, 0))
            held.callback(sock.close)
            for field in fields:
                if field.startswith("proxy "):
                    sock.sendall(PROXY_HEADERS[field[6:]])
            if parts.scheme == "https":
                context = self._context(fields)
                sock = context.wrap_socket(sock, server_hostname=parts.hostname)
                held.callback(sock.close)
            sent = [f"Host: {parts.hostname}", *(f[1:] for f in fields if f[0] == ">")]
            head = [f"{method or 'GET'} {target} HTTP/1.1", *sent]
            if method == "POST" and not any("Content-Length" in each for each in sent):
                head.append("Content-Length: 0")
            sock.sendall("\r\n".join([*head, "", ""]).encode())
            response = HTTPResponse(sock, method=method or "GET")
            response.begin()
            return response, response.read().decode()

    def _hold(self, held: ExitStack, to: tuple[str, int], count: int) -> None:
        """So many connections, which are served."""
        for _ in range(count):
            sock = held.enter_context(socket.create_connection(to, PATIENCE))
            sock.sendall(b"GET / HTTP/1.1\r\nHost: any.example\r\n\r\n")
            assert sock.recv(1)

    def _context(self, fields: list[str]) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.authority.file)
        if "certificate" in fields:
            context.load_cert_chain(self.certificate.cert, self.certificate.key)
        if "TLS 1.2" in fields:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context


def _own_names(text: str) -> str:
    """The mapping with services whose instances are what its options ask for."""
    end = ""
    if "upstream-tls" in text or "mode=sni" in text:
        end = "-tls"
    elif "fallback" in text or "error-page=503" in text:
        end = "-gone"
    named = re.sub(r"(--map '?[^ :]+:)(\w+)", rf"\1\2{end}", text)
    return re.sub(r"(--route '?[^, ]+=)(\w+)(?=[,' ]|$)", rf"\1\2{end}", named)


@pytest.fixture(scope="module")
def stage(
    consul_binary: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """The gateway, with all mappings of the tables."""
    home = tmp_path_factory.mktemp("migrate")
    authority = Authority(home)
    served = authority.issue("a.example", "127.0.0.1", names=["a.example", "b.example"])
    (home / "certs").mkdir()
    pem = Path(served.cert).read_text() + Path(served.key).read_text()
    (home / "certs" / "a.pem").write_text(pem)
    for status in ("404", "503"):
        (home / f"{status}.html").write_text(PAGE)
    users = write_passwords(home / "htpasswd", alice="secret")
    places = {
        "/etc/lbconsul/certs/": f"{home}/certs/",
        "/srv/errors/": f"{home}/",
        "/etc/lbconsul/htpasswd": users,
        "=ca.pem": f"={authority.file}",
        "10.0.0.0/8": f"{INSIDE}/32",
        "dc=dc2": "dc=dc1",
    }
    told, services = list[str](), {"webserver", "graphite", *TAGS}
    ports = dict(zip(CASES, free_ports(len(CASES)), strict=True))
    for text, port in ports.items():
        own = _own_names(text)
        services.update(re.findall(r"(?:--map '?[^ :]+:|fallback=)([\w-]+)", own))
        services.update(re.findall(r"--route '?[^, ]+=([\w-]+)(?:[,' ]|$)", own))
        own = re.sub(r"(--(?:map|route) '?)\d+:", rf"\g<1>127.0.0.1:{port}:", own)
        for old, new in places.items():
            own = own.replace(old, new)
        told += shlex.split(own)
    with ExitStack() as stack:
        agent = stack.enter_context(ConsulAgent(consul_binary))
        agent.api("PUT", "/v1/kv/lbconsul/certs/a", pem.encode())
        agent.api("PUT", "/v1/kv/fabio/config", b"route del tagged tags.example/x")
        registrar = Registrar(agent)
        for service in services:
            if service != "-" and not service.endswith("-gone"):
                _register(stack, registrar, service, served)
        consul = f"localhost:{agent.port}"
        gateway = Gateway(home, f"--consul={consul}", *told, wait="listening")
        stack.enter_context(gateway)
        for service in services - {"-", "webserver", "graphite"}:
            gateway.wait_for(rf" info {service}(,.*)?: .*; \d+ in all$")
        yield Stage(consul, gateway, ports, authority, served)


def _register(
    stack: ExitStack, registrar: Registrar, service: str, issued: Issued
) -> None:
    """Two instances: one that passes, with a tag and a zone, and one that warns."""
    name = service.removesuffix("-tls")
    for number in (1, 2):
        secure = issued if service.endswith("-tls") else None
        server = _Instance(name, number, secure)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        is_first = number == 1
        registrar.add(
            service,
            server,
            Tags=[*(["v2"] if is_first else []), *TAGS.get(service, ())],
            Meta={"zone": "a" if is_first else "b"},
            Check={**TOLD, "Status": "passing" if is_first else "warning"},
        )


def test_all_are_tried() -> None:
    """Each mapping of the tables is asked, and no other."""
    mappings = {each for each in MIGRATIONS if each.startswith("--map")}
    assert set(CASES) == mappings
    assert len(MIGRATIONS) >= 130


@pytest.mark.parametrize("mapping", CASES)
def test_mapping(stage: Stage, mapping: str) -> None:
    """A mapping does what the old line did."""
    for question in CASES[mapping]:
        expanded = re.sub(r"\{(\d+)\}", lambda found: "x" * int(found[1]), question)
        said, *fields = _FIELDS.split(expanded)
        url, _, expected = said.partition(" -> ")
        _ask(stage, stage.ports[mapping], url, expected, fields)


def _ask(stage: Stage, port: int, url: str, expected: str, fields: list[str]) -> None:
    for field in fields:
        if field.startswith("after "):
            for _ in range(int(field[6:])):
                with suppress(OSError, HTTPException):
                    stage.answer(port, url, fields)
    if expected == "closed":
        with pytest.raises((OSError, HTTPException)):
            stage.answer(port, url, fields)
        return
    response, body = stage.answer(port, url, fields)
    status, _, location = expected.partition(" ")
    if status.isdigit():
        found = (str(response.status), response.headers.get("Location", ""))
        assert found == (status, location)
        assert ("page" in fields) == (body == PAGE)
        return
    service, _, path, seen = json.loads(body)
    assert (response.status, f"{service} {path}") == (200, expected)
    for field in fields:
        _check(field, seen, dict(response.headers))
    if numbers := {"only 1": {1}, "all": {1, 2}}.get((fields or [""])[0]):
        answers = [stage.answer(port, url, fields)[1] for _ in range(24)]
        assert {json.loads(each)[1] for each in answers} == numbers


def _check(field: str, seen: dict[str, str], got: dict[str, str]) -> None:
    kind = re.match(r"!?[<=]", field)
    if kind is not None:
        name, _, value = field[kind.end() :].partition(": ")
        found = (seen if "<" in kind[0] else got).get(name)
        if kind[0][0] == "!":
            assert found is None, field
        else:
            assert fnmatchcase(found or "none", value), (field, found)


def test_options(tmp_path: Path) -> None:
    """Options of the gateway are accepted, all of them in one command line."""
    words = [each for text in dict.fromkeys(OPTIONS) for each in shlex.split(text)]
    token = tmp_path / "token"
    token.write_text(f"{'secret' * 6}\n")
    token.chmod(0o600)
    words = [str(token) if "token" in each and "/" in each else each for each in words]
    status, out, err = console("check", "--map", "80:web", *words)
    assert (status, err) == (0, ""), out


@pytest.mark.parametrize("command", COMMANDS)
def test_command_lines_of_nginx_consul(stage: Stage, command: str) -> None:
    """The image of nginx-consul can be swapped: its command line does the same."""
    words = shlex.split(command.partition(" lbconsul ")[2])
    mappings = [each for each in words if re.match(r"\d+:", each)]
    ports = dict(zip(mappings, free_ports(len(mappings)), strict=True))
    for mapping, port in ports.items():
        words[words.index(mapping)] = re.sub(r"^\d+", str(port), mapping)
    words[words.index("localhost:8500")] = stage.consul
    home = stage.gateway.home / "nginx-consul"
    home.mkdir(exist_ok=True)
    with Gateway(home, *words, command=(str(COMMAND), "run")):
        for mapping, port in ports.items():
            service = mapping.partition(":")[2]
            _ask(stage, port, "http://any.example/x", f"{service} /x", [])
