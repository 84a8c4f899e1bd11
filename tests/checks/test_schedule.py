"""When checks are due."""

import random

from hypothesis import given
from hypothesis import strategies as st

from lbconsul.checks.schedule import Schedule, pause

CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.floats(0.5, 3600), st.floats(0.1, 3600), st.integers(0, 99), CHANCE)
def test_pause_is_the_interval_give_or_take_the_jitter(
    interval: float, fast: float, percent: int, chance: float
) -> None:
    """Never shorter nor longer; and in doubt never longer than usually."""
    jitter = percent / 100
    usual = pause(interval, fast, jitter, chance, is_settled=True)
    slack = 1e-9 * interval
    assert interval * (1 - jitter) - slack <= usual <= interval * (1 + jitter) + slack
    assert pause(interval, fast, jitter, chance, is_settled=False) <= usual + slack


def run(
    schedule: Schedule[int], interval: float, seconds: float, step: float = 0.05
) -> dict[int, list[float]]:
    """When each target is checked; each waits an interval after that."""
    begun = dict[int, list[float]]()
    now = 0.0
    while now < seconds:
        for target in schedule.due(now, 1000):
            begun.setdefault(target, []).append(now)
            schedule.add(target, now + interval, is_urgent=False)
        now += step
    return begun


def test_rate_bounds_what_begins() -> None:
    """However many are due, no more begin than the rate allows, and each has its
    turn.
    """
    schedule = Schedule[int](rate=100.0)
    for number in range(1000):
        schedule.add(number, 0.0, is_urgent=True)
    begun = run(schedule, 1.0, 20.0)
    total = sum(map(len, begun.values()))
    assert 1900 <= total <= 2100
    assert len(begun) == 1000
    assert schedule.late(20.0) > 5.0


def test_all_are_checked_in_time_where_the_rate_allows() -> None:
    """Each is checked an interval after the time before."""
    chance = random.Random(1).random
    schedule = Schedule[int](rate=400.0)
    for number in range(100):
        schedule.add(number, chance() * 10, is_urgent=False)
    begun = run(schedule, 10.0, 41.0)
    assert {len(each) for each in begun.values()} <= {4, 5}
    assert schedule.late(0.0) == 0.0


def test_urgent_ones_have_most_of_the_rate_and_not_all() -> None:
    """Neither the known nor the doubtful ones starve."""
    schedule = Schedule[int](rate=100.0)
    for number in range(1000):
        schedule.add(number, 0.0, is_urgent=number % 2 == 0)
    first = schedule.due(0.0, 1000)
    assert len(first) == 100
    assert sum(each % 2 == 0 for each in first) == 75


def test_room_bounds_what_begins() -> None:
    """With few of them under way no more begin; none without room."""
    schedule = Schedule[int](rate=100.0)
    for number in range(10):
        schedule.add(number, 0.0, is_urgent=False)
    assert len(schedule.due(0.0, 3)) == 3
    assert schedule.due(0.0, 0) == []
    assert len(schedule) == 7


def test_discarded_and_repeated() -> None:
    """A target that was discarded is not due; one that was added again is, once."""
    schedule = Schedule[str](rate=100.0)
    schedule.add("a", 1.0, is_urgent=False)
    schedule.add("b", 1.0, is_urgent=False)
    schedule.add("b", 2.0, is_urgent=True)
    schedule.discard("a")
    assert schedule.late(1.5) == 0.0
    assert schedule.due(1.5, 9) == []
    assert schedule.late(2.5) == 0.5
    assert schedule.due(2.5, 9) == ["b"]
    assert (len(schedule), schedule.late(9.0)) == (0, 0.0)


def test_discarded_ones_take_nothing_of_the_rate() -> None:
    """The others have their turn."""
    schedule = Schedule[int](rate=2.0)
    for number in range(10):
        schedule.add(number, 0.0, is_urgent=False)
    for number in range(8):
        schedule.discard(number)
    assert schedule.due(1.0, 9) == [8, 9]


def test_memory_is_bounded_however_often_targets_change() -> None:
    """What was discarded is forgotten long before it would have been due."""
    schedule = Schedule[int](rate=1.0)
    for number in range(10_000):
        schedule.add(number, 3600.0, is_urgent=False)
        schedule.discard(number)
    assert len(schedule._routine) < 200


def test_clock_that_is_set_back_gives_nothing() -> None:
    """The rate is of time that passes."""
    schedule = Schedule[int](rate=1.0)
    for number in range(3):
        schedule.add(number, 0.0, is_urgent=False)
    assert len(schedule.due(100.0, 9)) == 1
    assert schedule.due(50.0, 9) == []
