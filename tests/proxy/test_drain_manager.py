"""Connections that are closed since others should have their clients."""

import socket
from typing import Any, cast

import pytest
from attrs import define

from lbconsul.balance.instance import Health, Instance
from lbconsul.balance.pool_spec import PoolSpec, ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.balance.upstream import Lease
from lbconsul.config.model import Drain, Mapping
from lbconsul.net.periodic import EVERY
from lbconsul.proxy.drain_manager import (
    DrainManager,
    Session,
    least_recently_active,
)
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.targets import failover_spec
from tests.support.instances import an_upstream, instances, name_of
from tests.support.tended_proxy import Server, TendedProxy

#: The drain timeout of most of these, and the part of it over which connections
#: are closed, in seconds.
DRAIN = 10.0
SPREAD = 1.0


@define(eq=False)
class Held:
    """The parts of a relay on which closing depends."""

    lease: Lease
    moved_at: float


def _sick(server: Server) -> Instance:
    return server.instance(health=Health("critical"))


def _of(proxy: TendedProxy, name: str) -> list[str]:
    """How those connections ended that were joined to this instance."""
    return [proxy.endings[each] for each, of in proxy.left.items() if of == name]


@pytest.mark.parametrize("how", ["deregistered", "in maintenance", "of weight 0"])
def test_connections_of_a_removed_instance(
    proxy: TendedProxy, pair: tuple[Server, Server], how: str
) -> None:
    """
    Connections to an instance that left live on for the most of the drain timeout,
    and then end little by little; those to others are left alone.
    """
    one, other = pair
    mapped = proxy.serve(drain_timeout=DRAIN)
    proxy.connect_all(mapped, map(str, range(40)))
    leaver = {
        "deregistered": [],
        "in maintenance": [one.instance(health=Health("maintenance"))],
        "of weight 0": [one.instance(passing_weight=0)],
    }[how]
    proxy.register(*leaver, other.instance())
    proxy.pass_time(DRAIN - SPREAD - 0.1)
    assert proxy.endings == {}
    proxy.pass_time(SPREAD / 2 + 0.1)
    assert 5 <= len(proxy.endings) <= 15
    proxy.pass_time(SPREAD / 2)
    assert _of(proxy, "a") == ["KI"] * 20
    assert _of(proxy, "b") == []
    proxy.pass_time(DRAIN)
    assert mapped.open == 20
    assert max(proxy.times.values()) <= DRAIN


def test_idlest_first(proxy: TendedProxy, pair: tuple[Server, Server]) -> None:
    """Of those to be drained the ones are closed first that nothing moves on."""
    one, other = pair
    proxy.register(one.instance())
    mapped = proxy.serve(drain_timeout=DRAIN, idle_timeout=40.0)
    clients = proxy.connect_all(mapped, "abcdefgh")
    for _ in range(3):
        for name in "bdfh":
            clients[name].sendall(b"x")
        proxy.pass_time(5)
    proxy.register(other.instance())
    proxy.pass_time(DRAIN + EVERY)
    assert sorted([*proxy.endings][:4]) == [*"aceg"]
    assert sorted(proxy.endings) == [*"abcdefgh"]


def test_back_in_time(proxy: TendedProxy, pair: tuple[Server, Server]) -> None:
    """An instance that comes back in time keeps what was not closed by then."""
    one, other = pair
    mapped = proxy.serve(drain_timeout=DRAIN)
    proxy.connect_all(mapped, map(str, range(40)))
    proxy.register(other.instance())
    proxy.pass_time(DRAIN - SPREAD / 2)
    some = len(proxy.endings)
    assert 0 < some < 20
    proxy.register(one.instance(), other.instance())
    proxy.pass_time(2 * DRAIN)
    assert len(proxy.endings) == some
    proxy.register(other.instance())  # and its next drain is a whole one
    proxy.pass_time(DRAIN - SPREAD - 0.1)
    assert len(proxy.endings) == some
    proxy.pass_time(SPREAD + 0.2)
    assert len(proxy.endings) == 20


def test_each_mapping_has_its_drain_timeout(
    proxy: TendedProxy, pair: tuple[Server, Server]
) -> None:
    """
    Connections of several mappings at one instance are closed by each mapping's own
    timeout.
    """
    _, other = pair
    quick, slow = proxy.serve(drain_timeout=1.0), proxy.serve(drain_timeout=DRAIN)
    never = proxy.serve(drain_timeout=0.0)
    proxy.connect_all(quick, ["q1", "q2"])
    proxy.connect_all(slow, ["s1", "s2"])
    proxy.connect_all(never, ["n1", "n2"])
    proxy.register(other.instance())
    proxy.pass_time(EVERY)
    assert [mapped.open for mapped in (quick, slow, never)] == [2, 2, 1]
    proxy.pass_time(1.0)
    assert [mapped.open for mapped in (quick, slow, never)] == [1, 2, 1]
    proxy.pass_time(DRAIN)
    assert [mapped.open for mapped in (quick, slow, never)] == [1, 1, 1]
    assert set(proxy.endings.values()) == {"KI"}


