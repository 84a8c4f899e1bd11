"""What is rare in the life of a connection, whichever way it came to its upstream."""

import errno
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import define

from lbconsul.net.connect import connect
from lbconsul.net.sockets import BareSocket, queued
from lbconsul.proxy import dialer
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.wait_queue import LOOK_EVERY
from tests.support import loopback
from tests.support.loopback import receive, receive_all, reset, stuff
from tests.support.tended_proxy import Server, TendedProxy
from tests.support.upstreams import instance

#: Less than the time after which an idle connection ends, in seconds.
IDLE, HALF_CLOSED, MAX_AGE = 30.0, 10.0, 100.0

#: What a client says first: its name.
NAME = b"client"


@define(eq=False)
class Life:
    """A client's connection, and the two peers that the test plays."""

    proxy: TendedProxy
    mapped: MappingProxy
    client: socket.socket
    upstream: socket.socket

    def turn(self) -> None:
        """Let what was sent arrive."""
        self.proxy.reactor.settle()

    def is_half_closed(self) -> bool:
        """Whether the end of one direction has arrived at the other peer."""
        return bool(self._relay.is_half_closed) and self.has_arrived()

    def has_arrived(self) -> bool:
        """Whether both peers have acknowledged all that was sent on.

        They do so late at times, and that counts as progress of the connection.
        """
        relay = self._relay
        return not (queued(relay.client.stream) + queued(relay.upstream.stream))

    @property
    def _relay(self) -> Any:
        session: Any = next(iter(self.mapped.sessions))
        return session._relay


def _at_once(proxy: TendedProxy, patch: pytest.MonkeyPatch) -> Life:
    """The upstream accepts at once."""
    server = proxy.server("a")
    proxy.register(server.instance())
    return _joined(proxy, _served(proxy), server)


def _in_time(proxy: TendedProxy, patch: pytest.MonkeyPatch) -> Life:
    """The connect takes a turn of the reactor, as over a network."""

    def begun(address: str, port: int) -> tuple[BareSocket | None, int]:
        sock, code = connect(address, port)
        return sock, code or errno.EINPROGRESS

    patch.setattr(dialer, "connect", begun)
    return _at_once(proxy, patch)


def _after_a_refusal(proxy: TendedProxy, patch: pytest.MonkeyPatch) -> Life:
    """The first connect is refused, and a second one is made."""
    server, ports = proxy.server("a"), [proxy.refusing("b").port]
    proxy.register(server.instance(), instance("b", ports[0]))

    def refused_once(address: str, port: int) -> tuple[BareSocket | None, int]:
        return connect(address, ports.pop() if ports else _port(server))

    patch.setattr(dialer, "connect", refused_once)
    return _joined(proxy, _served(proxy), server)


