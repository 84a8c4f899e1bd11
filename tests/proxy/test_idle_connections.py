"""Idle connections: which are used again, and when they are closed."""

import pytest
from twisted.internet.task import Clock

from lbconsul.balance.upstream import Upstream
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.proxy.idle_connections import IdleConnections, IdleStores
from tests.support.idle_connection import IdleConnection as Connection
from tests.support.upstreams import WEB, instance, registry_of


class Stage:
    """Idle connections to the upstreams a and b."""

    def __init__(self, most: int = 100) -> None:
        self.registry = registry_of(instance("a", 1), instance("b", 2))
        self.a, self.b = self.registry.pool(WEB).upstreams()
        self.clock = Clock()
        self.stores = IdleStores(self.clock, TimeSlicer(self.clock))
        self.idle: IdleConnections[Connection] = self.stores.row(most, 4.0, "plain")

    def put(self, upstream: Upstream, now: float, keeps: float = 4.0) -> Connection:
        """Keep a new connection."""
        connection = Connection(upstream, upstream.instance, keeps, keeper=self.idle)
        self.idle.put(connection, now)
        return connection

    def sweep(self, now: float) -> None:
        """Let rounds run until then."""
        while self.clock.seconds() < now:
            self.clock.advance(0.25)


@pytest.fixture
def stage() -> Stage:
    """A stage."""
    return Stage()


def test_the_newest_is_used_first(stage: Stage) -> None:
    """Of several connections to an instance, the last one that was used is used."""
    one, two = stage.put(stage.a, 1.0), stage.put(stage.a, 2.0)
    other = stage.put(stage.b, 3.0)
    taken = [stage.idle.take(stage.a, 3.0) for _ in range(3)]
    assert taken == [two, one, None]
    assert stage.idle.count == 1
    assert stage.idle.take(stage.b, 3.0) is other


def test_old_ones_are_not_used(stage: Stage) -> None:
    """A connection that has been idle for too long is closed, not used."""
    old = stage.put(stage.a, 1.0)
    assert stage.idle.take(stage.a, 5.0) is None
    assert old.is_closed
    assert not stage.idle.count


def test_fresh_ones_can_be_asked_for(stage: Stage) -> None:
    """A request that cannot be sent twice gets a connection that was used just now."""
    kept = stage.put(stage.a, 1.0)
    assert stage.idle.take(stage.a, 2.0, 1.0) is None
    assert stage.idle.take(stage.a, 1.9, 1.0) is kept


def test_there_are_only_so_many() -> None:
    """No more connections to an instance are kept than the operator wants."""
    stage = Stage(most=1)
    one, two = stage.put(stage.a, 1.0), stage.put(stage.a, 1.0)
    assert (one.is_closed, two.is_closed) == (False, True)
    none = Stage(most=0)
    assert none.put(none.a, 1.0).is_closed


def test_rounds_close_what_is_over(stage: Stage) -> None:
    """Connections that are too old are closed, though no request comes."""
    short, long = stage.put(stage.a, 1.0, keeps=2.0), stage.put(stage.a, 1.0)
    stage.sweep(3.75)
    assert (short.is_closed, long.is_closed, stage.idle.count) == (True, False, 1)
    stage.sweep(7.0)
    assert (long.is_closed, stage.idle.count) == (True, 0)
    assert not stage.clock.getDelayedCalls()


def test_connections_to_what_left_are_closed(stage: Stage) -> None:
    """An instance that is deregistered keeps no idle connection."""
    gone, kept = stage.put(stage.a, 1.0), stage.put(stage.b, 1.0)
    stage.registry.replace(WEB.query, (instance("b", 2),))
    stage.sweep(1.5)
    assert (gone.is_closed, kept.is_closed) == (True, False)


def test_an_ended_one_is_forgotten(stage: Stage) -> None:
    """A connection that its server has ended is not used again."""
    one, two = stage.put(stage.a, 1.0), stage.put(stage.a, 1.0)
    stage.idle.discard(one)
    stage.idle.discard(one)
    assert stage.idle.take(stage.a, 1.0) is two
    assert not stage.idle.count


def test_all_can_be_closed(stage: Stage) -> None:
    """A mapping that ends closes all, and keeps none from then on."""
    kept = stage.put(stage.a, 1.0)
    stage.idle.close()
    assert kept.is_closed
    assert stage.put(stage.b, 1.0).is_closed
    assert not stage.idle.count


def test_rows_share(stage: Stage) -> None:
    """Routes that connect alike share connections, which count for the last one."""
    kept = stage.put(stage.a, 1.0)
    other: IdleConnections[Connection] = stage.stores.row(100, 4.0, "plain")
    assert other.take(stage.a, 2.0) is kept
    other.put(kept, 2.0)
    assert (stage.idle.count, other.count) == (0, 1)
    unlike: IdleConnections[Connection] = stage.stores.row(100, 4.0, "TLS")
    fewer: IdleConnections[Connection] = stage.stores.row(1, 4.0, "plain")
    assert unlike.take(stage.a, 2.0) is fewer.take(stage.a, 2.0) is None
    assert stage.idle.take(stage.a, 2.0) is kept


def test_the_last_row_closes_them(stage: Stage) -> None:
    """Shared connections outlive a route, until a reload takes the last one."""
    other: IdleConnections[Connection] = stage.stores.row(100, 4.0, "plain")
    kept = stage.put(stage.a, 1.0)
    stage.idle.close()
    stage.idle.close()
    assert not kept.is_closed
    assert other.take(stage.a, 2.0) is kept
    other.put(kept, 2.0)
    other.close()
    assert (kept.is_closed, other.count) == (True, 0)
    assert not stage.clock.getDelayedCalls()
    again: IdleConnections[Connection] = stage.stores.row(100, 4.0, "plain")
    assert again.take(stage.a, 2.0) is None
