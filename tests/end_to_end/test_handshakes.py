"""What comes before a client's bytes: TLS, the PROXY protocol, silence."""

import socket
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.test_reload import Running
from tests.support.certificates import Authority, together
from tests.support.gateway import run_to_its_end
from tests.support.load import connect
from tests.support.loopback import PATIENCE, listening
from tests.support.peers import haproxy
from tests.support.ports import free_ports
from tests.support.waiting import eventually

pytestmark = pytest.mark.consul

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


class Site:
    """Certificates of an authority, and clients that trust it."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        issued = self.authority.issue("localhost", "127.0.0.1")
        self.pem = str(together(folder / "web.pem", issued.cert, issued.key))
        self.alice = self.authority.issue("alice.example.com")
        self.context = ssl.create_default_context(cafile=self.authority.file)

    def ask(self, sock: socket.socket) -> str:
        """The answer to a request of Python's ssl on this connection."""
        with self.context.wrap_socket(sock, server_hostname="localhost") as client:
            client.sendall(REQUEST)
            answer = b""
            while more := client.recv(65536):
                answer += more
        return answer.decode()

    def curl(self, port: int, *options: str) -> str:
        """The body that curl gets."""
        url = f"https://localhost:{port}/"
        trusting = ["--silent", "--show-error", "--cacert", self.authority.file]
        return _output(["curl", *trusting, *options, url])


def _output(command: list[str], told: bytes = b"") -> str:
    done = subprocess.run(
        command, input=told, capture_output=True, timeout=PATIENCE, check=False
    )
    return (done.stdout + done.stderr).decode()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """One with an own authority."""
    return Site(tmp_path)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_clients(stage: Stage, site: Site, workers: str) -> None:
    """
    Python's ssl, curl and OpenSSL's own client are served; the log tells who showed a
    certificate, and what name was asked for.
    """
    [port] = free_ports(1)
    stage.add(stage.servers[0])
    options = f"client-ca={site.authority.file},client-verify=optional"
    gateway = stage.gateway(
        "--workers",
        workers,
        "--map",
        f"{port}:{stage.service},tls={site.pem},{options}",
    )
    assert "anna" in site.ask(connect(port, PATIENCE))
    assert site.curl(port).startswith("anna")
    shown = ["--cert", site.alice.cert, "--key", site.alice.key]
    assert site.curl(port, *shown).startswith("anna")
    client = ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{port}"]
    trusting = ["-CAfile", site.authority.file, "-verify_return_error"]
    assert "anna" in _output([*client, *trusting, "-noservername"], REQUEST)
    gateway.wait_for(r" -- sni=localhost$")
    gateway.wait_for(
        r" -- sni=localhost cn=alice\.example\.com san=alice\.example\.com"
        r" fingerprint=[0-9a-f]{64}$"
    )
    assert "HTTP" not in _output(["curl", "-s", f"http://localhost:{port}/"])
    gateway.wait_for(r' PT error="http request"$')


@pytest.mark.parametrize("content", ["no PEM", None])
def test_certificate_that_cannot_be_used(
    tmp_path: Path, site: Site, content: str | None
) -> None:
    """One line says which file cannot be used, before any port is bound."""
    if content is not None:
        Path(site.pem).write_text(content)
    [port] = free_ports(1)
    pem = site.pem if content is not None else f"{site.pem}.none"
    with run_to_its_end(tmp_path, "--map", f"{port}:web,tls={pem}") as started:
        _, said = started.communicate(timeout=PATIENCE)
    assert started.returncode == 1
    [line] = said.splitlines()
    assert f"{port}:web: tls {pem}" in line


def test_announced_by_haproxy(stage: Stage, site: Site, tmp_path: Path) -> None:
    """Behind HAProxy the log has its client's address, with TLS in between or not."""
    plain, tls = free_ports(2)
    stage.add(stage.servers[0])
    networks = "accept-proxy=127.0.0.0/8"
    gateway = stage.gateway(
        f"{plain}:{stage.service},{networks}",
        f"{tls}:{stage.service},{networks},tls={site.pem}",
    )
    with listening() as one, listening() as other:
        config = f"""
        listen plain
            mode tcp
            bind fd@{one.fileno()}
            server gateway 127.0.0.1:{plain} send-proxy
        listen tls
            mode tcp
            bind fd@{other.fileno()}
            server gateway 127.0.0.1:{tls} send-proxy-v2
        """
        with haproxy(tmp_path, config, one, other):
            client = connect(one.getsockname()[1], PATIENCE)
            own = client.getsockname()[1]
            with client:
                client.sendall(REQUEST)
                assert b"anna" in client.recv(65536)
            gateway.wait_for(rf"127\.0\.0\.1:{own} .* via=\"127\.0\.0\.1:\d+\"$")
            client = connect(other.getsockname()[1], PATIENCE)
            own = client.getsockname()[1]
            assert "anna" in site.ask(client)
            gateway.wait_for(
                rf"127\.0\.0\.1:{own} .* via=\"127\.0\.0\.1:\d+\" sni=localhost$"
            )
    with connect(plain, PATIENCE) as client:
        client.sendall(REQUEST)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
    gateway.wait_for(r" PX error=\".*\"$")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_reload_in_a_handshake(
    stage: Stage, site: Site, tmp_path: Path, workers: str
) -> None:
    """A handshake that a reload finds under way is completed as it began."""
    [port] = free_ports(1)
    stage.add(stage.servers[0])
    mapping = f"{port}:{stage.service},tls={site.pem}"
    running = Running(stage.gateway, tmp_path / "lb.toml", workers, mapping)
    begun = connect(port, PATIENCE)
    assert "anna" in site.ask(connect(port, PATIENCE))  # which came later
    running.reload(f"{mapping},idle-timeout=5m")
    assert "anna" in site.ask(begun)
    assert "anna" in site.ask(connect(port, PATIENCE))


def test_takeover_in_a_handshake(stage: Stage, site: Site, tmp_path: Path) -> None:
    """The old gateway completes the handshakes that it began."""
    [port] = free_ports(1)
    stage.add(stage.servers[0])
    arguments = [
        *("--map", f"{port}:{stage.service},tls={site.pem}"),
        *("--takeover", str(tmp_path / "lb.sock")),
    ]
    old = stage.gateway(*arguments)
    begun = connect(port, PATIENCE)
    assert "anna" in site.ask(connect(port, PATIENCE))  # which came later
    new = stage.gateway(*arguments, wait="listening")
    new.wait_for("taken over from the gateway at /")
    assert "anna" in site.ask(begun)
    eventually(lambda: old.find(r" sni=localhost$"), "its line is in the old one's log")
    old.wait_until_gone()
    assert "anna" in site.ask(connect(port, PATIENCE))


def test_end_in_a_handshake(stage: Stage, site: Site) -> None:
    """At the end of a gateway silent clients are closed by the drain timeout."""
    tls, waiting = free_ports(2)
    stage.add(stage.servers[0])
    gateway = stage.gateway(
        f"{tls}:{stage.service},tls={site.pem},drain-timeout=1s",
        f"{waiting}:{stage.service},wait-for-client=on,drain-timeout=1s",
    )
    with connect(tls, PATIENCE) as one, connect(waiting, PATIENCE) as other:
        assert "anna" in site.ask(connect(tls, PATIENCE))  # which came later
        gateway.terminate()
        assert one.recv(1) == b""
        assert other.recv(1) == b""
    stopped = gateway.wait_until_gone()
    assert (stopped.accepted, stopped.closed, stopped.leases) == (3, 0, 0)
    assert len(gateway.find(r" KS$")) == 2
