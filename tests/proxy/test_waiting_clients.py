"""Clients that wait for an instance, from the accept to their end."""

import socket
from typing import Any
from unittest.mock import Mock

import pytest

from lbconsul.balance.failover import Failover
from lbconsul.config.model import WhenEmpty
from lbconsul.net.connect import connect
from lbconsul.proxy.dialer import DialAttempt
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.targets import failover_spec
from lbconsul.proxy.wait_queue import LOOK_EVERY
from tests.support import loopback
from tests.support.tended_proxy import Server, TendedProxy


def _full(
    proxy: TendedProxy, **options: Any
) -> tuple[MappingProxy, Server, socket.socket]:
    """A mapping with one instance, which serves one client at a time; and that one."""
    server = proxy.server("a")
    proxy.register(server.instance())
    limits = {"max_connections_per_upstream": 1, "queue_timeout": 4.0}
    mapped = proxy.serve(**(limits | options))
    return mapped, server, proxy.connect(mapped, "0")


def test_first_come_first_served(proxy: TendedProxy) -> None:
    """
    A waiting client gets the place of a connection that ends, at once and in turn.
    """
    mapped, server, client = _full(proxy)
    clients = [client, *proxy.connect_all(mapped, "123").values()]
    assert mapped.open == 4
    for number, each in enumerate(clients):
        assert server.heard() == [*"0123"[: number + 1]]
        proxy.leave(each)
    assert set(proxy.endings.values()) == {"CD"}
    assert proxy.is_drained()


def test_nobody_overtakes(proxy: TendedProxy) -> None:
    """A new client queues behind the waiting ones, though a place is just free."""
    mapped, server, client = _full(proxy)
    other = proxy.serve(max_connections_per_upstream=1)
    proxy.leave(client)
    held = proxy.connect(other, "other")
    proxy.connect(mapped, "1")
    loopback.reset(held)
    proxy.reactor.settle()  # the line of the first mapping has not looked yet
    proxy.connect(mapped, "2")
    assert server.heard() == ["0", "other", "1"]


def test_another_mappings_connection_ends(proxy: TendedProxy) -> None:
    """A place that another mapping leaves is seen soon."""
    _, server, client = _full(proxy)
    other = proxy.serve(max_connections_per_upstream=1)
    proxy.connect(other, "1")
    proxy.leave(client)
    assert server.heard() == ["0"]
    proxy.pass_time(LOOK_EVERY, LOOK_EVERY)
    assert server.heard() == ["0", "1"]


def test_another_process_connection_ends(proxy: TendedProxy) -> None:
    """
    And so is a place that another process frees, which only the shared count shows.
    """
    mapped, server, client = _full(proxy)
    proxy.connect(mapped, "1")
    [upstream] = proxy.registry.pool(
        failover_spec(mapped.mapping).selections[0]
    ).upstreams()
    upstream.load.add(1)
    proxy.leave(client)
    assert server.heard() == ["0"]
    upstream.load.add(-1)
    proxy.pass_time(LOOK_EVERY, LOOK_EVERY)
    assert server.heard() == ["0", "1"]


@pytest.mark.parametrize(
    ("options", "wait"),
    [
        ({}, 4.0),
        ({"queue_timeout": 0.1}, 0.1),
        ({"queue_timeout": 0.0}, 2.0),
        ({"queue_timeout": 0.0, "connect_timeout": 0.4}, 0.4),
    ],
)
def test_too_long(proxy: TendedProxy, options: dict[str, Any], wait: float) -> None:
    """
    A client that waited for queue-timeout, by default connect-timeout, is closed;
    nothing was read of it.
    """
    mapped, server, client = _full(proxy, **options)
    waiting = proxy.connect(mapped, "1")
    proxy.pass_time(wait - 0.02, 0.01)
    assert proxy.endings == {}
    proxy.pass_time(0.3, 0.01)
    assert proxy.endings == {"1": "sQ"}
    assert wait <= proxy.times["1"] <= wait + max(0.05, min(0.25, wait / 8)) + 0.01
    assert loopback.was_reset(waiting)  # what it said was not read
    assert server.heard() == ["0"]
    proxy.leave(client)
    assert proxy.is_drained()


