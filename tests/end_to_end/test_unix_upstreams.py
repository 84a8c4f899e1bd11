"""Instances that are registered under the path of a UNIX socket."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.visits import visits
from tests.support.admin_side import AdminSide
from tests.support.dev_catalog import DevCatalogProcess
from tests.support.gateway import StartGateway
from tests.support.ports import free_ports
from tests.support.waiting import PATIENCE, eventually


@pytest.fixture
def catalog() -> Iterator[DevCatalogProcess]:
    """A catalog that knows of such sockets, as Consul does since 1.10."""
    with DevCatalogProcess() as catalog:
        yield catalog


class UnixServer:
    """Answers each request over a UNIX socket with a name."""

    def __init__(self, path: Path, name: str) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.bind(str(path))
        self._sock.listen()
        body = f"{name} answers\n"
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        self._answer = (head + body).encode()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._sock.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._sock.accept()
            except OSError:
                return
            with client:
                said = b""
                while not said.endswith(b"\r\n\r\n"):
                    chunk = client.recv(4096)
                    if not chunk:
                        break
                    said += chunk
                else:
                    client.sendall(self._answer)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_balanced(
    catalog: DevCatalogProcess, gateway: StartGateway, tmp_path: Path, workers: str
) -> None:
    """
    UNIX upstreams are balanced over like others; one that is missing is ejected like
    any other, and the gateway's own is not connected to.
    """
    port, admin_port = free_ports(2)
    own = tmp_path / "own.sock"
    for name, path in (
        ("anna", "anna.sock"), ("bert", "./bert.sock"), ("gone", "gone.sock"),
        ("own", "own.sock"), ("odd", "../../relative"),
    ):  # fmt: skip
        where = path if name == "odd" else f"{tmp_path}/{path}"
        body = {"Name": "web", "ID": name, "SocketPath": where}
        assert catalog.api("PUT", "/v1/agent/service/register", body)[0] == 200
    options = "policy=roundrobin,eject-after=1,eject-base-time=1h,shrink-guard=off"
    with ExitStack() as stack:
        for name in ("anna", "bert"):
            stack.enter_context(UnixServer(tmp_path / f"{name}.sock", name))
        gateway(
            "--consul", f"127.0.0.1:{catalog.port}", "--admin", str(admin_port),
            "--workers", workers,
            f"{port}:web,{options}", f"unix:{own}:web,{options}",
        )  # fmt: skip
        seen = visits(port, 20) + visits(str(own), 20)
        assert sorted(seen) == ["anna", "bert"]
        assert seen.total() == 40
        admin = AdminSide(admin_port)
        eventually(lambda: standing(admin, "gone") == "ejected", "it is ejected")
        assert address(admin, "anna") == f"unix:{tmp_path}/anna.sock"
        assert standing(admin, "own") == "draining"
        [watch] = admin.status()["watches"]
        reasons = {
            each["instance"].partition("@")[0] for each in watch["skipped_instances"]
        }
        assert reasons == {"own", "odd"}


def standing(admin: AdminSide, name: str) -> str:
    """How an instance stands."""
    return str(admin.upstreams()[name]["standing"])


def address(admin: AdminSide, name: str) -> str:
    """Where an instance is."""
    return str(admin.upstreams()[name]["address"])
