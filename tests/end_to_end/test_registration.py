"""A gateway registers itself in a real Consul, and is found there while it is ready."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from attrs import frozen
from twisted.names import dns

from tests.end_to_end.registrar import Registrar
from tests.end_to_end.stage import Stage
from tests.end_to_end.test_takeover import TAKEN_OVER
from tests.end_to_end.visits import visit
from tests.support.admin_side import AdminSide
from tests.support.binaries import REPOSITORY
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import StartGateway
from tests.support.http_api import ask
from tests.support.load import Load
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul

#: A short TTL, so that what follows from it follows soon; in seconds.
TTL = 6.0


@frozen
class Edge:
    """What Consul has of the service that gateways register themselves as."""

    consul: ConsulAgent
    name: str

    @property
    def options(self) -> str:
        """The options of a mapping that is registered so."""
        return f"register={self.name},register-ttl={TTL:g}s"

    def instances(self, flag: str = "") -> list[dict[str, Any]]:
        path = f"/v1/health/service/{self.name}{flag}"
        status, _, found = self.consul.api("GET", path)
        assert status == 200, found
        return list(found)

    def statuses(self) -> list[str]:
        """The statuses of the gateways' checks."""
        checks = [check for each in self.instances() for check in each["Checks"]]
        return [each["Status"] for each in checks if each["ServiceID"]]

    def ports(self) -> list[int]:
        """The ports to which Consul sends clients."""
        return sorted(each["Service"]["Port"] for each in self.instances("?passing"))

    def tags(self) -> list[str]:
        """All tags of the gateways."""
        return [tag for each in self.instances() for tag in each["Service"]["Tags"]]

    def output(self) -> str:
        """What the agent's check of the gateway says.

        The catalog has it later if the status stays the same.
        """
        checks = self.consul.api("GET", "/v1/agent/checks")[2].values()
        said = [each["Output"] for each in checks if each["ServiceName"] == self.name]
        return str(said[0])

    def becomes(self, *statuses: str) -> None:
        """Wait until these are the statuses."""
        eventually(
            lambda: self.statuses() == list(statuses), f"{self.name} is {statuses}"
        )


@pytest.fixture
def edge(consul: ConsulAgent, service: str) -> Edge:
    """The name under which the gateways of a test register."""
    return Edge(consul, f"edge-{service}")


def mapping(port: int, service: str, options: str) -> str:
    """A mapping of a port of loopback."""
    return f"127.0.0.1:{port}:{service},{options}"


def test_follows_readiness(stage: Stage, edge: Edge, tmp_path: Path) -> None:
    """
    In Consul the gateway is critical while /readyz says no, with the reason, and
    passing while it says yes, for longer than the TTL; at its end it is gone.
    """
    port, added = free_ports(2)
    file = tmp_path / "lb.toml"
    said = f"{edge.options},register-tags=lb|public,register-meta=zone=a"
    ours = mapping(port, stage.service, said)
    file.write_text(f"map = ['{ours}']\n")
    gateway = stage.gateway("--config", str(file), wait="listening")
    edge.becomes("critical")
    eventually(lambda: "no usable instance" in edge.output(), "it says why")
    stage.add(stage.servers[0])
    edge.becomes("passing")
    registered = edge.instances()[0]["Service"]
    assert registered["ID"] == f"lbconsul-{edge.name}-127.0.0.1-{port}"
    assert (registered["Address"], registered["Port"]) == ("127.0.0.1", port)
    assert registered["Tags"] == ["lb", "public"]
    assert registered["Meta"]["zone"] == "a"
    assert registered["Meta"]["lbconsul-balances"] == stage.service
    time.sleep(TTL + 1)
    assert edge.statuses() == ["passing"]
    missing = f"127.0.0.1:{added}:{stage.service},tls=consul:nothing-of-{edge.name}"
    file.write_text(f"map = ['{ours}', '{missing}']\n")
    gateway.reload()
    edge.becomes("critical")
    gateway.expect("there is no such key")
    file.write_text(f"map = ['{ours}']\n")
    gateway.reload()
    edge.becomes("passing")
    gateway.stop()
    assert edge.statuses() == []
    assert len(gateway.find(f"{edge.name} at .* in Consul at .*, critical$")) == 1


