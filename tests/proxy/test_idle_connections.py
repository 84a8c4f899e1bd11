"""Idle connections: which are used again, and when they are closed."""

import pytest
from attrs import define
from twisted.internet.task import Clock

from lbconsul.balance.instance import Instance
from lbconsul.balance.upstream import Upstream
from lbconsul.net.sweeper import Sweeper
from lbconsul.proxy.idle_connections import IdleConnections
from tests.support.upstreams import WEB, instance, registry_of


@define(eq=False)
class Connection:
    """A connection that only knows whether it is closed."""

    upstream: Upstream
    instance: Instance
    keeps: float = 4.0
    idle_since: float = 0.0
    is_closed: bool = False

    def close(self) -> None:
        self.is_closed = True


class Stage:
    """Idle connections to the upstreams a and b."""

    def __init__(self, most: int = 100) -> None:
        self.registry = registry_of(instance("a", 1), instance("b", 2))
        self.a, self.b = self.registry.pool(WEB).upstreams()
        self.sweeper = Sweeper(Clock(), 1.0)
        self.idle = IdleConnections[Connection](most, 4.0, self.sweeper)

    def put(self, upstream: Upstream, now: float, keeps: float = 4.0) -> Connection:
        """Keep a new connection."""
        connection = Connection(upstream, upstream.instance, keeps)
        self.idle.put(connection, now)
        return connection


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
    stage.idle.check(3.0)
    assert (short.is_closed, long.is_closed) == (True, False)
    stage.idle.check(5.0)
    assert long.is_closed
    assert stage.idle not in stage.sweeper.items


def test_connections_to_what_left_are_closed(stage: Stage) -> None:
    """An instance that is deregistered keeps no idle connection."""
    gone, kept = stage.put(stage.a, 1.0), stage.put(stage.b, 1.0)
    stage.registry.replace(WEB.query, (instance("b", 2),))
    stage.idle.check(1.5)
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
