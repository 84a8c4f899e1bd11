"""The loop without features relays what it is given."""

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.binaries import REPOSITORY
from tests.support.loopback import (
    accept,
    connect,
    listening,
    receive,
    receive_all,
    reset,
    stuff,
)
from tests.support.ports import free_ports
from tests.support.waiting import eventually

pytestmark = pytest.mark.process


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """The one upstream."""
    with listening() as sock:
        yield sock


@pytest.fixture
def address(server: socket.socket) -> Iterator[tuple[str, int]]:
    """Where the loop listens."""
    (port,) = free_ports(1)
    upstream = server.getsockname()[1]
    command = [sys.executable, "-m", "bench.bare_loop", str(port), str(upstream)]
    with subprocess.Popen(command, cwd=REPOSITORY) as program:
        try:
            eventually(lambda: _serves(port, server), "the loop serves")
            yield "127.0.0.1", port
        finally:
            program.terminate()


def _serves(port: int, server: socket.socket) -> bool:
    try:
        with connect(("127.0.0.1", port)), accept(server):
            return True
    except ConnectionRefusedError:
        return False


def test_an_end_is_passed_on(server: socket.socket, address: tuple[str, int]) -> None:
    """A client that has sent all still gets its answer."""
    with connect(address) as client, accept(server) as upstream:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(upstream) == b"question"
        upstream.sendall(b"answer")
        upstream.close()
        assert receive_all(client) == b"answer"


def test_a_slow_client_gets_all(
    server: socket.socket, address: tuple[str, int]
) -> None:
    """What a client does not take yet is kept for it, and the upstream has to wait."""
    with connect(address) as client, accept(server) as upstream:
        sent = stuff(upstream)
        assert len(receive(client, sent)) == sent
        client.sendall(b"still here")
        assert receive(upstream, 10) == b"still here"


def test_a_reset_ends_both_sides(
    server: socket.socket, address: tuple[str, int]
) -> None:
    """The upstream's connection ends with its client's, and the loop serves on."""
    with connect(address) as client, accept(server) as upstream:
        reset(client)
        assert receive_all(upstream) == b""
    assert _serves(address[1], server)
