"""What a gateway listens on, and which instances would be the gateway itself."""

import errno
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from lbconsul.balance.instance import Instance
from lbconsul.config.listen import SystemdListen, TCPListen, UnixListen
from lbconsul.proxy import own_listeners
from lbconsul.proxy.own_listeners import (
    MAX_AGE,
    Bound,
    HostAddresses,
    OwnListeners,
    bound_to,
)
from tests.support.upstreams import instance


class Host:
    """A host whose addresses the test gives, and when it is looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
        self.addresses: frozenset[str] | None = frozenset(addresses)
        self.now = 0.0
        self.looks = 0
        monkeypatch.setattr(own_listeners, "_host_addresses", self._look)
        self.listeners = OwnListeners(lambda: self.now)

    def _look(self) -> frozenset[str] | None:
        self.looks += 1
        return self.addresses

    def refuses(self, address: str, port: int = 80) -> bool:
        """Whether an instance at that address must not be connected to."""
        return bool(self.listeners.why(instance("a", port, address)))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with an address of each family, and one of a link."""
    return Host(monkeypatch, "10.0.0.5", "fd00::5", "fe80::5")


def test_every_address_of_ipv4(host: Host) -> None:
    """A listener on every IPv4 address covers each of this host's."""
    host.listeners.replace([Bound("0.0.0.0", 80)])
    assert host.refuses("10.0.0.5")
    assert host.refuses("127.0.0.1")
    assert host.refuses("127.8.8.8")
    assert not host.refuses("10.0.0.6")
    assert not host.refuses("10.0.0.5", 81)
    assert not host.refuses("fd00::5")
    assert not host.refuses("::1")


def test_every_address_of_ipv6(host: Host) -> None:
    """A listener on every IPv6 address does not cover IPv4's, unless configured so."""
    host.listeners.replace([Bound("::", 80)])
    assert host.refuses("fd00::5")
    assert host.refuses("::1")
    assert host.refuses("fe80::5%eth0")
    assert not host.refuses("fd00::6")
    assert not host.refuses("10.0.0.5")
    host.listeners.replace([Bound("::", 80, is_dual=True)])
    assert host.refuses("10.0.0.5")
    assert not host.refuses("10.0.0.6")


def test_a_name_with_several_addresses(host: Host) -> None:
    """A name of which one address is ours is not connected to: any may be tried."""
    host.listeners.replace([Bound("10.0.0.5", 80)])
    named = evolve(instance("a", 80, "10.0.0.9"), alternates=("10.0.0.5",))
    assert host.listeners.why(named)


def test_a_unix_socket(host: Host, tmp_path: Path) -> None:
    """The path at which we listen is ours, by whatever links it is reached."""
    path, link, hard = (tmp_path / each for each in ("web", "link", "hard"))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        link.symlink_to(path)
        hard.hardlink_to(path)
        host.listeners.replace([Bound(path=str(path)), Bound("0.0.0.0", 80)])
        for each in (path, link, hard):
            assert host.refuses(str(each), 0)
        assert not host.refuses(str(tmp_path / "other"), 0)
        assert not host.refuses("10.0.0.5", 0)
    host.listeners.replace([Bound(path=str(tmp_path / "not-yet"))])
    assert host.refuses(str(tmp_path / "not-yet"), 0)


def test_one_address(host: Host) -> None:
    """A listener on one address leaves the same port of others to instances."""
    host.listeners.replace([Bound("10.0.0.5", 80), Bound("::1", 80)])
    assert host.refuses("10.0.0.5")
    assert host.refuses("::1")
    assert not host.refuses("127.0.0.1")
    assert not host.refuses("fd00::5")
    assert host.looks == 0


def test_why(host: Host) -> None:
    """The reason names where we listen, and nothing is said of others."""
    host.listeners.replace([Bound("::1", 80)])
    assert host.listeners.why(instance("a", 80, "::1")) == (
        "it is this gateway itself, which listens on [::1]:80"
    )
    assert host.listeners.why(instance("a", 80, "::2")) == ""


def test_what_is_listened_on_changes(host: Host) -> None:
    """
    The caller learns whether anything changed, so that it can screen instances again.
    """
    first, other = Bound("127.0.0.1", 80), Bound("127.0.0.1", 81)
    assert host.listeners.replace([first, None, other])
    assert not host.listeners.replace([other, first])
    assert host.listeners.replace([other])
    assert not host.refuses("127.0.0.1")
    assert host.refuses("127.0.0.1", 81)


def test_an_address_that_moves_here(host: Host) -> None:
    """A virtual address that this host takes over is its own within seconds."""
    host.listeners.replace([Bound("0.0.0.0", 80)])
    assert not host.refuses("10.0.0.9")
    host.addresses = frozenset({"10.0.0.9"})
    assert not host.refuses("10.0.0.9")
    host.now += MAX_AGE
    assert host.refuses("10.0.0.9")
    assert host.looks == 2


def test_addresses_that_come_and_go(host: Host) -> None:
    """The check is made only where it may matter."""
    host.listeners.replace([Bound("0.0.0.0", 80)])
    assert not host.listeners.has_moved()
    assert host.looks == 0
    assert not host.refuses("10.0.0.9")
    host.now += MAX_AGE
    assert not host.listeners.has_moved()
    host.addresses = frozenset({"10.0.0.9"})
    host.now += MAX_AGE
    assert host.listeners.has_moved()
    assert not host.listeners.has_moved()
    assert host.refuses("10.0.0.9")