def _after_waiting(proxy: TendedProxy, patch: pytest.MonkeyPatch) -> Life:
    """Every upstream is full at first, and the client waits."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = _served(proxy, max_connections_per_upstream=1)
    other = proxy.connect(mapped, "other")
    server.sock.accept()[0].close()
    client = proxy.connect(mapped, NAME.decode())
    proxy.leave(other)
    proxy.pass_time(2 * LOOK_EVERY, LOOK_EVERY)
    return _life(proxy, mapped, client, server)


def _port(server: Server) -> int:
    port: int = server.sock.getsockname()[1]
    return port


WAYS = [_at_once, _in_time, _after_a_refusal, _after_waiting]


def _served(proxy: TendedProxy, **options: Any) -> MappingProxy:
    return proxy.serve(
        idle_timeout=IDLE,
        half_close_timeout=HALF_CLOSED,
        max_age=MAX_AGE,
        **options,
    )


def _joined(proxy: TendedProxy, mapped: MappingProxy, server: Server) -> Life:
    client = proxy.connect(mapped, NAME.decode())
    return _life(proxy, mapped, client, server)


def _life(
    proxy: TendedProxy, mapped: MappingProxy, client: socket.socket, server: Server
) -> Life:
    proxy.reactor.settle()
    server.sock.setblocking(True)
    upstream = proxy._held.enter_context(loopback.accept(server.sock))
    assert receive(upstream, len(NAME)) == NAME
    assert mapped.open == 1
    return Life(proxy, mapped, client, upstream)


def upstream_closes_first(life: Life) -> int:
    """A whole answer, and then the end of both sides."""
    life.upstream.sendall(b"answer")
    life.upstream.close()
    life.turn()
    assert receive_all(life.client) == b"answer"
    life.client.close()
    return 6


def client_closes_first(life: Life) -> int:
    """An answer to a client that has ended its direction."""
    life.client.shutdown(socket.SHUT_WR)
    life.turn()
    assert life.upstream.recv(1) == b""
    life.upstream.sendall(b"answer")
    life.upstream.close()
    life.turn()
    assert receive_all(life.client) == b"answer"
    return 6


def slow_client(life: Life) -> int:
    """An answer that the client takes only later: part of a send is pending."""
    size = stuff(life.upstream, 1 << 26)
    for _ in range(20):
        life.turn()
        size += stuff(life.upstream, 1 << 26)
    life.upstream.close()
    life.client.settimeout(loopback.PATIENCE)
    left = size
    life.client.setblocking(False)
    while left:
        try:
            left -= len(life.client.recv(1 << 20))
        except BlockingIOError:
            life.turn()
    life.turn()
    life.client.close()
    return size


def client_resets(life: Life) -> int:
    """A client that has not read all its answer resets."""
    size = stuff(life.upstream, 1 << 16)
    life.turn()
    reset(life.client)
    return size


def upstream_resets(life: Life) -> int:
    """The upstream resets."""
    reset(life.upstream)
    return 0


def nothing_moves(life: Life) -> int:
    """The connection is idle for too long."""
    life.proxy.reactor.turn_until(life.has_arrived)
    life.proxy.pass_time(1.5 * IDLE, 0.5)
    return 0


def half_a_connection(life: Life) -> int:
    """One side has ended, and the other says nothing for too long."""
    life.upstream.shutdown(socket.SHUT_WR)
    life.proxy.reactor.turn_until(life.is_half_closed)
    life.proxy.pass_time(1.5 * HALF_CLOSED, 0.5)
    return 0


def too_old(life: Life) -> int:
    """Bytes move all the time, until the connection is too old."""
    sent = 0
    while not life.proxy.endings.get(NAME.decode()):
        life.proxy.reactor.turn_until(life.has_arrived)
        life.upstream.send(b"x")
        life.client.send(b"y")
        sent += 1
        life.proxy.pass_time(2.0, 0.5)
        assert sent < MAX_AGE
    return sent


def stopped(life: Life) -> int:
    """The proxy closes all its connections."""
    life.mapped.close_connections()
    return 0


ENDS: dict[Callable[[Life], int], str] = {
    upstream_closes_first: "--",
    client_closes_first: "--",
    slow_client: "--",
    client_resets: "CD",
    upstream_resets: "SD",
    nothing_moves: "cD",
    half_a_connection: "sD",
    too_old: "KA",
    stopped: "KH",
}


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__.strip("_"))
def life(
    request: pytest.FixtureRequest, proxy: TendedProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Life]:
    """A connection that came to its upstream on one of the ways."""
    yield request.param(proxy, monkeypatch)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_end(life: Life, end: Callable[[Life], int]) -> None:
    """A connection ends as it should, counted exactly, and leaves nothing behind."""
    stats, before = life.mapped.stats, life.mapped.stats.received
    sent = end(life)
    life.turn()
    assert life.proxy.endings[NAME.decode()] == ENDS[end]
    assert stats.accepted == stats.endings.total()
    if end is not client_resets:  # the rest of whose answer is not read
        assert stats.sent == sent
    assert stats.received - before == len(NAME) + (sent if end is too_old else 0)
    assert sum(each.sent for each in stats.accounts.values()) == stats.sent
    assert sum(each.received for each in stats.accounts.values()) == stats.received
    assert sum(each.total for each in stats.accounts.values()) == sum(
        stats.connect.counts
    )
    assert sum(stats.connection.counts) == sum(stats.connect.counts)
    assert life.proxy.is_drained()
