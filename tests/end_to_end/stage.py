"""What most end-to-end tests play on: one service, and all that is about it."""

from typing import Any

from attrs import frozen

from tests.end_to_end.registrar import Registrar, Server
from tests.support.gateway import StartGateway
from tests.support.web_server import WebServer


@frozen
class Stage:
    """A service that no other test uses."""

    #: Its name.
    service: str
    #: Registers its instances in the shared Consul.
    registrar: Registrar
    #: Web servers to register; all tests share them, and leave them running.
    servers: list[WebServer]
    #: Starts a gateway.
    gateway: StartGateway

    def add(self, server: Server, **said: Any) -> str:
        """Register an instance with the agent, as `Registrar.add` does; its id."""
        return self.registrar.add(self.service, server, **said)
