"""When the connections to an upstream that is left are closed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.departure import Drain, to_close

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
        assert now <= timeout + 2 * step, "somebody is left"
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


@pytest.mark.parametrize("critical", [False, True])
def test_leave(critical: bool) -> None:
    """That an upstream leaves says since when, and whether it is critical."""
    assert Drain(5.0, critical) == Drain(5.0, critical=critical)
    assert not Drain(5.0).critical