def test_no_room_in_the_queue(proxy: TendedProxy) -> None:
    """Where the queue is full a client is let go at once; when one goes, it is not."""
    mapped, server, client = _full(proxy, queue_length=2)
    waiting = proxy.connect_all(mapped, [" 1", "2", "3"])
    assert proxy.endings == {"3": "SQ"}
    waiting[" 1"].close()
    proxy.pass_time(0.3)
    assert proxy.endings == {"3": "SQ", " 1": "CQ"}
    proxy.connect_all(mapped, "45")
    assert proxy.endings == {"3": "SQ", " 1": "CQ", "5": "SQ"}
    proxy.leave(client)
    proxy.leave(waiting["2"])
    assert server.heard() == ["0", "2", "4"]


def test_no_queue(proxy: TendedProxy) -> None:
    """With a queue of length 0 no client waits."""
    mapped, _, client = _full(proxy, queue_length=0)
    proxy.connect(mapped, "1")
    assert proxy.endings == {"1": "SQ"}
    proxy.leave(client)
    assert proxy.is_drained()


@pytest.mark.parametrize("name", [" silent", "waiting"])
def test_client_resets(proxy: TendedProxy, name: str) -> None:
    """A client that resets while it waits is gone, whether it spoke or not."""
    mapped, server, client = _full(proxy)
    loopback.reset(proxy.connect(mapped, name))
    proxy.pass_time(0.3)
    assert proxy.endings == {name: "CQ"}
    proxy.leave(client)
    assert server.heard() == ["0"]
    assert proxy.is_drained()


def test_client_leaves_as_its_turn_comes(proxy: TendedProxy) -> None:
    """A client that is gone, but was not looked at yet, ends like any that leaves."""
    mapped, _, client = _full(proxy)
    proxy.connect(mapped, " gone").close()
    third = proxy.connect(mapped, "3")
    proxy.leave(client)
    proxy.pass_time(5)
    assert mapped.open <= 2
    proxy.leave(third)
    mapped.close_connections()
    assert proxy.is_drained()


def test_place_in_the_round_of_a_patrol(proxy: TendedProxy) -> None:
    """
    A client found gone frees its place for another one checked in the same round: that
    one is connected once, whatever their order.
    """
    for number in range(10):
        with loopback.blackhole() as port:
            server = proxy.server("a")
            silent = server.instance(port=port)
            proxy.register(silent)
            mapped = proxy.serve(max_connections_per_upstream=1)
            gone = proxy.connect(mapped, f" {number}")
            waiting = proxy.connect_all(mapped, [f"{number}{each}" for each in "abc"])
            proxy.register(server.instance())
            gone.close()
            proxy.pass_time(0.3)
            proxy.reactor.settle()
            assert server.heard() == [f"{number}a"]
            assert mapped.open == 3
            for each in waiting.values():
                proxy.leave(each)
                proxy.pass_time(0.3)
            mapped.close_connections()
            assert proxy.is_drained()


def test_refused_then_full(proxy: TendedProxy) -> None:
    """A client that one instance refuses waits for the others, if all are full."""
    mapped, server, client = _full(proxy, eject_after=0)
    proxy.register(server.instance(), proxy.refusing("b"))
    waiting = proxy.connect(mapped, "1")
    assert proxy.endings == {}
    proxy.leave(client)
    assert server.heard() == ["0", "1"]
    proxy.leave(waiting)
    assert proxy.is_drained()


