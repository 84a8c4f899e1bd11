"""Clients of TLS that are routed by server name, without being decrypted."""

import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from tests.end_to_end.registrar import Registrar
from tests.support.admin_side import AdminSide
from tests.support.certificates import Authority
from tests.support.gateway import Gateway, StartGateway
from tests.support.load import connect
from tests.support.loopback import PATIENCE
from tests.support.ports import free_ports
from tests.support.ssl_server import SSLServer
from tests.support.waiting import eventually
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul

#: In one process, and with others.
WORKERS = pytest.mark.parametrize("workers", ["1", "2"])


class NamedServer(SSLServer):
    """Says its name to each client, then whatever the client says."""

    def __init__(self, name: str, authority: Authority, *names: str) -> None:
        self.name = name
        super().__init__(authority.issue(name, names=names), self._echo)

    def _echo(self, stream: ssl.SSLSocket) -> None:
        stream.sendall(self.name.encode())
        while data := stream.recv(100):
            stream.sendall(data)


class Routed:
    """A gateway on whose one port a.example.com and others go different ways."""

    def __init__(
        self,
        start: StartGateway,
        registrar: Registrar,
        service: str,
        folder: Path,
        held: ExitStack,
        workers: str,
    ) -> None:
        self._held = held
        self.authority = Authority(folder)
        self.services = {name: f"{service}-{name}" for name in ("a", "b", "new")}
        for name, names in (
            ("a", ("a.example.com",)),
            ("b", ("*.b.example.com", "other.example.com")),
            ("new", ("a.example.com",)),
        ):
            server = NamedServer(name, self.authority, *names)
            held.callback(server.close)
            registrar.add(self.services[name], cast(Any, server))
        self.port, admin = free_ports(2)
        self.admin = AdminSide(admin)
        self.file = folder / "lb.toml"
        self.write({"a.example.com": "a", "*.b.example.com": "b"})
        self.gateway: Gateway = start(
            "--workers", workers, "--config", str(self.file), f"--admin={admin}"
        )
        if workers != "1":
            all_serve(self.gateway, int(workers))

    def write(self, routes: dict[str, str], default: str = "") -> None:
        """Say where each name leads, and all others."""
        rest = self.services[default] if default else "-"
        # A client of a service that is new waits so long for Consul's first answer.
        patient = "connect-timeout='1m'"
        mapping = f"listen={self.port}\nservice='{rest}'\nmode='sni'\n{patient}"
        lines = [f"[[map]]\n{mapping}"]
        lines += [
            f"[[map.route]]\nmatch='{name}'\nservice='{self.services[there]}'"
            for name, there in routes.items()
        ]
        self.file.write_text("\n".join(lines))

    def reload(self, routes: dict[str, str], default: str = "") -> str:
        """Reload with these routes; what the log says of it."""
        before = len(self.reloads())
        self.write(routes, default)
        self.gateway.reload()
        eventually(lambda: len(self.reloads()) > before, "it is reloaded")
        return self.reloads()[-1]

    def reloads(self) -> list[str]:
        """What the log says of each reload."""
        return [each[1] for each in self.gateway.find(r" info reloaded: (.*)$")]

    @contextmanager
    def connected(self, name: str) -> Iterator[ssl.SSLSocket]:
        """A client that asks for this name and verifies that it gets it."""
        context = ssl.create_default_context(cafile=self.authority.file)
        with (
            connect(self.port) as sock,
            context.wrap_socket(sock, server_hostname=name) as client,
        ):
            yield client

    def ask(self, name: str) -> str:
        """The name of the server that this name leads to."""
        with self.connected(name) as client:
            return client.recv(100).decode()

    def wait_until_leading(self, ways: dict[str, str]) -> None:
        """Return once each name of example.com leads to its server.

        Workers have a reload a moment after the log tells of it.
        """

        def lead() -> bool:
            try:
                return all(
                    self.ask(f"{each}.example.com") == ways[each] for each in ways
                )
            except ssl.SSLError:  # a name that the gateway does not know yet
                return False

        eventually(lead, f"names lead there: {ways}")

    def row(self, name: str) -> Any:
        """What the status shows of a route, or of the mapping."""
        status = self.admin.status()
        return next(each for each in status["mappings"] if each["name"] == name)

    def wait_for_row(self, name: str) -> None:
        """Return once the status shows that one client went there."""
        eventually(lambda: self.row(name)["accepted"] == 1, "it is told")