def test_dial_to_one_that_leaves(proxy: TendedProxy) -> None:
    """A connection that is made while its instance leaves is drained like others."""
    server = proxy.server("a")
    mapped = proxy.serve(drain_timeout=DRAIN, max_connections_per_upstream=1)
    proxy.register(server.instance())
    held = proxy.connect(mapped, "0")
    proxy.connect(mapped, "1")
    proxy.leave(held)
    proxy.register(server.instance(passing_weight=0))
    proxy.pass_time(DRAIN + EVERY)
    assert proxy.endings == {"0": "CD", "1": "KI"}


def test_critical(proxy: TendedProxy, pair: tuple[Server, Server]) -> None:
    """Connections to an instance that turns critical live on, for as long as it is."""
    one, other = pair
    mapped = proxy.serve(drain_timeout=DRAIN)
    proxy.connect_all(mapped, "12")
    proxy.register(_sick(one), other.instance())
    proxy.pass_time(5 * DRAIN)
    assert proxy.endings == {}
    proxy.register(other.instance())  # but its drain begins when it is deregistered
    proxy.pass_time(DRAIN - SPREAD - 0.1)
    assert proxy.endings == {}
    proxy.pass_time(SPREAD + 0.2)
    assert _of(proxy, "a") == ["KI"]


def test_close_on_critical(proxy: TendedProxy, pair: tuple[Server, Server]) -> None:
    """Where that is wanted they are closed at once, and only where it is."""
    one, other = pair
    strict, lenient = proxy.serve(close_on_critical=True), proxy.serve()
    proxy.connect_all(strict, [f"s{each}" for each in range(10)])
    proxy.connect_all(lenient, [f"l{each}" for each in range(10)])
    proxy.register(_sick(one), other.instance())
    proxy.pass_time(EVERY)
    assert _of(proxy, "a") == ["KI"] * 5
    assert (strict.open, lenient.open) == (5, 10)
    proxy.register(one.instance(), other.instance())
    proxy.pass_time(60, 1)
    assert (strict.open, lenient.open) == (5, 10)


def test_not_yet(proxy: TendedProxy, pair: tuple[Server, Server]) -> None:
    """For as long as none is to be closed connections are not even looked at."""
    one, other = pair
    mapped = proxy.serve(drain_timeout=DRAIN)
    proxy.connect_all(mapped, map(str, range(4)))
    proxy.register(other.instance())
    proxy.pass_time(EVERY)
    assert list(mapped.tick()) == []
    proxy.register(_sick(one), other.instance())
    proxy.pass_time(EVERY)
    assert list(mapped.tick()) == []
    proxy.register(other.instance())
    proxy.pass_time(DRAIN - SPREAD)
    assert list(mapped.tick()) != []


def test_idlest() -> None:
    """Of many those come first on which nothing has moved for the longest time."""
    upstream = an_upstream()
    pool = Registry(lambda: 0.0).pool(PoolSpec(ServiceQuery("web")))
    times = [float(number * 7919 % 5000) for number in range(5000)]
    held = [Held(Lease(upstream, pool, probing=False), each) for each in times]
    found = [
        each
        for each in least_recently_active(cast(list[Session], held))
        if each is not None
    ]
    assert [each.moved_at for each in found] == sorted(times)
    assert list(least_recently_active([])) == []


def test_close_on_critical_of_the_last_one(proxy: TendedProxy) -> None:
    """That holds for the last upstream, too, whose loss would otherwise be suspect."""
    server = proxy.server("a")
    mapped = proxy.serve(close_on_critical=True)
    proxy.register(server.instance())
    proxy.connect(mapped, "1")
    proxy.register(_sick(server))
    proxy.pass_time(EVERY)
    proxy.connect(mapped, "2")
    assert proxy.endings == {"1": "KI", "2": "SC"}


def _even(
    proxy: TendedProxy, count: int, **options: Any
) -> tuple[MappingProxy, dict[str, socket.socket]]:
    """So many connections, to a and b."""
    mapped = proxy.serve(**options)
    return mapped, proxy.connect_all(mapped, map(str, range(count)))


def _join(proxy: TendedProxy, pair: tuple[Server, Server]) -> Server:
    """A third one joins them."""
    newcomer = proxy.server("c")
    proxy.register(*(each.instance() for each in (*pair, newcomer)))
    return newcomer


def test_rebalance(proxy: TendedProxy, pair: tuple[Server, Server]) -> None:
    """
    After a join connections are closed, at most so many per cent of them a minute,
    until no upstream notably exceeds its fair share, with clients that reconnect.
    """
    mapped, _ = _even(proxy, 60, rebalance=20)
    proxy.pass_time(5, EVERY)
    newcomer = _join(proxy, pair)
    again = 0
    for minute in range(1, 6):
        before = len(proxy.endings)
        for _ in range(240):
            proxy.pass_time(EVERY, EVERY)
            while again < len(proxy.endings):
                proxy.connect(mapped, f"again {again}")
                again += 1
        assert len(proxy.endings) - before <= 0.2 * 60 + 1
        assert len(proxy.endings) >= min(18, 7 * minute)
    assert set(proxy.endings.values()) == {"KB"}
    assert len(proxy.endings) == 18  # 21 and 21 of 60 are within a twentieth
    proxy.reactor.settle()
    assert len(newcomer.heard()) == 18