def test_drain(stage: Stage, edge: Edge) -> None:
    """It is deregistered before the grace begins, in which it still serves."""
    stage.add(stage.servers[0])
    (port,) = free_ports(1)
    said = mapping(port, stage.service, edge.options)
    gateway = stage.gateway("--map", said, "--shutdown-grace", "5s")
    edge.becomes("passing")
    gateway.terminate()
    grace = gateway.wait_for("draining: listeners open until")
    assert edge.statuses() == []
    assert visit(port) == "anna"
    [left] = gateway.find(rf"{edge.name} at 127.0.0.1:{port}: deregistered from Consul")
    assert left.start() < grace.start()
    gateway.wait_until_gone()


def test_reload(stage: Stage, edge: Edge, tmp_path: Path) -> None:
    """A reload registers what is new, changes what is altered and takes out the rest;
    what stays is never away."""
    stage.add(stage.servers[0])
    one, two, three = free_ports(3)
    file = tmp_path / "lb.toml"

    def serve(*ports: int, tags: str = "old") -> None:
        said = f"{edge.options},register-tags={tags}"
        maps = [mapping(port, stage.service, said) for port in ports]
        file.write_text(f"map = {maps}\n")

    serve(one, two)
    gateway = stage.gateway("--config", str(file))
    edge.becomes("passing", "passing")
    with always(lambda: one in edge.ports()):
        serve(one, three, tags="new")
        gateway.reload()
        eventually(lambda: edge.ports() == sorted([one, three]), "the new ports")
        eventually(
            lambda: all(
                each["Service"]["Tags"] == ["new"] for each in edge.instances()
            ),
            "the new tags",
        )
    gateway.stop()
    assert edge.statuses() == []


@contextmanager
def always(holds: Callable[[], bool]) -> Iterator[None]:
    """Look all the time whether something holds, which it must each time."""
    over, looks = Event(), list[bool]()

    def look() -> None:
        while not over.wait(0.02):
            looks.append(holds())

    thread = Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert len(looks) > 10
    assert all(looks), looks.count(False)


@pytest.fixture
def agent(consul_binary: str) -> Iterator[ConsulAgent]:
    """An agent of the test's own, which keeps its data."""
    with ConsulAgent(consul_binary, persistent=True) as made:
        yield made


def at(agent: ConsulAgent) -> str:
    """Its address."""
    return f"127.0.0.1:{agent.port}"


def test_agent_forgets(
    consul_binary: str, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """
    What the agent has lost is registered again: one service, one check, or all when
    the agent starts again with nothing. Clients notice none of it.
    """
    (port,) = free_ports(1)
    with ConsulAgent(consul_binary) as agent:
        edge = Edge(agent, "edge")
        Registrar(agent).add(service, servers[0])
        said = mapping(port, service, edge.options)
        started = gateway("--consul", at(agent), "--map", said)
        edge.becomes("passing")
        service_id = edge.instances()[0]["Service"]["ID"]

        def is_repaired(times: int) -> None:
            said = "registered in Consul again: the agent had lost or changed it"
            eventually(lambda: len(started.find(said)) == times, "it is repaired")
            edge.becomes("passing")

        with Load(port, 2) as load:
            Registrar(agent).remove(service_id)
            is_repaired(1)
            Registrar(agent).put(f"agent/check/deregister/service:{service_id}")
            is_repaired(2)
            agent.restart()
            is_repaired(3)
            load.more(50)
            outcome = load.stop()
        assert outcome.failed() == outcome.wrong() == []
        started.stop()


def test_agent_away(
    agent: ConsulAgent, servers: list[WebServer], gateway: StartGateway, service: str
) -> None:
    """
    An agent that is away for longer than the TTL is told again as soon as it is back;
    meanwhile it is tried in one line of log, and a drain does not wait for it.
    """
    (port,) = free_ports(1)
    edge = Edge(agent, "edge")
    Registrar(agent).add(service, servers[0])
    said = mapping(port, service, edge.options)
    started = gateway("--consul", at(agent), "--map", said)
    started.wait_for("registered in Consul at .*, passing")
    agent.kill()
    started.wait_for(rf"{edge.name} at .*: not reported to Consul at .*refused.*again")
    time.sleep(TTL + 1)
    assert visit(port) == "anna"
    agent.restart()
    edge.becomes("passing")
    assert len(started.find(f"{edge.name} at .* not reported")) == 1
    started.wait_for(rf"{edge.name} at 127.0.0.1:{port}: the agent at .* takes reports")
    agent.pause()
    began = started.log()
    started.stop()
    agent.resume()
    said = started.log()[len(began) :]
    assert "not deregistered from Consul" in said
    assert f"critical within {TTL:g}s, and removes it after 600s more" in said


def dns_ports(port: int, name: str) -> list[int]:
    """The ports that Consul's DNS has for a service."""
    query = dns.Message(recDes=1)
    query.addQuery(f"{name}.service.consul", dns.SRV)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5.0)
        sock.sendto(query.toStr(), ("127.0.0.1", port))
        answer = dns.Message()
        answer.fromStr(sock.recv(65535))
    records: list[Any] = [each.payload for each in answer.answers]
    return sorted(each.port for each in records)


