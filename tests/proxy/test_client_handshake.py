"""Clients from the accept to the session, turned by hand."""

import socket

import pytest
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from lbconsul.config.model import WhenEmpty
from lbconsul.proxy.client_handshake import ClientHandshake
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.stats.termination import Termination
from tests.support import loopback
from tests.support.tended_proxy import Server, TendedProxy

#: Clients wait for an instance that is to come.
_WAIT = WhenEmpty(wait=30.0)


@pytest.fixture
def server(proxy: TendedProxy) -> Server:
    """The one instance of the service web."""
    server = proxy.server("a")
    proxy.register(server.instance())
    return server


def handshake_of(mapped: MappingProxy) -> ClientHandshake:
    """The only open connection of a mapping, which is a handshake."""
    [handshake] = mapped.sessions
    assert isinstance(handshake, ClientHandshake)
    return handshake


def test_wait_for_client(proxy: TendedProxy, server: Server) -> None:
    """With wait-for-client no instance hears of a client before it has spoken."""
    mapped = proxy.serve(wait_for_client=True)
    client = proxy.connect(mapped, " silent")
    proxy.pass_time(60)
    assert server.heard() == []
    assert (mapped.open, mapped.connection_limit.taken, proxy.endings) == (1, 1, {})
    client.sendall(b"now")
    proxy.reactor.settle()
    assert server.heard() == ["now"]
    assert (mapped.open, mapped.connection_limit.taken) == (1, 1)
    proxy.leave(client)
    assert proxy.endings == {" silent": "CD"}
    assert proxy.is_drained()


def test_client_that_has_spoken(proxy: TendedProxy, server: Server) -> None:
    """A client that has spoken by the time it is accepted is served at once."""
    mapped = proxy.serve(wait_for_client=True, first_byte_timeout=1.0)
    client = proxy.connect(mapped, "c")
    assert server.heard() == ["c"]
    proxy.pass_time(10)
    assert proxy.endings == {}
    proxy.leave(client)
    assert proxy.is_drained()


@pytest.mark.parametrize("waits", [False, True])
def test_first_byte_timeout(proxy: TendedProxy, server: Server, waits: bool) -> None:
    """A client that sends nothing for first-byte-timeout is closed with its own code.

    It was connected to an instance unless wait-for-client is on.
    """
    mapped = proxy.serve(first_byte_timeout=2.0, wait_for_client=waits)
    silent = proxy.connect(mapped, " silent")
    spoken = proxy.connect(mapped, "spoken")
    proxy.pass_time(1.9)
    assert proxy.endings == {}
    proxy.pass_time(0.5)
    assert proxy.endings == {" silent": "cR"}
    assert proxy.left == {" silent": "" if waits else "a"}
    assert silent.recv(1) == b""
    proxy.pass_time(10)
    assert server.heard() == (["spoken"] if waits else ["", "spoken"])
    proxy.leave(spoken)
    assert proxy.is_drained()


def test_slow_upstream(proxy: TendedProxy) -> None:
    """
    A client that had sent its bytes while the dial took longer than
    first-byte-timeout has not been silent.
    """
    mapped = proxy.serve(first_byte_timeout=0.5, when_empty=_WAIT)
    client = proxy.connect(mapped, "c")
    proxy.pass_time(5)
    server = proxy.server("a")
    proxy.register(server.instance())
    proxy.reactor.advance(1)  # the dial, and then the check, in one turn
    proxy.reactor.advance(1)
    proxy.reactor.settle()
    assert server.heard() == ["c"]
    assert proxy.endings == {}
    proxy.leave(client)


def test_age_limit_of_a_silent_client(proxy: TendedProxy, server: Server) -> None:
    """Both limits of a connection hold where a mapping has both."""
    mapped = proxy.serve(first_byte_timeout=2.0, max_age=10.0)
    proxy.connect(mapped, " silent")
    proxy.connect(mapped, "spoken")
    proxy.pass_time(12)
    assert proxy.endings == {" silent": "cR", "spoken": "KA"}
    assert proxy.is_drained()


