"""Upstreams that get no new connections, and still have old ones."""

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.draining import Draining, to_close
from lbconsul.balance.pool_spec import InstanceFilter, PoolSpec, ServiceQuery
from lbconsul.balance.standing import GONE
from lbconsul.balance.upstream import Lease, Load
from tests.support.instances import an_instance
from tests.support.stage import WEB, Stage


def _leave(lease: Lease) -> tuple[float, bool] | None:
    """Since when the connection's instance leaves, and whether it is critical."""
    leave = lease.leave()
    return None if leave is None else (leave.since, leave.critical)


def _held() -> tuple[Stage, Lease]:
    """One connection to an instance, an hour ago."""
    stage = Stage()
    stage.answer("a")
    lease = stage.lease()
    stage.now += 3600
    return stage, lease


def test_stays() -> None:
    """A serving upstream never drains, whatever its weight or check turns to."""
    stage, lease = _held()
    stage.answer(an_instance("a", weight=5, status="warning"))
    assert _leave(lease) is None
    assert not stage.pool().leaves


@pytest.mark.parametrize("how", ["gone", "maintenance", "weight"])
def test_removed_or_drained_by_hand(how: str) -> None:
    """A removed or manually drained upstream drains from that moment on."""
    stage, lease = _held()
    if how == "gone":
        stage.answer()
    elif how == "weight":
        stage.answer(an_instance("a", own_weight=0))
    else:
        stage.turn("a", "maintenance")
    since = stage.now
    stage.later(60)
    assert _leave(lease) == (since, False)
    assert stage.pool().leaves


def test_critical() -> None:
    """
    A critical upstream does not drain; `close-on-critical` may close its connections.
    """
    stage, lease = _held()
    stage.turn("a", "critical")
    assert _leave(lease) == (stage.now, True)


def test_a_warning_that_does_not_do() -> None:
    """Where only passing ones serve, connections to one with a warning live on: it
    is neither critical nor drained.
    """
    stage = Stage(
        PoolSpec(ServiceQuery("web"), InstanceFilter(health=frozenset({"passing"})))
    )
    stage.answer("a")
    lease = stage.lease()
    stage.turn("a", "warning")
    assert stage.chosen() == set()
    assert _leave(lease) is None
    stage.turn("a", "maintenance")
    assert _leave(lease) == (stage.now, False)
    stage.turn("a", "warning")
    assert _leave(lease) is None


def test_the_same_again() -> None:
    """
    Another answer that says the same in other words does not restart the drain time.
    """
    stage, lease = _held()
    stage.turn("a", "maintenance")
    since = stage.now
    stage.later(10)
    stage.answer(an_instance("a", status="maintenance", reason="a new disk"))
    stage.later(10)
    stage.answer(an_instance("a", own_weight=0))
    stage.later(10)
    stage.answer()
    assert _leave(lease) == (since, False)


def test_critical_and_then_removed() -> None:
    """A critical upstream that is removed drains from then on."""
    stage, lease = _held()
    stage.turn("a", "critical")
    stage.later(10)
    stage.answer()
    assert _leave(lease) == (stage.now, False)


def test_removed_and_back_critical() -> None:
    """An upstream that was removed, and is back but critical, drains no more."""
    stage, lease = _held()
    stage.answer()
    stage.later(10)
    stage.answer(an_instance("a", status="critical"))
    assert _leave(lease) == (stage.now, True)


@pytest.mark.parametrize("how", ["gone", "maintenance", "critical"])
def test_back_again(how: str) -> None:
    """An upstream that serves again in time keeps its old connections."""
    stage, lease = _held()
    if how == "gone":
        stage.answer()
    else:
        stage.turn("a", how)  # type: ignore[arg-type]
    stage.later(10)
    stage.answer("a")
    assert _leave(lease) is None
    assert not stage.pool().leaves
    stage.answer()
    assert _leave(lease) == (stage.now, False)


def test_other_mappings() -> None:
    """An instance may leave one mapping, by its tag, and serve in another."""
    stage = Stage(WEB, PoolSpec(ServiceQuery("web"), InstanceFilter(tag="v2")))
    stage.answer(an_instance("a", tags=["v2"]))
    leases = [stage.lease(number=number) for number in (0, 1)]
    stage.answer("a")
    assert _leave(leases[0]) is None
    assert _leave(leases[1]) == (stage.now, False)


def test_over() -> None:
    """When its last connection is over, it is forgotten; nothing is kept of it."""
    stage, lease = _held()
    stage.answer()
    stage.later(1)
    assert stage.pool().leaves
    gone = weakref.ref(lease.upstream.load)
    lease.end()
    stage.later(1)
    assert not stage.pool().leaves
    gc.disable()
    try:
        del lease
        assert gone() is None
    finally:
        gc.enable()


def test_who_has_no_connection() -> None:
    """An upstream that leaves without connections is forgotten at the next tick."""
    leaving, load = Draining(), Load()
    leaving.begin(load, GONE, 5.0)
    assert leaving
    leaving.tick()
    assert not leaving
    leaving.end(load)
    leaving.tick()
    assert leaving.find(load) is None


#: As a gateway asks, in seconds.
STEP = 0.25


def _closed(
    count: int, timeout: float, step: float = STEP, delays: tuple[float, ...] = ()
) -> list[tuple[float, int]]:
    """When, and how many, when asked so often, each time so much late."""
    now, closed, rounds = 0.0, [], 0
    while count:
        late = delays[rounds % len(delays)] if delays else 0.0
        number = to_close(count, 0.0, timeout, now + late, step)
        closed += [(now + late, number)] if number else []
        count -= number
        now += step
        rounds += 1
        assert now <= timeout + 2 * step, "connections are left"
    return closed


def test_over_the_last_tenth() -> None:
    """Of many connections none is closed before nine tenths of the time are over;
    then about as many each time.
    """
    closed = _closed(6000, 300)
    assert closed[0][0] == 270
    assert closed[-1][0] < 300
    assert {number for _, number in closed} == {50}
    assert len(closed) == 120


def test_few() -> None:
    """Of few connections not all are closed at the same moment either."""
    closed = _closed(5, 300)
    assert [number for _, number in closed] == [1] * 5
    assert closed[0][0] >= 270


def test_at_the_end() -> None:
    """When the time is over, all are closed that are left."""
    assert to_close(7, 100.0, 60, 160.0, STEP) == 7
    assert to_close(7, 100.0, 60, 1000.0, STEP) == 7


def test_no_time() -> None:
    """Without any time all are closed at once."""
    assert to_close(7, 100.0, 0, 100.0, STEP) == 7


def test_nobody() -> None:
    """Where there is no connection there is nothing to close."""
    assert to_close(0, 0.0, 60, 59, STEP) == to_close(0, 0.0, 60, 99, STEP) == 0


@given(
    count=st.integers(0, 5000),
    timeout=st.floats(0, 1000),
    step=st.floats(0.05, 5),
    delays=st.lists(st.floats(0, 0.04), max_size=5),
)
def test_nobody_is_left(
    count: int, timeout: float, step: float, delays: list[float]
) -> None:
    """However many, however long, however often: none is closed before its time,
    and none is left after it.
    """
    closed = _closed(count, timeout, step, tuple(delays))
    assert sum(number for _, number in closed) == count
    for when, number in closed:
        assert when >= timeout * 0.9 - 1e-6
        assert number > 0
    # Evenly: no time more than twice what it would be on average, but for the end.
    asked = max(1, int(timeout * 0.1 / step) - 1)
    assert all(number <= 2 * count / asked + 1 for _, number in closed[:-1])
