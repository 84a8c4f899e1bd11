"""Routes that are tags of services in the real Consul: ``--map 80:@tags,mode=http``."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.end_to_end.registrar import TOLD
from tests.end_to_end.stage import Stage
from tests.support.admin_side import AdminSide
from tests.support.gateway import Gateway
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.workers import all_serve
from tests.tags.cases import CASES, PEER, Answers, Ask, Case, Serves

pytestmark = pytest.mark.consul


class Echo(ThreadingHTTPServer):
    """Answers what it was asked, as JSON."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        self.name, self.host = name, "127.0.0.1"
        super().__init__((self.host, 0), _Handler)
        self.port = self.server_address[1]
        Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Any = self.server
        told = {
            "name": server.name,
            "path": self.path,
            "fields": {name.lower(): value for name, value in self.headers.items()},
        }
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Tagged:
    """A gateway whose routes are tags with a prefix that no other test uses."""

    def __init__(
        self,
        stage: Stage,
        *arguments: str,
        options: str = "",
        file: Path | None = None,
        **started: Any,
    ) -> None:
        self.stage, self.registrar = stage, stage.registrar
        self.prefix = f"{stage.service}-"
        self.port, admin = free_ports(2)
        self.admin = AdminSide(admin)
        mapping = (
            f"{self.port}:@tags,mode=http,shrink-guard=off"
            f",tag-prefix={self.prefix}{options}"
        )
        told = ["--map", mapping]
        if file is not None:
            file.write_text(f'map = ["{mapping}"]\n')
            told = []
        self.arguments = (
            *arguments, f"--admin={admin}", "--connection-log=off", *told,
        )  # fmt: skip
        self.gateway: Gateway = stage.gateway(
            *self.arguments, wait="listening", **started
        )

    def add(self, server: Any, *routes: str, service: str = "", **said: Any) -> str:
        """Register a server with these routes; its id."""
        name = f"{self.stage.service}-{service or server.name}"
        tags = [f"{self.prefix}{each}" for each in routes]
        return self.registrar.add(name, server, Tags=tags, **said)

    def ask(self, path: str, host: str = "h") -> tuple[int, dict[str, Any]]:
        """The status and what the instance was asked."""
        # A reload may close the connection behind it.
        with Client(self.port, is_kept=False) as client:
            return client.ask(path, host)

    def leads(self, path: str, there: str | int, host: str = "h") -> None:
        """Wait until a path leads to the server with this name, or has this status."""

        def found() -> bool:
            status, told = self.ask(path, host)
            return there in (status, told.get("name"))

        eventually(found, f"{host}{path} leads to {there}")


class Client:
    """A client that keeps its connection."""

    def __init__(self, port: int, *, is_kept: bool = True) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)
        self._is_kept = is_kept

    def __enter__(self) -> "Client":
        self._connection.connect()
        self._sock = self._connection.sock
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, path: str, host: str = "h") -> tuple[int, dict[str, Any]]:
        """The status and what the instance was asked."""
        return self.ask_all(path, {"Host": host})[:2]

    def ask_all(
        self, path: str, fields: dict[str, str]
    ) -> tuple[int, dict[str, Any], str]:
        """The same for a request with these fields, and the Location."""
        self._connection.request("GET", path, headers=fields)
        response = self._connection.getresponse()
        body = response.read()
        is_open = self._connection.sock is self._sock
        assert is_open or not self._is_kept, "the connection was closed"
        told = json.loads(body) if response.status == 200 else {}
        return response.status, told, response.getheader("Location", "")


@pytest.fixture
def echoes() -> Iterator[list[Echo]]:
    """Three servers, A, B and C."""
    with ExitStack() as held:
        found = [Echo(name) for name in "abc"]
        for each in found:
            held.callback(each.server_close)
            held.callback(each.shutdown)
        yield found


@pytest.mark.parametrize("workers", ["1", "2"])
def test_routes_come_and_go_without_a_reload(
    stage: Stage, echoes: list[Echo], workers: str
) -> None:
    """A tag is a route at once, for clients on kept connections, too."""
    a, b, _ = echoes
    tagged = Tagged(stage, "--workers", workers)
    if workers != "1":
        all_serve(tagged.gateway, int(workers))
    with Client(tagged.port) as client:
        assert client.ask("/foo")[0] == 404
        tagged.add(a, "/foo strip=/foo")
        eventually(lambda: client.ask("/foo/x?y=1")[0] == 200, "there is a route")
        status, told = client.ask("/foo/x?y=1")
        assert (status, told["name"], told["path"]) == (200, "a", "/x?y=1")
        b_id = tagged.add(b, "/foo/bar", Check=TOLD)
        eventually(
            lambda: client.ask("/foo/bar/1")[1].get("name") == "b", "b has its own"
        )
        assert client.ask("/foo/ba")[1]["name"] == "a"
        tagged.registrar.check(b_id, "fail")
        # A route whose instances are gone is not the next shorter one.
        eventually(lambda: client.ask("/foo/bar/1")[0] == 503, "b has no instance")
        tagged.add(b, "/other", Check=TOLD)
        eventually(lambda: client.ask("/foo/bar/1")[1].get("name") == "a", "it is a's")
        assert client.ask("/other")[0] == 503
        tagged.registrar.check(b_id, "pass")
        eventually(lambda: client.ask("/other")[1].get("name") == "b", "b is back")
    status = tagged.admin.status()
    rows = [each["name"] for each in status["mappings"]]
    assert any("/other" in each for each in rows), rows