def test_refused_when_its_turn_comes(proxy: TendedProxy) -> None:
    """
    A client whose place is at an upstream that refuses meanwhile goes on to the next.
    """
    mapped, server, client = _full(proxy)
    proxy.connect(mapped, "1")
    proxy.register(proxy.refusing("b"), server.instance())
    proxy.pass_time(LOOK_EVERY, LOOK_EVERY)
    assert proxy.endings == {}
    assert mapped.open == 2
    proxy.leave(client)
    assert server.heard() == ["0", "1"]


def test_refused_and_not_in_time(proxy: TendedProxy) -> None:
    """If there is no place at that one either, the queue timeout ends it."""
    mapped, server, client = _full(proxy)
    proxy.connect(mapped, "1")
    proxy.register(proxy.refusing("b"), server.instance())
    proxy.pass_time(4.5)
    assert proxy.endings == {"1": "sQ"}
    proxy.leave(client)
    assert proxy.is_drained()


def test_one_that_refused_is_elsewhere(proxy: TendedProxy) -> None:
    """
    A client that waits for another instance than the one that refused it gets a place
    of that one at its new address, in its turn.
    """
    mapped, server, _ = _full(proxy, eject_after=0, queue_timeout=60.0)
    broken = proxy.refusing("b")
    proxy.register(server.instance(), broken)
    first = proxy.connect(mapped, "1")
    mended = proxy.server("b")
    proxy.register(server.instance(), mended.instance())
    held = proxy.connect_all(mapped, "23")
    assert mended.heard() == ["1"]
    proxy.leave(first)
    assert mended.heard() == ["1", "2"]
    proxy.leave(held["2"])
    assert mended.heard() == ["1", "2", "3"]
    assert server.heard() == ["0"]


def test_everybody_refuses(proxy: TendedProxy) -> None:
    """Many that wait, and are all refused when their turn comes, end one by one."""
    mapped, _, _ = _full(proxy)
    names = [str(each) for each in range(1, 1001)]
    proxy.connect_all(mapped, names)
    assert mapped.open == 1001
    proxy.register(proxy.refusing("b"))
    proxy.reactor.advance(LOOK_EVERY)
    proxy.reactor.turn_until(lambda: len(proxy.endings) == len(names))
    assert proxy.endings == dict.fromkeys(names, "SC")
    mapped.close_connections()
    assert proxy.is_drained()


def test_close_connections(proxy: TendedProxy) -> None:
    """When all end at once no client gets the place of those that do."""
    mapped, server, _ = _full(proxy)
    proxy.connect_all(mapped, [str(each) for each in range(1, 20)])
    mapped.close_connections()
    assert mapped.open == 0
    assert set(proxy.endings.values()) == {"KH"}
    assert len(proxy.endings) == 20
    assert server.heard() == ["0"]
    assert proxy.is_drained()


