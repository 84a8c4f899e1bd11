"""Certificates that are renewed while clients come all the time."""

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import Factory, define
from cryptography import x509

from tests.support.certificates import Authority, together
from tests.support.dev_catalog import DevCatalogProcess
from tests.support.gateway import StartGateway
from tests.support.loopback import PATIENCE
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

#: How often certificates are swapped: `tests.gateway.test_certificates` does it more
#: often, in one process.
SWAPS = 25

HOST = "www.example.com"


@define
class Clients:
    """Clients that come one after the other, in several threads."""

    port: int
    authority: Authority
    failed: list[str] = Factory(list)
    #: The serial numbers of the certificates that they were shown, in order.
    shown: list[str] = Factory(list)
    _is_over: threading.Event = Factory(threading.Event)
    _threads: list[threading.Thread] = Factory(list)

    def __enter__(self) -> "Clients":
        for _ in range(3):
            thread = threading.Thread(target=self._come)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for each in self._threads:
            each.join(PATIENCE)

    def _come(self) -> None:
        context = ssl.create_default_context(cafile=self.authority.file)
        while not self._is_over.is_set():
            try:
                self.shown.append(self.ask(context))
            except (OSError, AssertionError) as error:
                self.failed.append(repr(error))

    def ask(self, context: ssl.SSLContext) -> str:
        """The serial number of the certificate by which a whole answer came."""
        with (
            socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock,
            context.wrap_socket(sock, server_hostname=HOST) as client,
        ):
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
            assert b"anna" in answer
            certificate = client.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"]).lstrip("0")


@pytest.fixture
def catalog() -> Iterator[DevCatalogProcess]:
    """A catalog with no instance yet."""
    with DevCatalogProcess() as catalog:
        yield catalog


def test_swapped_under_load(
    catalog: DevCatalogProcess,
    gateway: StartGateway,
    tmp_path: Path,
    servers: list[WebServer],
) -> None:
    """No client fails while certificates are swapped, with workers and by SIGHUP."""
    authority, [port] = Authority(tmp_path), free_ports(1)
    pem = tmp_path / "www.pem"

    def swap() -> str:
        issued = authority.issue(HOST)
        together(tmp_path / "new", issued.cert, issued.key)
        os.rename(tmp_path / "new", pem)
        cert = x509.load_pem_x509_certificate(Path(issued.cert).read_bytes())
        return f"{cert.serial_number:X}"

    swap()
    body = {"Name": "web", "ID": "a", "Address": "127.0.0.1", "Port": servers[0].port}
    assert catalog.api("PUT", "/v1/agent/service/register", body)[0] == 200
    started = gateway(
        "--consul", f"127.0.0.1:{catalog.port}", "--workers", "2",
        f"127.0.0.1:{port}:web,tls={pem}",
    )  # fmt: skip
    with Clients(port, authority) as clients:
        for _ in range(SWAPS):
            serial = swap()
            started.reload()
            eventually(
                lambda new=serial: new in clients.shown,  # type: ignore[misc]
                "a client gets the new one",
            )
    assert not clients.failed


def test_what_is_written_badly(
    catalog: DevCatalogProcess, gateway: StartGateway, tmp_path: Path
) -> None:
    """A reload with a broken file is refused in one line, and keys are in no log."""
    authority, [port] = Authority(tmp_path), free_ports(1)
    issued = authority.issue(HOST)
    pem = together(tmp_path / "www.pem", issued.cert, issued.key)
    started = gateway(
        "--consul", f"127.0.0.1:{catalog.port}", f"127.0.0.1:{port}:web,tls={pem}",
        wait="listening",
    )  # fmt: skip
    started.wait_for("the chain is missing: the certificate's issuer CN=authority")
    key = Path(issued.key).read_text()
    Path(pem).write_text(Path(issued.cert).read_text() + key[:100])
    started.reload()
    line = len(Path(issued.cert).read_text().splitlines()) + 1
    started.expect(f"tls {pem}, line {line}: BEGIN EC PRIVATE KEY without its END")
    assert key.splitlines()[1] not in started.log()
