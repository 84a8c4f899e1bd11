"""TLS from the client to the gateway, and from there to the instances."""

import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.certificates import Authority, together
from tests.support.dev_catalog import DevCatalogProcess
from tests.support.gateway import StartGateway
from tests.support.loopback import PATIENCE
from tests.support.ports import free_ports
from tests.support.ssl_server import SSLServer
from tests.support.waiting import eventually

MIB = 1 << 20

#: What answers consist of: a period that no record or buffer has.
PATTERN = bytes(range(251)) * 4


def answer(stream: ssl.SSLSocket) -> None:
    """Answer a number with as many bytes."""
    size = int(stream.recv(100))
    whole, rest = divmod(size, len(PATTERN) * 1000)
    for _ in range(whole):
        stream.sendall(PATTERN * 1000)
    stream.sendall((PATTERN * 1000)[:rest])
    stream.unwrap()


@pytest.fixture
def catalog() -> Iterator[DevCatalogProcess]:
    """A catalog with no instance yet."""
    with DevCatalogProcess() as catalog:
        yield catalog


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority of all certificates."""
    return Authority(tmp_path)


def register(catalog: DevCatalogProcess, **ports: int) -> None:
    """Register instances of the service web, by their names."""
    for name, port in ports.items():
        body = {"Name": "web", "ID": name, "Address": "127.0.0.1", "Port": port}
        assert catalog.api("PUT", "/v1/agent/service/register", body)[0] == 200


def ask(port: int, authority: Authority, size: int) -> bool:
    """Whether a client gets all of an answer, and close_notify."""
    context = ssl.create_default_context(cafile=authority.file)
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as sock,
        context.wrap_socket(
            sock, server_hostname="www.example.com", suppress_ragged_eofs=False
        ) as client,
    ):
        client.sendall(str(size).encode())
        at = 0
        while chunk := client.recv(MIB):
            begin = at % len(PATTERN)
            repeated = PATTERN * (len(chunk) // len(PATTERN) + 2)
            assert chunk == repeated[begin : begin + len(chunk)]
            at += len(chunk)
    return at == size


@pytest.mark.parametrize("workers", ["1", "2"])
def test_whole(
    catalog: DevCatalogProcess,
    gateway: StartGateway,
    authority: Authority,
    tmp_path: Path,
    workers: str,
) -> None:
    """Answers of many clients at once, large ones among them, arrive whole."""
    [port] = free_ports(1)
    issued = authority.issue("www.example.com")
    pem = together(tmp_path / "www.pem", issued.cert, issued.key)
    with ExitStack() as held:
        server = SSLServer(authority.issue("anna", "127.0.0.1"), answer)
        held.callback(server.close)
        other = SSLServer(authority.issue("other"), answer)  # it is not for the address
        held.callback(other.close)
        register(catalog, anna=server.port, other=other.port)
        started = gateway(
            "--consul", f"127.0.0.1:{catalog.port}", "--workers", workers,
            f"127.0.0.1:{port}:web,tls={pem},upstream-tls=on,"
            f"upstream-ca={authority.file}",
        )  # fmt: skip
        sizes = [1, 1000, 16384, 100_000, MIB, 3 * MIB] * 2 + [20 * MIB]
        with ThreadPoolExecutor(10) as pool:
            asked = pool.map(lambda size: ask(port, authority, size), sizes)
            assert all(asked)
        started.wait_for(
            r"the TLS handshake with other@\S+ \S+ failed: certificate verify failed:"
            " IP address mismatch"
        )


def test_authorities_are_renewed(
    catalog: DevCatalogProcess,
    gateway: StartGateway,
    authority: Authority,
    tmp_path: Path,
) -> None:
    """Workers take new authorities from the file, without a reload."""
    [port] = free_ports(1)
    issued = authority.issue("www.example.com")
    pem = together(tmp_path / "www.pem", issued.cert, issued.key)
    other = Authority(tmp_path, "other")
    trusted = together(tmp_path / "trusted.pem", other.file)
    with ExitStack() as held:
        server = SSLServer(authority.issue("anna", "127.0.0.1"), answer)
        held.callback(server.close)
        register(catalog, anna=server.port)
        started = gateway(
            "--consul", f"127.0.0.1:{catalog.port}", "--workers", "2",
            f"127.0.0.1:{port}:web,tls={pem},upstream-tls=on,upstream-ca={trusted},"
            "eject-after=0",
        )  # fmt: skip
        assert not ask(port, authority, 1000)
        refused = started.wait_for(r"failed: certificate verify failed: (.*)$")
        assert "issuer" in refused[1]
        started.wait_for(r" ST\b")
        together(tmp_path / "trusted.pem", authority.file)
        eventually(
            lambda: all(ask(port, authority, 1000) for _ in range(20)),
            "both workers trust it",
        )
