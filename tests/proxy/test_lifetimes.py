"""How long connections may live: their greatest age, and the gateway's own end."""

from typing import Any

import pytest

from lbconsul.net.periodic import EVERY
from lbconsul.stats.termination import Termination
from tests.support import loopback
from tests.support.tended_proxy import Server, TendedProxy

#: A drain timeout, and the part of it over which connections are closed, in
#: seconds.
DRAIN = 10.0
SPREAD = 1.0


@pytest.mark.parametrize("age", [2.0, 60.0, 3600.0])
def test_max_age(proxy: TendedProxy, pair: tuple[Server, Server], age: float) -> None:
    """All are closed at about the greatest age, not all at once, busy ones too."""
    mapped = proxy.serve(max_age=age, idle_timeout=2 * age)
    clients = proxy.connect_all(mapped, map(str, range(40)))
    proxy.pass_time(age * 0.89, age / 1000)
    assert proxy.endings == {}
    clients["0"].sendall(b"x")
    proxy.pass_time(age * 0.23, age / 1000)
    assert proxy.endings == {str(each): "KA" for each in range(40)}
    assert 0.9 * age <= min(proxy.times.values())
    assert max(proxy.times.values()) <= 1.1 * age
    assert max(proxy.times.values()) - min(proxy.times.values()) > 0.1 * age
    assert clients["1"].recv(1) == b""
    assert proxy.is_drained()


def test_no_max_age(proxy: TendedProxy, pair: tuple[Server, Server]) -> None:
    """Where none is said nothing looks for it, however long a connection lives."""
    mapped = proxy.serve(idle_timeout=1e6)
    proxy.connect(mapped, "1")
    timers = len(proxy.reactor.getDelayedCalls())
    assert timers == 2  # the upkeep's, and the idle limit's
    proxy.pass_time(1e5, 1000)
    assert proxy.endings == {}


def test_connections_end_by_the_drain_timeout(
    proxy: TendedProxy, pair: tuple[Server, Server]
) -> None:
    """
    Open connections may end by themselves for most of the drain timeout, then they are
    closed.
    """
    mapped = proxy.serve(drain_timeout=DRAIN)
    proxy.connect_all(mapped, map(str, range(40)))
    proxy.pass_time(5)
    mapped.drain()
    mapped.drain()
    proxy.pass_time(DRAIN - SPREAD - 0.1)
    mapped.drain()
    assert mapped.open == 40
    proxy.pass_time(SPREAD / 2 + 0.1)
    assert 10 <= mapped.open <= 30
    proxy.pass_time(SPREAD / 2)
    assert mapped.open == 0
    assert set(proxy.endings.values()) == {"KS"}
    assert proxy.is_drained()


def test_drain_by_a_reload(proxy: TendedProxy, pair: tuple[Server, Server]) -> None:
    """Connections of a removed mapping say so, though the gateway stops meanwhile."""
    mapped = proxy.serve(drain_timeout=DRAIN)
    proxy.connect_all(mapped, map(str, range(4)))
    mapped.drain(Termination.UNMAPPED)
    mapped.drain()
    proxy.pass_time(DRAIN)
    assert set(proxy.endings.values()) == {"KM"}


def test_drain_while_clients_wait(proxy: TendedProxy) -> None:
    """
    Clients that still wait, in the queue or for an answer, are closed with the others.
    """
    with loopback.blackhole() as port:
        server = proxy.server("a")
        proxy.register(server.instance())
        options: dict[str, Any] = {"queue_timeout": 60.0, "connect_timeout": 60.0}
        mapped = proxy.serve(
            drain_timeout=DRAIN, max_connections_per_upstream=1, **options
        )
        clients = proxy.connect_all(mapped, "0123456")
        mapped.drain()
        proxy.leave(clients["0"])
        assert server.heard() == ["0", "1"]  # a place that is free is still given
        proxy.register(server.instance(), server.instance(port=port))
        proxy.pass_time(DRAIN)
    assert mapped.open == 0
    assert proxy.endings == {"0": "CD"} | dict.fromkeys("123456", "KS")
    assert proxy.is_drained()


def test_drain_with_a_queue(proxy: TendedProxy) -> None:
    """The last ones end together: no client is joined just to be closed again."""
    server = proxy.server("a")
    proxy.register(server.instance())
    mapped = proxy.serve(
        drain_timeout=0.0, max_connections_per_upstream=2, queue_timeout=60.0
    )
    proxy.connect_all(mapped, "0123456")
    mapped.drain()
    proxy.pass_time(EVERY)
    assert mapped.open == 0
    assert server.heard() == ["0", "1"]
    assert proxy.is_drained()


def test_drain_without_connections(proxy: TendedProxy) -> None:
    """Where nothing is open nothing happens."""
    mapped = proxy.serve(drain_timeout=DRAIN)
    mapped.drain()
    proxy.pass_time(DRAIN)
    assert mapped.open == 0
    assert proxy.is_drained()