@pytest.mark.parametrize("how", ["end", "reset"])
def test_client_that_leaves(proxy: TendedProxy, server: Server, how: str) -> None:
    """A client that leaves before its first byte has an ending of its own."""
    mapped = proxy.serve(wait_for_client=True)
    client = proxy.connect(mapped, " silent")
    if how == "end":
        client.shutdown(socket.SHUT_WR)
    else:
        loopback.reset(client)
    proxy.reactor.settle()
    assert proxy.endings == {" silent": "CR"}
    assert server.heard() == []
    assert proxy.is_drained()


def test_denied(proxy: TendedProxy, server: Server) -> None:
    """A client that access control refuses is reset before any handshake."""
    mapped = proxy.serve(wait_for_client=True, deny=("127.0.0.0/8",))
    ours, client = loopback.tcp_pair()
    with client:
        proxy.accept(mapped, ours, ours.getpeername())
        assert loopback.was_reset(client)
    assert list(proxy.endings.values()) == ["PR"]
    assert proxy.is_drained()


def test_connections_of_one_client(proxy: TendedProxy, server: Server) -> None:
    """Handshakes count for max-connections-per-client, until they are over."""
    mapped = proxy.serve(wait_for_client=True, max_connections_per_client=1)
    ours, client = loopback.tcp_pair()
    other, refused = loopback.tcp_pair()
    with client, refused:
        proxy.accept(mapped, ours, ("192.0.2.1", 1))
        proxy.accept(mapped, other, ("192.0.2.1", 2))
        assert loopback.was_reset(refused)
    proxy.reactor.settle()
    assert list(proxy.endings.values()) == ["PL", "CR"]
    last, client = loopback.tcp_pair()
    with client:
        client.sendall(b"c")
        proxy.accept(mapped, last, ("192.0.2.1", 3))
        assert server.heard() == ["c"]


def test_end_from_outside(proxy: TendedProxy, server: Server) -> None:
    """Connections in their handshake end with the others, once."""
    mapped = proxy.serve(wait_for_client=True)
    client = proxy.connect(mapped, " silent")
    handshake = handshake_of(mapped)
    assert not handshake.is_relaying
    assert handshake.moved_at == 0.0
    mapped.close_connections()
    handshake.end(Termination.INTERNAL)
    handshake.doWrite()
    assert handshake.is_over
    assert proxy.endings == {" silent": "KH"}
    assert client.recv(1) == b""
    assert proxy.is_drained()


def test_drain(proxy: TendedProxy, server: Server) -> None:
    """A mapping that drains closes handshakes by the drain timeout, too."""
    mapped = proxy.serve(wait_for_client=True, drain_timeout=5.0)
    proxy.connect(mapped, " silent")
    proxy.connect(mapped, "spoken")
    mapped.drain()
    proxy.pass_time(6)
    assert proxy.endings == {" silent": "KS", "spoken": "KS"}
    assert proxy.is_drained()


@pytest.mark.parametrize(
    ("failure", "code"),
    [(ConnectionLost(), "CR"), (ConnectionDone(), "KH"), (RuntimeError(), "I-")],
)
def test_lost(
    proxy: TendedProxy, server: Server, failure: Exception, code: str
) -> None:
    """A socket that fails, a reactor that stops and a bug each have their code."""
    mapped = proxy.serve(wait_for_client=True)
    proxy.connect(mapped, " silent")
    handshake_of(mapped).connectionLost(Failure(failure))
    assert proxy.endings == {" silent": code}
    assert proxy.is_drained()


def test_bug(
    proxy: TendedProxy, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in a handshake costs its own connection, and leaves nothing behind."""
    mapped = proxy.serve(wait_for_client=True)
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(ClientHandshake, "_peek", lambda self, most: 1 // 0)
        proxy.connect(mapped, "c")
    assert proxy.endings == {"c": "I-"}
    assert proxy.is_drained()