class Together(Tagged):
    """A gateway that follows all services together, as others do beyond a hundred; the
    instances are on nodes of their own, right in the catalog.
    """

    _TWISTD = (
        "import lbconsul.gateway.tag_routes as module; module.MOST_BLOCKING = 0;"
        " from twisted.scripts.twistd import run; run()"
    )

    def __init__(self, stage: Stage) -> None:
        twistd = (sys.executable, "-c", self._TWISTD)
        super().__init__(stage, options=",route-hold=off", twistd=twistd)

    def put(self, node: str, name: str, server: Any, route: str, **said: Any) -> None:
        """Register an instance of a service, or register it again."""
        service = f"{self.stage.service}-{name}"
        told = {"Tags": [f"{self.prefix}{route}"], "Checks": [], **said}
        node = f"{self.stage.service}-{node}"
        self.registrar.add_elsewhere(node, service, server, **told)

    def remove(self, node: str, name: str = "") -> None:
        """Deregister a service's instance there, or all of the node."""
        node = f"{self.stage.service}-{node}"
        if name:
            gone = {"Node": node, "ServiceID": f"{self.stage.service}-{name}"}
            self.registrar.put("catalog/deregister", gone)
        else:
            self.registrar.remove_node(node)

    def leads_only(self, path: str, name: str) -> None:
        """Wait until all requests for a path get to one server."""
        eventually(
            lambda: {self.ask(path)[1].get("name") for _ in range(4)} == {name},
            f"{path} leads to {name} alone",
        )


def test_services_that_are_followed_together(stage: Stage, echoes: list[Echo]) -> None:
    """Whatever changes about a service is seen, though it has no check and no query of
    its own: an instance or its node that is gone, another port, another tag.
    """
    a, b, c = echoes
    tagged = Together(stage)
    for number in range(8):
        tagged.put("m", f"other-{number}", c, f"/other/{number}")
    tagged.put("m", "web", a, "/web")
    tagged.put("n", "web", b, "/web")
    tagged.put("n", "shop", b, "/shop")
    tagged.leads("/web", "b")
    tagged.leads("/shop", "b")
    tagged.remove("n", "web")
    tagged.leads_only("/web", "a")
    tagged.put("m", "web", c, "/web")
    tagged.leads_only("/web", "c")
    tagged.put("n", "web", b, "/web")
    tagged.leads("/web", "b")
    tagged.put("n", "web", b, "/new")
    tagged.leads_only("/web", "c")
    tagged.leads("/new", "b")
    check = {"CheckID": stage.service, "Name": "c", "Status": "critical"}
    there = {"ServiceID": f"{stage.service}-web"}
    tagged.put("m", "web", c, "/web", Checks=[check | there])
    tagged.leads("/web", 503)
    tagged.remove("m", "web")
    tagged.leads("/web", 404)
    tagged.remove("n")
    tagged.leads("/shop", 404)
    tagged.leads("/new", 404)