@pytest.fixture
def routed(
    gateway: StartGateway,
    registrar: Registrar,
    service: str,
    tmp_path: Path,
    workers: str,
) -> Iterator[Routed]:
    with ExitStack() as held:
        yield Routed(gateway, registrar, service, tmp_path, held, workers)


@WORKERS
def test_names(routed: Routed) -> None:
    """
    Each name reaches its service; another one is told that it is not known here.  Log,
    status and metrics say which route was taken.
    """
    assert routed.ask("a.example.com") == "a"
    assert routed.ask("x.b.example.com") == "b"
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        routed.ask("other.example.com")
    port, (a, b) = routed.port, [routed.services[each] for each in "ab"]
    rows = {
        f"{port}:-": r" - .* PN sni=other\.example\.com",
        f"{port}:a.example.com={a}": r" .* -- sni=a\.example\.com",
        f"{port}:*.b.example.com={b}": r" .* -- sni=x\.b\.example\.com",
    }
    for name, line in rows.items():
        routed.gateway.wait_for(re.escape(name) + line)
        routed.wait_for_row(name)
        label = f'lbconsul_connections_accepted_total{{mapping="{name}"'
        assert label in routed.admin.get("/metrics").body
    assert routed.row(f"{port}:-")["pools"] == []


@pytest.mark.parametrize("workers", ["1"])
def test_openssl(routed: Routed) -> None:
    """OpenSSL's own client gets the certificate of the name that it asks for."""

    def s_client(name: str) -> subprocess.CompletedProcess[str]:
        place = f"127.0.0.1:{routed.port}"
        options = ["-CAfile", routed.authority.file, "-verify_return_error"]
        command = ["openssl", "s_client", "-connect", place, "-servername", name]
        return subprocess.run(
            [*command, "-verify_hostname", name, *options],
            input="",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    for name, common in (("a.example.com", "a"), ("y.b.example.com", "b")):
        said = s_client(name)
        assert said.returncode == 0, said.stderr
        assert re.search(rf"subject=CN ?= ?{common}\n", said.stdout)
    assert "unrecognized name" in s_client("other.example.com").stderr


@WORKERS
def test_reload(routed: Routed) -> None:
    """
    A reload moves a name to another service.  Open connections stay, no new one is
    lost, and other routes are left alone.
    """
    port, services = routed.port, routed.services
    before = {"a.example.com": "a", "*.b.example.com": "b"}
    after = {"a.example.com": "new", "*.b.example.com": "b"}
    with routed.connected("a.example.com") as old, ThreadPoolExecutor(3) as pool:
        assert old.recv(100) == b"a"
        is_over = threading.Event()

        answers = set[tuple[str, str]]()

        def ask() -> None:
            while not is_over.is_set():
                for name in ("a.example.com", "x.b.example.com"):
                    answers.add((name, routed.ask(name)))

        asked = [pool.submit(ask) for _ in range(3)]
        try:
            eventually(lambda: len(answers) == 2, "both names have answered")
            said = routed.reload(after)
            assert said == (
                f"0 added, 1 altered ({port}:a.example.com={services['new']}),"
                " 0 removed, 2 unchanged"
            )
            moved = ("a.example.com", "new")
            eventually(lambda: moved in answers, "the name has moved")
            for routes in (before, after) * 2:
                routed.reload(routes)
        finally:
            is_over.set()
        for each in asked:
            each.result()
        assert answers == {
            ("a.example.com", "a"),
            ("a.example.com", "new"),
            ("x.b.example.com", "b"),
        }
        routed.wait_until_leading({"a": "new"})
        old.sendall(b"still there")
        assert old.recv(100) == b"still there"


@WORKERS
def test_first_and_last_route(routed: Routed) -> None:
    """Routes come and go by reloads; the mapping's own service gets the rest."""
    port, services = routed.port, routed.services
    said = routed.reload({"a.example.com": "a"}, default="b")
    assert f"1 removed ({port}:*.b.example.com={services['b']})" in said
    routed.wait_until_leading({"a": "a", "other": "b"})
    routed.reload({}, default="a")
    routed.wait_until_leading({"a": "a"})
    said = routed.reload({"other.example.com": "b"}, default="a")
    assert f"1 added ({port}:other.example.com={services['b']})" in said
    routed.wait_until_leading({"a": "a", "other": "b"})