def test_rebalance_idlest_first(
    proxy: TendedProxy, pair: tuple[Server, Server]
) -> None:
    """Connections without traffic are closed first."""
    mapped, clients = _even(proxy, 12, rebalance=99, idle_timeout=80.0)
    for _ in range(6):
        for name in range(0, 12, 2):
            clients[str(name)].sendall(b"x")
        proxy.pass_time(5, EVERY)
    _join(proxy, pair)
    proxy.pass_time(30, EVERY)
    assert 4 <= len(proxy.endings) <= 6
    assert {int(name) % 2 for name in proxy.endings} == {1}
    assert mapped.open == 12 - len(proxy.endings)


def test_rebalance_is_over(proxy: TendedProxy, pair: tuple[Server, Server]) -> None:
    """Once all is even, what becomes uneven later is left as it is."""
    mapped, _ = _even(proxy, 6, rebalance=99)
    newcomer = _join(proxy, pair)
    held = proxy.connect_all(mapped, ["c1", "c2", "c3"])
    proxy.pass_time(60, 1)
    assert (proxy.endings, newcomer.heard()) == ({}, [*held])
    for each in held.values():
        proxy.leave(each)
    proxy.pass_time(300, 1)
    assert proxy.endings == dict.fromkeys(held, "CD")


def test_rebalance_no_more_than_needed() -> None:
    """However many could be closed at once, no upstream ends below the fair share."""
    now = 0.0
    mapping = Mapping("web", drain=Drain(rebalance=99))
    registry = Registry(lambda: 0.0)
    registry.replace(ServiceQuery("web"), instances("a", "b"))
    failover = registry.failover(failover_spec(mapping))
    [pool] = failover.pools
    parting = DrainManager(failover, mapping, lambda: now)
    one, other = sorted(pool.upstreams(), key=name_of)
    held = [Held(Lease(one, pool, probing=False), 0.0) for _ in range(211)]
    held += [Held(Lease(other, pool, probing=False), 1.0) for _ in range(589)]
    registry.replace(ServiceQuery("web"), instances("a", "b", "c", "d"))
    relays = cast(list[Session], held)
    assert set(parting.due(lambda: relays)) == {None}
    now = 1.0
    found = [each for each in parting.due(lambda: relays) if each is not None]
    closed = [relay.lease.upstream for relay, _ in found]
    assert closed == [one] * 11 + [other] * 2  # 13 a second are 99 % a minute


def test_rebalance_none(proxy: TendedProxy, pair: tuple[Server, Server]) -> None:
    """Without the option a join closes nothing."""
    mapped, _ = _even(proxy, 20)
    newcomer = _join(proxy, pair)
    proxy.pass_time(300, 1)
    assert (proxy.endings, mapped.open, newcomer.heard()) == ({}, 20, [])


def test_rebalance_only_after_a_join(proxy: TendedProxy) -> None:
    """Connections that are uneven for another reason are left alone."""
    one, other = proxy.server("a"), proxy.server("b")
    proxy.register(one.instance())
    uneven = proxy.serve()
    proxy.connect_all(uneven, map(str, range(20)))
    proxy.register(one.instance(), other.instance())
    mapped = proxy.serve(rebalance=99)
    proxy.connect(mapped, "late")
    proxy.pass_time(300, 1)
    assert proxy.endings == {}


def test_rebalance_returned(proxy: TendedProxy) -> None:
    """
    An instance that comes back counts as a join; only this process's connections are
    closed.
    """
    one, other = proxy.server("a"), proxy.server("b")
    proxy.register(one.instance(), other.instance())
    others, mapped = proxy.serve(), proxy.serve(rebalance=99)
    proxy.register(one.instance(), _sick(other))
    proxy.connect_all(others, [f"o{each}" for each in range(10)])
    proxy.connect_all(mapped, map(str, range(10)))
    proxy.register(one.instance(), other.instance())
    proxy.pass_time(600, 1)
    assert (others.open, mapped.open) == (10, 0)
    assert proxy.endings == {str(each): "KB" for each in range(10)}


def test_nothing_to_do(proxy: TendedProxy, pair: tuple[Server, Server]) -> None:
    """Without a join or a leave, connections are not even looked at."""
    proxy.serve()
    mapping = Mapping("web", drain=Drain(rebalance=99))
    failover = proxy.registry.failover(failover_spec(mapping))
    parting = DrainManager(failover, mapping, proxy.reactor.seconds)

    def relays() -> list[Session]:
        raise AssertionError("they were looked at")

    assert list(parting.due(relays)) == []