class Cases(Tagged):
    """One gateway for all of fabio's cases, one after the other."""

    def __init__(self, stage: Stage, echoes: list[Echo]) -> None:
        self._echoes = {each.name.upper(): each for each in echoes}
        self._key = f"test/{stage.service}"
        super().__init__(
            stage,
            options=",route-hold=off,trusted-proxies=127.0.0.1/32"
            f",kv-overrides={self._key}",
        )

    def play(self, case: Case) -> None:
        """Register what a case has, wait for what it expects, and take it out."""
        ids = [self._register(name, case) for name in case.servers]
        commands = case.commands
        for name, echo in self._echoes.items():
            commands = commands.replace(f"//{name}/", f"//127.0.0.1:{echo.port}/")
        for name, server in case.servers.items():
            service = server.service or name.lower()
            for verb in ("weight", "del"):
                commands = commands.replace(
                    f"route {verb} {service}",
                    f"route {verb} {self.stage.service}-{service}",
                )
        self._say(commands)
        for ask in case.asks:
            if not ask.tls:
                eventually(lambda: self._is_met(ask), f"case {case.number}: {ask}")  # noqa: B023
        for each in ids:
            self.registrar.remove(each)
        self._say("")
        eventually(lambda: not self._routes(), "all routes are gone")

    def _register(self, name: str, case: Case) -> str:
        server = case.servers[name]
        routes = [f"{self.prefix}{each}" for each in server.routes]
        tags = [each.replace(PEER, "127.0.0.1") for each in routes]
        tags += [each.replace("urlprefix-", self.prefix) for each in server.tags]
        check = TOLD if server.usable else {**TOLD, "Status": "critical"}
        echo = self._echoes[name]
        service = f"{self.stage.service}-{server.service or name.lower()}"
        told = {"Tags": tags, "Check": check, "ID": f"{service}-{name}"}
        return self.registrar.add(service, echo, **told)

    def _say(self, commands: str) -> None:
        self.stage.registrar.put_key(self._key, commands)

    def _routes(self) -> list[Any]:
        found: list[Any] = json.loads(self.admin.ask("GET", "/routes").body)["routes"]
        return found

    def _is_met(self, ask: Ask) -> bool:
        expected = ask.expected
        fields = {"Host": ask.host}
        if ask.forwarded_proto:
            fields["X-Forwarded-Proto"] = ask.forwarded_proto
        with Client(self.port) as client:
            if not isinstance(expected, Serves | Answers):
                return self._is_shared(client, ask, expected.parts)
            status, told, location = client.ask_all(ask.target, fields)
        if isinstance(expected, Answers):
            return (status, location) == (expected.status, expected.location)
        if status != 200 or told["name"].upper() != expected.instance:
            return False
        host = expected.host
        if host == "address":
            host = f"127.0.0.1:{self._echoes[expected.instance].port}"
        return (
            told["path"] == (expected.target or told["path"])
            and told["fields"]["host"] == (host or told["fields"]["host"])
            and all(
                told["fields"].get(name.lower(), "") == value
                for name, value in expected.fields.items()
            )
        )

    def _is_shared(self, client: "Client", ask: Ask, parts: dict[str, float]) -> bool:
        found, count = Counter[str](), 100
        for _ in range(count):
            told = client.ask(ask.target, ask.host)[1]
            found[f"{told.get('name', '').upper()} {told.get('path')}"] += 1
        # Of instances of one service least connections decides.
        return all(abs(found[each] - count * part) <= 2 for each, part in parts.items())


def test_what_fabio_does(stage: Stage, echoes: list[Echo]) -> None:
    """Each of the cases that were run on fabio comes out as it did there."""
    cases = Cases(stage, echoes)
    for each in CASES:
        cases.play(each)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ports_reloads_and_takeovers(
    stage: Stage, echoes: list[Echo], tmp_path: Path, workers: str
) -> None:
    """A tag opens a port; a reload and a takeover lose nothing of what tags say."""
    a, b, _ = echoes
    [port] = free_ports(1)
    file, sock = tmp_path / "lb.toml", tmp_path / "takeover.sock"
    tagged = Tagged(
        stage,
        *("--workers", workers, "--config", str(file), "--takeover", str(sock)),
        options=f",tcp-listeners={port}",
        file=file,
    )
    tagged.add(a, "/foo")
    tcp_id = tagged.add(b, f":{port} proto=tcp", f":{port + 1} proto=tcp")
    tagged.leads("/foo", "a")

    def through_the_port() -> bool:
        try:
            with Client(port) as client:
                return bool(client.ask("/")[1]["name"] == "b")
        except OSError:
            return False

    eventually(through_the_port, "the port leads to b")
    problems = json.loads(tagged.admin.ask("GET", "/routes").body)["problems"]
    assert [each["why"] for each in problems] == [
        f"port {port + 1} is not among those of tcp-listeners={port}-{port}"
    ]
    with Client(tagged.port) as client:
        assert client.ask("/foo")[1]["name"] == "a"
        # The same again, but for a default of all mappings.
        file.write_text(file.read_text() + "attempts = 2\n")
        tagged.gateway.reload()
        tagged.gateway.wait_for(" info reloaded: ")
    tagged.leads("/foo", "a")
    assert tagged.ask("/bar")[0] == 404
    eventually(through_the_port, "the port is still there")
    newer = stage.gateway(*tagged.arguments, wait="listening")
    tagged.gateway.wait_until_gone()
    assert tagged.ask("/foo")[1]["name"] == "a"
    eventually(through_the_port, "the new gateway has the port")
    tagged.registrar.remove(tcp_id)
    file.write_text(file.read_text().replace(tagged.prefix, "other-"))
    newer.reload()
    tagged.leads("/foo", 404)
    eventually(lambda: not through_the_port(), "the port is closed")
