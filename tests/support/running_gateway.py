"""A whole gateway in a reactor of its own; what Consul would say, the test says."""

import socket
from collections.abc import Sequence
from typing import Any

from twisted.logger import formatEvent

from lbconsul.balance.instance import Instance
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.service import Gateway
from tests.support.loopback import receive
from tests.support.running_proxy import ReactorThread
from tests.support.upstreams import instance

WEB = ServiceQuery("web")


class Started:
    """A gateway that runs, until it is left."""

    def __init__(self, running: ReactorThread, gateway: Gateway) -> None:
        self.running = running
        self.gateway = gateway

    def __enter__(self) -> Gateway:
        self.running.call(self.gateway.privilegedStartService)
        self.running.call(self.gateway.startService)
        return self.gateway

    def __exit__(self, *_: object) -> None:
        if self.gateway.running:
            self.stop()

    def stop(self) -> None:
        """Stop it, and wait until that is done."""
        self.running.outcome(self.gateway.stopService)


def serve(running: ReactorThread, gateway: Gateway, *instances: Instance) -> None:
    """Let Consul say that these are the instances of web."""
    running.call(gateway.registry.replace, WEB, instances)


def of(server: socket.socket, name: str = "a") -> Instance:
    """The instance that listens on a socket."""
    return instance(name, server.getsockname()[1])


def local(port: int) -> tuple[str, int]:
    """A port of loopback."""
    return "127.0.0.1", port


def texts(events: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of log."""
    return [formatEvent(event) for event in events]


def assert_passes(client: socket.socket, upstream: socket.socket) -> None:
    """What either says reaches the other."""
    client.sendall(b"question")
    assert receive(upstream, 8) == b"question"
    upstream.sendall(b"answer")
    assert receive(client, 6) == b"answer"


def is_free(port: int) -> bool:
    """Whether the port refuses connections."""
    try:
        socket.create_server(local(port)).close()
    except OSError:
        return False
    return True
