"""What the end-to-end tests share: web servers, registrations, gateways."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.registrar import Registrar
from tests.end_to_end.stage import Stage
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway, StartGateway
from tests.support.web_server import WebServer


def start_servers(stack: ExitStack, *names: str) -> list[WebServer]:
    """Web servers that run until the stack ends."""
    servers = [WebServer(name) for name in names]
    for each in servers:
        each.start()
    for each in servers:
        each.wait_until_listening()
        stack.push(each)
    return servers


@pytest.fixture(scope="session")
def servers() -> Iterator[list[WebServer]]:
    """Four web servers that all tests share: leave them running."""
    with ExitStack() as stack:
        yield start_servers(stack, "anna", "bert", "carl", "dora")


@pytest.fixture
def own_servers() -> Iterator[list[WebServer]]:
    """Three web servers to do with as one likes."""
    with ExitStack() as stack:
        yield start_servers(stack, "emil", "fred", "gina")


@pytest.fixture
def service(request: pytest.FixtureRequest) -> str:
    """The name of a service that no other test uses."""
    return re.sub(r"\W+|_", "-", request.node.name).strip("-")


@pytest.fixture
def registrar(consul: ConsulAgent) -> Iterator[Registrar]:
    """Registers in the shared Consul for as long as one test runs."""
    registrar = Registrar(consul)
    yield registrar
    registrar.clean_up()


@pytest.fixture
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartGateway]:
    """
    Start a gateway on the shared Consul, unless another one is given. It is ready on
    return, or with ``wait="listening"`` as soon as it listens; at the test's end it
    must stop well.
    """
    with ExitStack() as stack:

        def start(*arguments: str, wait: str = "ready", **keywords: Any) -> Gateway:
            home = tmp_path / f"gateway-{len(list(tmp_path.glob('gateway-*')))}"
            home.mkdir()
            told: list[str] = []
            if "--consul" not in arguments and "env" not in keywords:
                consul: ConsulAgent = request.getfixturevalue("consul")
                told = ["--consul", f"127.0.0.1:{consul.port}"]
            gateway = Gateway(home, *told, *arguments, wait=wait, **keywords)
            return stack.enter_context(gateway)

        yield start


@pytest.fixture
def stage(
    service: str,
    registrar: Registrar,
    servers: list[WebServer],
    gateway: StartGateway,
) -> Stage:
    """All of these at once."""
    return Stage(service, registrar, servers, gateway)
