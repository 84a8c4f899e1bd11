"""Clients of TLS that is not decrypted here, by the name that they ask for."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from lbconsul.net.sockets import set_nodelay
from lbconsul.proxy.mapping_proxy import MappingProxy
from tests.support import loopback
from tests.support.tended_proxy import Server, TendedProxy
from tests.support.tls import hello


class Stage:
    """Mappings with mode=sni, and their clients."""

    def __init__(self, proxy: TendedProxy, held: ExitStack) -> None:
        self.proxy, self._held = proxy, held
        self.server: Server = proxy.server("a")
        proxy.register(self.server.instance())

    def connect(self, mapped: MappingProxy, name: str, data: bytes = b"") -> Any:
        """A client's socket, which has sent this."""
        ours, peer = loopback.tcp_pair()
        set_nodelay(peer)
        self._held.enter_context(peer)
        peer.sendall(data)
        self.proxy.accept(mapped, ours, name)
        self.proxy.reactor.settle()
        return peer

    def received(self, size: int) -> bytes:
        """So much of what the last instance's connection gets."""
        sock = loopback.accept(self.server.sock)
        self._held.enter_context(sock)
        self.proxy.reactor.settle()
        return loopback.receive(sock, size)


@pytest.fixture
def stage(proxy: TendedProxy) -> Iterator[Stage]:
    """One with an instance."""
    with ExitStack() as held:
        yield Stage(proxy, held)


@pytest.mark.parametrize("name", ["web.example.com", None])
def test_passed_on(stage: Stage, name: str | None) -> None:
    """The instance gets the whole hello, and all that follows; the log has the name."""
    mapped = stage.proxy.serve(mode="sni")
    data = hello(name) + b"more"
    peer = stage.connect(mapped, "c", data)
    assert stage.received(len(data)) == data
    stage.proxy.leave(peer)
    info = stage.proxy.infos["c"]
    assert info is not None
    assert info.facts() == ({} if name is None else {"sni": name})
    assert stage.proxy.is_drained()


def test_pieces(stage: Stage) -> None:
    """A hello may come in any number of pieces."""
    mapped = stage.proxy.serve(mode="sni")
    data = hello("web.example.com")
    peer = stage.connect(mapped, "c", data[:1])
    for at in range(1, len(data), 16):
        peer.sendall(data[at : at + 16])
        stage.proxy.reactor.turn(0)
    stage.proxy.reactor.settle()
    assert stage.received(len(data)) == data


def test_no_hello(stage: Stage) -> None:
    """A client that does not speak TLS is closed."""
    mapped = stage.proxy.serve(mode="sni")
    stage.connect(mapped, "c", b"GET / HTTP/1.1\r\n\r\n")
    assert stage.proxy.endings == {"c": "PT"}
    info = stage.proxy.infos["c"]
    assert info is not None and info.error == "it is not TLS"
    assert stage.server.heard() == []
    assert stage.proxy.is_drained()


@pytest.mark.parametrize("count", [0, 1, 100])
def test_late(stage: Stage, count: int) -> None:
    """A hello that is not complete after three seconds closes the connection."""
    mapped = stage.proxy.serve(mode="sni")
    stage.connect(mapped, "c", hello(None)[:count])
    stage.proxy.pass_time(2.9)
    assert stage.proxy.endings == {}
    stage.proxy.pass_time(0.5)
    assert stage.proxy.endings == {"c": "cT"}
    assert stage.proxy.is_drained()


@pytest.mark.parametrize("count", [0, 1, 100])
def test_left(stage: Stage, count: int) -> None:
    """A client that leaves before its hello is complete has its own code."""
    mapped = stage.proxy.serve(mode="sni")
    peer = stage.connect(mapped, "c", hello(None)[:count])
    peer.shutdown(socket.SHUT_WR)
    stage.proxy.reactor.settle()
    assert stage.proxy.endings == {"c": "CT"}
    assert stage.proxy.is_drained()