def prepared_ports(consul: ConsulAgent, query: str) -> list[int]:
    """The ports that a prepared query has."""
    _, _, found = consul.api("GET", f"/v1/query/{query}/execute")
    return sorted(each["Service"]["Port"] for each in found["Nodes"])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_takeover(
    consul_binary: str,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    tmp_path: Path,
    workers: str,
) -> None:
    """
    Over two takeovers Consul's answers, DNS and prepared queries never lack the
    gateway; what a successor does not serve is taken out.
    """
    port, other, dns_port = free_ports(3)
    ports = {"ports": {"dns": dns_port}}
    with ConsulAgent(consul_binary, extra_config=ports) as agent:
        edge = Edge(agent, "edge")
        Registrar(agent).add(service, servers[0])
        query = {"Name": "lb", "Service": {"Service": "edge", "OnlyPassing": True}}
        assert agent.api("POST", "/v1/query", query)[0] == 200
        said = ["--consul", at(agent), "--takeover", str(tmp_path / "lb.sock")]
        said += ["--workers", workers, "--map", mapping(port, service, edge.options)]
        more = ["--map", mapping(other, service, edge.options)]
        started = [gateway(*said, *more)]
        edge.becomes("passing", "passing")

        def is_found() -> bool:
            answers = (
                edge.ports(),
                dns_ports(dns_port, "edge"),
                prepared_ports(agent, "lb"),
            )
            return all(port in each for each in answers)

        with always(is_found):
            for _ in range(2):
                started.append(gateway(*said, wait="listening"))
                started[-1].wait_for(TAKEN_OVER)
                started[-2].wait_until_gone()
                time.sleep(TTL + 1)
        assert edge.ports() == [port]
        assert not started[0].find("deregistered") + started[1].find("agent had lost")
        started[-1].stop()
        assert edge.statuses() == []


def test_crash(stage: Stage, edge: Edge) -> None:
    """
    A gateway that is killed is critical once the TTL is over; the next one at its
    address takes its registration over.
    """
    stage.add(stage.servers[0])
    (port,) = free_ports(1)
    said = mapping(port, stage.service, edge.options)
    gateway = stage.gateway("--map", said)
    edge.becomes("passing")
    gateway.kill()
    edge.becomes("critical")
    gateway.start()
    edge.becomes("passing")
    gateway.kill()
    gateway.start()
    gateway.wait_for("registered in Consul at .*, passing")
    assert edge.statuses() == ["passing"]


def test_removed(stage: Stage, edge: Edge) -> None:
    """What nothing revives is removed by Consul, a minute after it turned critical at
    the earliest."""
    stage.add(stage.servers[0])
    (port,) = free_ports(1)
    said = mapping(port, stage.service, f"{edge.options},register-remove-after=1m")
    gateway = stage.gateway("--map", said)
    edge.becomes("passing")
    gateway.kill()
    edge.becomes("critical")
    # Consul's agent looks twice a minute.
    waited = eventually(lambda: edge.statuses() == [], "it is removed", timeout=180.0)
    assert waited > 50


