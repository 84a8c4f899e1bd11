"""A gateway that registers itself with the agent of --dev, in one process."""

import socket
from pathlib import Path

import pytest
from attrs import evolve
from twisted.logger import capturedLogs

from lbconsul.admin.status_model import RegistrationStatus
from lbconsul.config.build import build, configure
from lbconsul.config.listen import SystemdListen, TCPListen
from lbconsul.config.model import Config
from lbconsul.config.sources import Source, from_command_line
from lbconsul.gateway.registrations import registrations_of
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.service import Gateway
from tests.support.fake_resolver import FakeResolver
from tests.support.http_api import ask
from tests.support.ports import free_ports
from tests.support.running_gateway import Started, texts
from tests.support.running_proxy import ReactorThread
from tests.support.waiting import eventually


def dev(consul: int, *mappings: str) -> Config:
    """The configuration of a gateway with a catalog of its own."""
    source = from_command_line({}, [f"127.0.0.1:{consul}"], mappings)
    return build(Source(), Source(), source, dev=True)


def states(running: ReactorThread, gateway: Gateway) -> list[str]:
    """The states of its registrations, as the status shows them."""
    shown: tuple[RegistrationStatus, ...] = running.call(gateway.registrations.states)
    return [each.state for each in shown]


def test_life(running: ReactorThread) -> None:
    """It is registered from its start to its drain; a reload alters that."""
    one, two, consul = free_ports(3)
    said = f"127.0.0.1:{one}:web,register=edge"
    config = dev(consul, said, f"127.0.0.1:{two}:web")
    gateway = Gateway(running.reactor, config)
    assert states(running, gateway) == []

    def registered() -> list[int]:
        found = ask(consul, "GET", "/v1/health/service/edge?passing")[2]
        return sorted(each["Service"]["Port"] for each in found)

    with Started(running, gateway):
        eventually(lambda: states(running, gateway) == ["passing"], "it is registered")
        [shown] = running.call(gateway.registrations.states)
        assert (shown.id, shown.service) == (f"lbconsul-edge-127.0.0.1-{one}", "edge")
        assert (shown.address, shown.port, shown.reason) == ("127.0.0.1", one, "")
        assert shown.mapping == f"127.0.0.1:{one}:web"
        assert registered() == [one]
        other = dev(consul, said, f"127.0.0.1:{two}:web,register=edge")
        running.call(gateway.reload, other)
        eventually(lambda: registered() == sorted([one, two]), "both are registered")
        running.outcome(gateway.drain)
        assert registered() == []
        assert states(running, gateway) == ["left", "left"]


def test_stopped(running: ReactorThread, no_consul: str) -> None:
    """A program that stops its gateway without a drain has it deregistered, too; if
    Consul is away it stops all the same."""
    (port, consul) = free_ports(2)
    config = dev(consul, f"127.0.0.1:{port}:web,register=edge")
    with capturedLogs() as events, Started(running, Gateway(running.reactor, config)):
        eventually(
            lambda: "registered in Consul" in str(texts(events)), "it is registered"
        )
    assert f"edge at 127.0.0.1:{port}: deregistered from Consul" in texts(events)
    config = configure([no_consul], [f"127.0.0.1:{port}:web,register=edge"])
    with capturedLogs() as events, Started(running, Gateway(running.reactor, config)):
        eventually(lambda: "not registered" in str(texts(events)), "Consul is away")


@pytest.mark.parametrize(
    ("address", "warns"), [("127.0.0.1", False), ("192.0.2.9", True)]
)
def test_agent_elsewhere(running: ReactorThread, address: str, warns: bool) -> None:
    """
    What listens on all addresses gets the agent's, which is told if the agent is on
    another host, once.
    """
    config = configure(["consul.example:8500"], ["8080:web,register=edge"])
    resolver = FakeResolver(known={"consul.example": address})
    gateway = running.call(Gateway, running.reactor, config, resolver=resolver)
    [socket_] = gateway.data_plane.sockets
    [registration] = registrations_of([socket_])
    with capturedLogs() as events:
        for _ in range(2):
            running.call(gateway.registrations._check_address, registration)
        own = evolve(registration, address="10.0.0.7")
        running.call(gateway.registrations._check_address, own)
    told = [each for each in texts(events) if "not this host's" in each]
    assert told == (
        [
            "edge: registered with the address of the agent at"
            " http://consul.example:8500, which is not this host's: give"
            " register-address=, unless port 8080 there leads here"
        ]
        if warns
        else []
    )


def test_sockets_of_systemd(tmp_path: Path) -> None:
    """Sockets that systemd passes in are registered by where they listen; a UNIX
    socket is not, nor one that is not open yet."""
    [mapping] = configure(mappings=["systemd:web:web,register=edge"]).mappings
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        port = tcp.getsockname()[1]
        sock = OwnedSocket(mapping, {"web": tcp.fileno()})
        assert list(registrations_of([sock])) == []
        sock.open()
        [found] = registrations_of([sock])
        assert (found.address, found.port) == ("127.0.0.1", port)
        sock.close()
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "web.sock"))
        unix.listen()
        sock = OwnedSocket(mapping, {"web": unix.fileno()})
        sock.open()
        assert list(registrations_of([sock])) == []
        sock.close()
    assert isinstance(mapping.listen, SystemdListen)
    plain = evolve(
        mapping, listen=TCPListen("127.0.0.1", 1), register=type(mapping.register)()
    )
    assert list(registrations_of([OwnedSocket(plain, {})])) == []