def test_a_kernel_that_does_not_tell(host: Host) -> None:
    """Where addresses cannot be listed, each is asked for by itself."""
    host.addresses = None
    assert HostAddresses(lambda: 0.0).has("127.0.0.1")
    assert not HostAddresses(lambda: 0.0).has("192.0.2.77")
    assert not HostAddresses(lambda: 0.0).has("255.255.255.255")


def test_this_very_host() -> None:
    """The real kernel tells what it has, and not what it has not."""
    addresses = own_listeners._host_addresses()
    assert addresses is None or "127.0.0.1" in addresses
    found = HostAddresses(lambda: 0.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.77", 9))
        except OSError:
            pytest.skip("a host without a route")
        assert found.has(probe.getsockname()[0])
    assert not found.has("192.0.2.77")


class Netlink:
    """A socket of netlink's that says what the test wants."""

    def __init__(self, *answers: bytes | OSError) -> None:
        self._answers = list(answers)

    def __call__(self, *_: Any) -> "Netlink":
        return self

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def sendto(self, *_: Any) -> None:
        pass

    def recv(self, _: int) -> bytes:
        answer = self._answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


def message(kind: int, body: bytes) -> bytes:
    """One message of netlink's."""
    return (
        own_listeners._HEAD.pack(own_listeners._HEAD.size + len(body), kind, 0, 1, 0)
        + body
    )


def address(family: int, **attributes: bytes) -> bytes:
    """What netlink says of one address."""
    body = own_listeners._ABOUT.pack(family, 32, 0, 0, 1)
    for kind, value in attributes.items():
        number = {"peer": 1, "local": 2, "label": 3}[kind]
        head = own_listeners._ATTRIBUTE.pack(
            own_listeners._ATTRIBUTE.size + len(value), number
        )
        body += head + value + bytes(-len(value) % 4)
    return message(20, body)


DONE = message(3, bytes(4))


def test_what_netlink_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a link with a peer our end counts; answers come in several pieces."""
    peer, local = socket.inet_aton("10.1.0.2"), socket.inet_aton("10.1.0.1")
    six = socket.inet_pton(socket.AF_INET6, "fd00::1")
    first = address(socket.AF_INET, peer=peer, local=local, label=b"tun0\0")
    netlink = Netlink(first, address(socket.AF_INET6, peer=six) + DONE)
    monkeypatch.setattr(socket, "socket", netlink)
    assert own_listeners._host_addresses() == frozenset({"10.1.0.1", "fd00::1"})


@pytest.mark.parametrize(
    "answer",
    [
        OSError(errno.EPERM, "no"),
        b"x",
        message(2, bytes(4)),
        message(20, b""),
        message(20, own_listeners._ABOUT.pack(2, 32, 0, 0, 1) + bytes(4)),
        address(socket.AF_INET, local=b"abc"),
        own_listeners._HEAD.pack(0, 20, 0, 1, 0),
    ],
)
def test_what_netlink_may_not_say(
    answer: bytes | OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error, or what is no answer, is as if there were no netlink."""
    monkeypatch.setattr(socket, "socket", Netlink(answer, DONE))
    assert own_listeners._host_addresses() is None


def test_no_netlink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none, that is all."""
    monkeypatch.delattr(socket, "AF_NETLINK", raising=False)
    assert own_listeners._host_addresses() is None


class TestBoundTo:
    """Where something listens."""

    def test_what_is_written(self) -> None:
        """The bound address is that of the socket; without a socket it is unknown."""
        assert bound_to(TCPListen("::1", 80)) == Bound("::1", 80)
        assert bound_to(UnixListen("/run/a")) == Bound(path="/run/a")
        assert bound_to(SystemdListen("web")) is None
        assert bound_to(None) is None
        assert str(bound_to(UnixListen("/run/a"))) == "unix:/run/a"

    def test_systemds(self, tmp_path: Path) -> None:
        """A socket that was passed in is asked itself."""
        listen = SystemdListen("web")
        path = str(tmp_path / "web")
        with socket.create_server(("127.0.0.1", 0)) as sock:
            port = sock.getsockname()[1]
            assert bound_to(listen, sock) == Bound("127.0.0.1", port)
        with socket.socket(socket.AF_UNIX) as sock:
            assert bound_to(listen, sock) is None
            sock.bind(path)
            assert bound_to(listen, sock) == Bound(path=path)

    @pytest.mark.parametrize("dual", [False, True])
    def test_both_families(self, *, dual: bool) -> None:
        """An IPv6 listener that takes IPv4 clients, too, is recognized."""
        sock = socket.create_server(
            ("::", 0), family=socket.AF_INET6, dualstack_ipv6=dual
        )
        with closing(sock):
            port = sock.getsockname()[1]
            assert bound_to(SystemdListen("web"), sock) == Bound("::", port, dual)


def test_unresolved() -> None:
    """An instance without an address yet is not the gateway itself."""
    listeners = OwnListeners(lambda: 0.0)
    listeners.replace([Bound("127.0.0.1", 80)])
    unresolved: Instance = evolve(instance("a", 81), address="")
    assert listeners.why(unresolved) == ""