def test_status(stage: Stage, edge: Edge) -> None:
    """Whether a gateway is registered is in its status, in the metrics, and in what
    `lbconsul status` prints."""
    stage.add(stage.servers[0])
    port, admin = free_ports(2)
    said = mapping(port, stage.service, edge.options)
    stage.gateway("--map", said, "--admin", str(admin))
    edge.becomes("passing")
    side = AdminSide(admin)
    service_id = f"lbconsul-{edge.name}-127.0.0.1-{port}"

    def state() -> str:
        [shown] = side.status()["gateway"]["registrations"]
        assert (shown["id"], shown["port"]) == (service_id, port)
        return str(shown["state"])

    eventually(lambda: state() == "passing", "the status shows it")
    metric = f'lbconsul_registration{{id="{service_id}"'
    assert metric in ask(admin, "GET", "/metrics")[2]
    printed = subprocess.run(
        [sys.executable, "-m", "lbconsul", "status", "--admin", str(admin)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"in Consul as {edge.name}, 127.0.0.1 port {port}: passing" in printed.stdout


def test_workers(stage: Stage, edge: Edge) -> None:
    """With workers there is one registration, whatever becomes of a worker."""
    stage.add(stage.servers[0])
    (port,) = free_ports(1)
    said = mapping(port, stage.service, edge.options)
    gateway = stage.gateway("--map", said, "--workers", "2")
    all_serve(gateway, 2)
    edge.becomes("passing")
    gateway.stop()
    assert edge.statuses() == []


ACL = {
    "primary_datacenter": "dc1",
    "acl": {
        "enabled": True,
        "default_policy": "deny",
        "tokens": {"master": "00000000-0000-0000-0000-0000000000aa"},
    },
}


def token(agent: ConsulAgent, *rules: str) -> str:
    """A token with these rules."""
    name = f"policy-{time.monotonic_ns()}"
    policy = {"Name": name, "Rules": "\n".join(rules)}
    assert agent.api("PUT", "/v1/acl/policy", policy)[0] == 200
    made = agent.api("PUT", "/v1/acl/token", {"Policies": [{"Name": name}]})[2]
    return str(made["SecretID"])


def test_rights(
    consul_binary: str,
    servers: list[WebServer],
    gateway: StartGateway,
    service: str,
    tmp_path: Path,
) -> None:
    """
    A token that may only read is told once, with the right that it lacks, and clients
    are served; with the policy of docs/high-availability.md the gateway registers.
    """
    (port,) = free_ports(1)
    page = (REPOSITORY / "docs" / "high-availability.md").read_text()
    *read, write = re.findall(r"^    (\w+ .* \{ policy = .*\})$", page, re.MULTILINE)
    assert len(read) == 2
    file = tmp_path / "token"
    with ConsulAgent(consul_binary, extra_config=ACL) as agent:
        Registrar(agent).add(service, servers[0])
        edge = Edge(agent, "edge")
        file.write_text(token(agent, *read))
        said = ["--consul", at(agent), "--token-file", str(file)]
        said += ["--map", mapping(port, service, edge.options)]
        started = gateway(*said)
        refused = (
            "not registered in Consul at .*: 403: .*; the token needs service:write"
        )
        started.wait_for(refused)
        time.sleep(TTL)
        assert visit(port) == "anna"
        assert len(started.find(refused)) == 1
        file.write_text(token(agent, *read, write))
        edge.becomes("passing")
        started.stop()
        assert edge.statuses() == []


def test_clash(stage: Stage, edge: Edge) -> None:
    """
    What another program has registered under the same id stays as it is; of two
    gateways that claim one address the last one has it, and the other one says so.
    """
    stage.add(stage.servers[0])
    one, two, claimed = free_ports(3)
    options = f"{edge.options},register-address=127.0.0.1:{claimed}"
    service_id = f"lbconsul-{edge.name}-127.0.0.1-{claimed}"
    stage.registrar.add("foreign", stage.servers[1], ID=service_id)
    first = stage.gateway("--map", mapping(one, stage.service, options))
    first.expect(
        f"not registered .*: the agent has a service foreign with the id {service_id}"
    )
    stage.registrar.remove(service_id)
    edge.becomes("passing")
    second = stage.gateway("--map", mapping(two, stage.service, options))
    first.expect(f"another gateway has registered itself as {service_id}: two with one")
    time.sleep(TTL)
    first.stop()
    assert edge.statuses() == ["passing"]
    second.stop()
    assert edge.statuses() == []


def test_circle(stage: Stage, edge: Edge) -> None:
    """
    Gateways that are registered as the service which they balance never connect to
    each other or themselves, under whatever address: they say so, and instances serve.
    """
    stage.add(stage.servers[0])
    one, two, elsewhere = free_ports(3)
    options = f"register={stage.service}"
    first = stage.gateway("--map", mapping(one, stage.service, options))
    options += f",register-address=localhost:{elsewhere}"
    second = stage.gateway("--map", mapping(two, stage.service, options))
    for gateway, at, why in (
        (first, elsewhere, "it is a gateway that balances this service"),
        (second, elsewhere, "it is a gateway that balances this service"),
        (second, one, "it is a gateway that balances this service"),
    ):
        gateway.wait_for(rf"skipped lbconsul-{stage.service}-\S+-{at}@\S+ \S+: {why}")
    assert {visit(port) for port in (one, two) * 5} == {"anna"}