def test_a_bug_in_one_turn(proxy: TendedProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in one client's turn ends that client, and no other."""
    mapped, server, client = _full(proxy)
    waiting = proxy.connect_all(mapped, "123")
    bugs = [RuntimeError("a bug")]

    def broken(address: str, port: int) -> Any:
        if bugs:
            raise bugs.pop()
        return connect(address, port)

    monkeypatch.setattr("lbconsul.proxy.dialer.connect", broken)
    proxy.leave(client)
    assert proxy.endings == {"1": "I-", "0": "CD"}
    assert server.heard() == ["0", "2"]
    for name in "23":
        proxy.leave(waiting[name])
    assert server.heard() == ["0", "2", "3"]
    assert proxy.is_drained()


def test_bug_in_the_choice(proxy: TendedProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a bug that shows when an instance is chosen."""
    mapped, server, client = _full(proxy)
    waiting = proxy.connect_all(mapped, "12")
    bugs = [RuntimeError("a bug")]
    lease = Failover.lease

    def broken(failover: Failover, *arguments: Any) -> Any:
        if bugs:
            raise bugs.pop()
        return lease(failover, *arguments)

    monkeypatch.setattr(Failover, "lease", broken)
    proxy.leave(client)
    assert proxy.endings == {"1": "I-", "0": "CD"}
    assert server.heard() == ["0", "2"]
    proxy.leave(waiting["2"])
    assert proxy.is_drained()


def test_no_instance_yet(proxy: TendedProxy) -> None:
    """
    With when-empty=wait clients are held while there is no instance, and then served.
    """
    mapped = proxy.serve(when_empty=WhenEmpty(wait=5.0))
    proxy.register()
    clients = proxy.connect_all(mapped, "123")
    proxy.pass_time(4)
    assert (mapped.open, proxy.endings) == (3, {})
    server = proxy.server("a")
    proxy.register(server.instance())
    proxy.pass_time(LOOK_EVERY, LOOK_EVERY)
    proxy.reactor.settle()
    assert server.heard() == ["1", "2", "3"]
    for each in clients.values():
        proxy.leave(each)
    assert proxy.is_drained()


def test_no_instance_in_time(proxy: TendedProxy) -> None:
    """
    Held clients are closed when no instance has come by then; without wait, at once.
    """
    mapped = proxy.serve(when_empty=WhenEmpty(wait=5.0), queue_length=2)
    client = proxy.connect(mapped, "1")
    proxy.connect_all(mapped, "23")
    assert proxy.endings == {"3": "SC"}
    proxy.pass_time(4.9)
    assert proxy.endings == {"3": "SC"}
    proxy.pass_time(0.4)
    assert proxy.endings == {"3": "SC", "1": "SC", "2": "SC"}
    assert loopback.was_reset(client)
    proxy.connect(proxy.serve(), "4")
    assert proxy.endings["4"] == "SC"
    assert proxy.is_drained()


def test_before_the_first_answer(proxy: TendedProxy) -> None:
    """
    Where Consul has not answered yet clients are held, and served once it has; what
    they said was kept for their instance.
    """
    proxy.is_answered = False
    mapped = proxy.serve(connect_timeout=2.0)
    clients = proxy.connect_all(mapped, "12")
    proxy.pass_time(1.5)
    assert (mapped.open, proxy.endings) == (2, {})
    server = proxy.server("a")
    proxy.register(server.instance())
    proxy.is_answered = True
    proxy.pass_time(LOOK_EVERY, LOOK_EVERY)
    proxy.reactor.settle()
    assert server.heard() == ["1", "2"]
    for each in clients.values():
        proxy.leave(each)
    assert proxy.is_drained()


def test_first_answer_without_an_instance(proxy: TendedProxy) -> None:
    """An answer that no instance serves closes them, and later ones at once."""
    proxy.is_answered = False
    mapped = proxy.serve(connect_timeout=2.0)
    proxy.connect(mapped, "1")
    proxy.pass_time(0.5)
    proxy.is_answered = True
    proxy.pass_time(0.3)
    assert proxy.endings == {"1": "SC"}
    proxy.connect(mapped, "2")
    assert proxy.endings == {"1": "SC", "2": "SC"}
    assert proxy.is_drained()


def test_first_answer_with_full_instances(proxy: TendedProxy) -> None:
    """Where the answer has full instances only, clients wait on for one of them."""
    _, server, client = _full(proxy)
    proxy.is_answered = False
    route = proxy.serve(
        connect_timeout=2.0, queue_timeout=4.0, max_connections_per_upstream=1
    )
    proxy.register()
    proxy.connect(route, "1")
    proxy.pass_time(0.5)
    proxy.register(server.instance())
    proxy.is_answered = True
    proxy.pass_time(3.0)
    assert proxy.endings == {}
    proxy.leave(client)
    proxy.pass_time(LOOK_EVERY, LOOK_EVERY)
    assert server.heard() == ["0", "1"]


def test_no_first_answer_in_time(proxy: TendedProxy) -> None:
    """
    They are closed once a mapping has been there for connect-timeout without an answer,
    as listeners accept then; later ones at once.
    """
    proxy.is_answered = False
    mapped = proxy.serve(connect_timeout=2.0)
    proxy.pass_time(1.0)
    proxy.connect(mapped, "1")
    proxy.pass_time(0.9)
    assert proxy.endings == {}
    proxy.pass_time(0.4)
    assert proxy.endings == {"1": "SC"}
    proxy.connect(mapped, "2")
    assert proxy.endings == {"1": "SC", "2": "SC"}
    assert proxy.is_drained()


def test_bug_after_the_first_answer(
    proxy: TendedProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug at that moment costs the client its connection, and leaks nothing."""
    proxy.is_answered = False
    mapped = proxy.serve(connect_timeout=2.0)
    proxy.connect(mapped, "1")
    proxy.is_answered = True
    monkeypatch.setattr(DialAttempt, "start", Mock(side_effect=RuntimeError("a bug")))
    proxy.pass_time(0.3)
    assert proxy.endings == {"1": "I-"}
    assert proxy.is_drained()


def test_no_instance_that_accepts(proxy: TendedProxy) -> None:
    """Only where there is none they wait, not where all there are refused."""
    mapped = proxy.serve(when_empty=WhenEmpty(wait=5.0))
    proxy.register(proxy.refusing("a"))
    proxy.connect(mapped, "1")
    assert proxy.endings == {"1": "SC"}
    assert proxy.is_drained()


def test_client_leaves_where_there_is_no_instance(proxy: TendedProxy) -> None:
    """A client that leaves meanwhile is gone."""
    mapped = proxy.serve(when_empty=WhenEmpty(wait=5.0))
    proxy.connect(mapped, " 1").close()
    proxy.pass_time(0.3)
    assert proxy.endings == {" 1": "CQ"}
    assert proxy.is_drained()


def test_fallback(proxy: TendedProxy) -> None:
    """Where no instance is left, or none accepts, another service serves."""
    web, sorry = proxy.server("a"), proxy.server("sorry")
    proxy.register(sorry.instance(), service="sorry")
    mapped = proxy.serve(when_empty=WhenEmpty(fallback="sorry"), shrink_guard=0)
    proxy.connect(mapped, "1")
    proxy.register(web.instance())
    proxy.connect(mapped, "2")
    proxy.register(proxy.refusing("b"))
    proxy.connect(mapped, "3")
    proxy.reactor.settle()
    assert sorry.heard() == ["1", "3"]
    assert web.heard() == ["2"]
    proxy.register(service="sorry")
    proxy.connect(mapped, "4")
    assert proxy.endings == {"4": "SC"}


def test_datacenters(proxy: TendedProxy) -> None:
    """
    Of several datacenters the first one with an instance serves; it does so again
    when it has had one for a while.
    """
    near, far = proxy.server("near"), proxy.server("far")
    mapped = proxy.serve(dc=("dc1", "dc2"), failback_after=30.0, shrink_guard=0)
    proxy.register(near.instance(), dc="dc1")
    proxy.register(far.instance(), dc="dc2")
    proxy.connect(mapped, "1")
    proxy.register(dc="dc1")
    proxy.connect(mapped, "2")
    proxy.pass_time(60, 1)
    proxy.register(near.instance(), dc="dc1")
    proxy.connect(mapped, "3")
    proxy.pass_time(29, 1)
    proxy.connect(mapped, "4")
    proxy.pass_time(2, 1)
    proxy.connect(mapped, "5")
    proxy.register(dc="dc1")
    proxy.connect(mapped, "6")
    proxy.register(near.instance(), dc="dc1")
    proxy.pass_time(31, 1)  # this counts though no client comes
    proxy.connect(mapped, "7")
    proxy.reactor.settle()
    assert near.heard() == ["1", "5", "7"]
    assert far.heard() == ["2", "3", "4", "6"]
