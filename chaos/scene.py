"""What a row is played with: a home, Consul, web servers, gateways, load."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, TypeVar

from attrs import Factory, define, frozen

from chaos.report import Report
from chaos.site import Site
from chaos.traffic import Traffic
from tests.end_to_end.registrar import Registrar
from tests.support.binaries import find_consul
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.load import TLS, Address
from tests.support.ports import free_ports
from tests.support.web_server import WebServer

#: The service that rows balance over.
SERVICE = "web"

#: The names of its instances' servers.
NAMES = ("anna", "bert", "carl")

Entered = TypeVar("Entered")


@frozen
class Usual:
    """What most rows begin with."""

    agent: ConsulAgent
    registrar: Registrar
    servers: Sequence[WebServer]
    gateway: Gateway
    #: Where the gateway listens.
    port: int
    #: The same for load: with TLS if that ends at the gateway.
    address: Address


@define(eq=False)
class Scene:
    """Whatever is entered ends, in the opposite order, when the row is over."""

    home: Path
    quick: bool
    report: Report
    stack: ExitStack
    #: How long the soak is to last, if it was said.
    minutes: float | None = None
    #: All gateways there were.
    gateways: list[Gateway] = Factory(list)

    def either(self, full: float, quick: float) -> float:
        """The one for a full run, or the one for a quick run."""
        return quick if self.quick else full

    def enter(self, what: AbstractContextManager[Entered]) -> Entered:
        """Begin something that ends with the row."""
        return self.stack.enter_context(what)

    def consul(self, **said: Any) -> ConsulAgent:
        """An agent that is its own server."""
        return self.enter(ConsulAgent(consul_binary(), **said))

    def servers(
        self,
        names: Sequence[str] = NAMES,
        hosts: Sequence[str] = (),
        kind: Callable[..., WebServer] = WebServer,
    ) -> list[WebServer]:
        """Web servers; without `hosts` they are at 127.0.0.1."""
        places = hosts or ["127.0.0.1"] * len(names)
        servers = list(map(kind, names, places))
        for each in servers:
            each.start()
            self.stack.callback(each.kill)
        for each in servers:
            each.wait_until_listening()
        return servers

    def gateway(self, *arguments: str, **said: Any) -> Gateway:
        """A gateway, ready; at the row's end it must stop well."""
        return self.enter(self.future_gateway(*arguments, **said))

    def future_gateway(
        self, *arguments: str, kind: type[Gateway] = Gateway, **said: Any
    ) -> Gateway:
        """A gateway that the row itself starts and stops."""
        home = self.home / f"gateway-{len(self.gateways)}"
        home.mkdir()
        gateway = kind(home, *arguments, **said)
        self.gateways.append(gateway)
        return gateway

    def traffic(self, *addresses: Address, **said: Any) -> Traffic:
        """Load on a gateway, which the report counts; enter it to begin."""
        return Traffic(self.report, *addresses, **said)

    def site(self) -> Site:
        """Certificates, of an authority of their own."""
        return Site(self.home)

    def usual(
        self,
        *options: str,
        mapping: str = "",
        servers: Sequence[WebServer] = (),
        agent: ConsulAgent | None = None,
        workers: int = 1,
        prefix: Sequence[str] = (),
        site: Site | None = None,
    ) -> Usual:
        """Consul, three web servers that it knows, and a gateway in front of them.

        `mapping` are the mapping's options, `options` the gateway's; with a `site` it
        serves its clients with TLS.
        """
        agent = agent or self.consul()
        registrar = Registrar(agent)
        servers = servers or self.servers()
        for each in servers:
            registrar.add(SERVICE, each)
        (port,) = free_ports(1)
        if site is not None:
            mapping += f",tls={site.pem}"
        told = [*options] if workers == 1 else [*options, f"--workers={workers}"]
        gateway = self.gateway(
            f"--consul=127.0.0.1:{agent.port}",
            f"--map={port}:{SERVICE}{mapping}",
            *told,
            prefix=prefix,
        )
        address = port if site is None else f"{TLS}{port}"
        return Usual(agent, registrar, servers, gateway, port, address)


def consul_binary() -> str:
    """The Consul to run; `chaos.missing` has seen to it that there is one."""
    binary = find_consul()
    assert binary is not None
    return os.path.abspath(binary)
