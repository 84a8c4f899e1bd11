"""Thousands of services whose tags are routes, some of which change all the time."""

import itertools
import time
from http.client import HTTPConnection
from threading import Event, Thread
from typing import Any, Self

from chaos.processes import measured
from chaos.row import Row
from chaos.scene import Scene
from chaos.traffic import require_faultless
from tests.end_to_end.registrar import Registrar
from tests.support.consul_agent import ConsulAgent
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer

#: How many services there are, and on how many nodes.
SERVICES, QUICK_SERVICES, NODES = 3000, 300, 30

#: Changes a second: the tag of one service is taken away, or put back.
CHANGES = 10.0

#: How long a change to a service that does not flap takes to be seen, in seconds.
SEEN = 15.0

#: Of one core, in percent, with some light load.
CPU = 60.0

#: Operations in one transaction of Consul's.
_AT_ONCE = 64


class Catalog:
    """Services on made-up nodes, all of which are served by a few servers.

    The even ones have a check, the odd ones have none.
    """

    def __init__(self, agent: ConsulAgent, servers: list[WebServer]) -> None:
        self._agent, self._servers = agent, servers

    def fill(self, count: int) -> None:
        """Register so many services, each with one instance."""
        nodes = [{"Node": f"n{each}", "Address": "127.0.0.1"} for each in range(NODES)]
        self._apply({"Node": {"Verb": "set", "Node": each}} for each in nodes)
        self._apply(
            operation for each in range(count) for operation in self._instance(each)
        )

    def put(self, number: int, *, server: int = 0, is_route: bool = True) -> None:
        """Register a service again, at another server, or without its tag."""
        self._apply(self._instance(number, server, is_route=is_route))

    def remove(self, number: int) -> None:
        """Deregister the instance of a service."""
        gone = {"Node": f"n{number % NODES}", "ServiceID": f"s{number}"}
        status, _, said = self._agent.api("PUT", "/v1/catalog/deregister", gone)
        assert status == 200, said

    def _instance(
        self, number: int, server: int = 0, *, is_route: bool = True
    ) -> list[Any]:
        node, there = f"n{number % NODES}", self._servers[server]
        service = {
            "ID": f"s{number}",
            "Service": f"s{number}",
            "Address": there.host,
            "Port": there.port,
            "Tags": [f"urlprefix-s{number}/"] if is_route else ["v1"],
        }
        check = {
            "Node": node,
            "CheckID": f"c{number}",
            "Name": "c",
            "Status": "passing",
            "ServiceID": f"s{number}",
        }
        set_service = {"Verb": "set", "Node": node, "Service": service}
        set_check = {"Check": {"Verb": "set", "Check": check}}
        return [{"Service": set_service}, *([set_check] if number % 2 == 0 else [])]

    def _apply(self, operations: Any) -> None:
        operations = iter(operations)
        while some := list(itertools.islice(operations, _AT_ONCE)):
            status, _, said = self._agent.api("PUT", "/v1/txn", some)
            assert status == 200, said


def play(scene: Scene) -> None:
    """Tags of a tenth of the services flap; of others the instance goes, or moves."""
    count = round(scene.either(SERVICES, QUICK_SERVICES))
    *servers, steady = scene.servers(("anna", "bert", "carl"))
    agent = scene.consul()
    Registrar(agent).add("steady", steady, Tags=["urlprefix-/"])
    catalog = Catalog(agent, servers)
    catalog.fill(count)
    (port,) = free_ports(1)
    gateway = scene.gateway(
        f"--consul=127.0.0.1:{agent.port}",
        f"--map={port}:@tags,mode=http,shrink-guard=off,route-hold=off",
        wait="listening",
    )
    # The log line may come before the last answers of thousands.
    gateway.wait_for(r"routes of \d+ services", timeout=120.0)
    for each in range(count):
        _until(port, each, "anna")
    flapping = count // 10
    with scene.traffic(port, new=2, kept=2, pause=0.05) as traffic:
        with measured(gateway) as span, Flaps(catalog, flapping) as flaps:
            seen = _look(catalog, port, count, scene.either(60.0, 10.0))
        for each in range(flapping):
            catalog.put(each)
        eventually(
            lambda: all(_server(port, each) == "anna" for each in range(flapping)),
            "all are routes in the end",
        )
        outcome = traffic.stop()
    report = scene.report
    report.at_least("changes", flaps.count / span.seconds, CHANGES * 0.5, "/s")
    report.at_least("looked for", len(seen), 4)
    report.at_most("seen after", max(seen), SEEN, "s")
    report.at_most("CPU", span.percent, CPU, "%")
    require_faultless(report, outcome)


class Flaps:
    """Takes away the tags of the first services, and puts them back, until it ends."""

    def __init__(self, catalog: Catalog, services: int) -> None:
        self._catalog, self._services = catalog, services
        self.count = 0
        self._over = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._over.wait(begun + self.count / CHANGES - time.monotonic()):
            turn, service = divmod(self.count, self._services)
            self._catalog.put(service, is_route=turn % 2 == 1)
            self.count += 1


def _look(catalog: Catalog, port: int, count: int, lasts: float) -> list[float]:
    """Move one service, and take out another one, and so on, with a check and without;
    after how many seconds each is seen.
    """
    end, seen, number = time.monotonic() + lasts, list[float](), count - 1
    while len(seen) < 4 or time.monotonic() < end:
        moved, gone = number, number - 1
        catalog.put(moved, server=1)
        seen.append(_until(port, moved, "bert"))
        catalog.remove(gone)
        seen.append(_until(port, gone, "carl"))
        number -= 3  # of the next two the other one has a check
    return seen


def _until(port: int, number: int, server: str) -> float:
    """How long it takes until a service has this server."""
    what = f"s{number} leads to {server}"
    return eventually(lambda: _server(port, number) == server, what, timeout=60.0)


def _server(port: int, number: int) -> str:
    """Which server answers for a service; the steady one if it has no route."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/", headers={"Host": f"s{number}"})
    words = connection.getresponse().read().decode().split()
    connection.close()
    return words[0] if words else ""


ROW = Row(
    "tags-flap",
    "the tags of a tenth of 3,000 services (300), which are routes, come and go ten"
    " times a second; instances of others move and are deregistered",
    play,
)
