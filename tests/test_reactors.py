"""The same gateway on each of Twisted's reactors."""

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import TWISTD, Gateway
from tests.support.loopback import (
    PATIENCE,
    accept,
    connect,
    listening,
    receive,
    receive_all,
    reset,
    was_reset,
)
from tests.support.ports import free_ports

pytestmark = [
    pytest.mark.consul,
    pytest.mark.parametrize("reactor", ["epoll", "poll", "select", "asyncio"]),
]


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Closes at the end of a test what it put into it."""
    with ExitStack() as stack:
        yield stack


class Servers:
    """Two servers that are registered with Consul as one service."""

    def __init__(self, consul: ConsulAgent, service: str) -> None:
        self._consul = consul
        self._service = service
        self._held = ExitStack()

    def __enter__(self) -> "Servers":
        self.sockets = [self._held.enter_context(listening()) for _ in range(2)]
        for number, server in enumerate(self.sockets):
            self._register(number, server.getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()
        for number in range(2):
            path = f"/v1/agent/service/deregister/{self._service}-{number}"
            assert self._consul.api("PUT", path)[0] == 200

    def accept(self) -> tuple[int, socket.socket]:
        """The next client of either of them, and which one's it is."""
        ready, _, _ = select.select(self.sockets, [], [], PATIENCE)
        sock = self._held.enter_context(accept(ready[0]))
        return self.sockets.index(ready[0]), sock

    def _register(self, number: int, port: int) -> None:
        about = {
            "ID": f"{self._service}-{number}",
            "Name": self._service,
            "Address": "127.0.0.1",
            "Port": port,
        }
        assert self._consul.api("PUT", "/v1/agent/service/register", about)[0] == 200


def test_reactor(
    reactor: str,
    consul: ConsulAgent,
    tmp_path: Path,
    held: ExitStack,
) -> None:
    """
    Connections are balanced, bytes pass, ends and resets are passed on, and
    SIGTERM ends it with status 0 and nothing untoward in its log.
    """
    twistd = (*TWISTD, f"--reactor={reactor}")
    service = f"reactor-{reactor}"
    [port] = free_ports(1)
    arguments = [
        f"127.0.0.1:{consul.port}",
        f"127.0.0.1:{port}:{service},drain-timeout=1s",
    ]
    address = ("127.0.0.1", port)
    servers = held.enter_context(Servers(consul, service))
    with Gateway(tmp_path, *arguments, twistd=twistd) as gateway:
        gateway.wait_for(rf"^\S+ info lbconsul .*, {reactor}reactor$")
        gateway.wait_for(r"2 in all$")
        pairs = []
        for _ in range(10):
            client = held.enter_context(connect(address))
            pairs.append((client, *servers.accept()))
        assert [each[1] for each in pairs].count(0) == 5

        for client, number, upstream in pairs:
            client.sendall(b"question to %d" % number)
            assert receive(upstream, 13) == b"question to %d" % number
            upstream.sendall(b"answer")
            assert receive(client, 6) == b"answer"

        client, _, upstream = pairs.pop()
        client.shutdown(socket.SHUT_WR)
        assert receive_all(upstream) == b""
        upstream.sendall(bytes(300_000))
        upstream.close()
        assert receive_all(client) == bytes(300_000)

        client, _, upstream = pairs.pop()
        reset(client)
        assert was_reset(upstream)
        client, _, upstream = pairs.pop()
        reset(upstream)
        assert was_reset(client)

        gateway.wait_for(r" SD$")
        stopped = gateway.stop()
    assert stopped == (10, 0, 0)  # the drain timeout was over
    for client, _, upstream in pairs:
        assert client.recv(1) == upstream.recv(1) == b""
    endings = [each[1] for each in gateway.find(r"in=\d+ out=\d+ .* (\S\S)$")]
    assert sorted(endings) == sorted(["--", "CD", "SD", *["KS"] * 7])
    assert "Malformed" not in gateway.log()
