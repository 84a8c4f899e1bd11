"""What the image is put between: a real Consul, two web servers, and a client."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPException
from typing import Self

from tests.image.failed import Failed
from tests.image.web_server import WebServer
from tests.support.consul_agent import ConsulAgent
from tests.support.http_api import ask

SERVICE = "webserver"

#: How long what should happen at once may take on a busy machine, in seconds.
SOON = 15.0

#: How many connections show who serves: with two at random, one of them is
#: missing once in half a million times.
ENOUGH = 20


class Site:
    """A Consul that knows two web servers as one service, within a `with` block."""

    def __init__(self, consul: str) -> None:
        self._agent = ConsulAgent(consul)
        self._servers = (WebServer("one"), WebServer("two"))
        self._entered = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as entered:
            entered.enter_context(self._agent)
            for server in self._servers:
                entered.enter_context(server)
                self.register(server.name)
            self._entered = entered.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind:
            print(f"Consul's log:\n{self._agent.log()}", flush=True)
        self._entered.close()

    @property
    def consul(self) -> str:
        """Consul's address, as lbconsul gets it."""
        return f"127.0.0.1:{self._agent.port}"

    def register(self, name: str) -> None:
        """Let Consul call this web server a healthy instance of the service."""
        (port,) = (each.port for each in self._servers if each.name == name)
        where = {"Address": "127.0.0.1", "Port": port}
        self._tell("register", {"Name": SERVICE, "ID": name, **where})

    def deregister(self, name: str) -> None:
        """Let Consul forget this web server."""
        self._tell(f"deregister/{name}", None)

    def _tell(self, path: str, body: object) -> None:
        status, _, text = self._agent.api("PUT", f"/v1/agent/service/{path}", body)
        if status != 200:
            raise Failed(f"Consul refused {path}: {status} {text}")


def serving(port: int) -> set[str]:
    """
    The servers that answer on a port of this machine, over many connections; maybe
    none.
    """
    return set(_answers(port))


def _answers(port: int) -> Iterator[str]:
    for _ in range(ENOUGH):
        try:
            yield ask(port, "GET", "/")[2]
        except (OSError, HTTPException):
            return


def soon(condition: Callable[[], bool]) -> bool:
    """Wait until the condition holds; false if it does not in time."""
    end = time.monotonic() + SOON
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def free_low_port() -> int:
    """80, or the lowest free port above it."""
    for port in range(80, 1024):
        with socket.socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                held.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port
    raise Failed("no free port below 1024")
