"""How often something may happen."""

from hypothesis import given
from hypothesis import strategies as st

from lbconsul.net.rate_limit import TokenBucket


def _allowed(bucket: TokenBucket, now: float, count: int) -> int:
    """How many of so many events at one time are allowed."""
    return sum(bucket.allows(now) for _ in range(count))


def test_burst_and_rate() -> None:
    """A burst is allowed at once, and then so many a second."""
    bucket = TokenBucket(8, 50)
    assert _allowed(bucket, 100.0, 1000) == 50
    assert [_allowed(bucket, 100.0 + n / 8, 100) for n in range(1, 30)] == [1] * 29
    assert _allowed(bucket, 105.0, 1000) == 11
    assert _allowed(bucket, 10_000.0, 1000) == 50


def test_calm() -> None:
    """Calls slower than the rate are all allowed."""
    bucket = TokenBucket(10, 1)
    assert all(bucket.allows(float(now)) for now in range(1000))


def test_clock_that_is_set_back() -> None:
    """A clock that jumps back neither closes the gates nor opens them."""
    bucket = TokenBucket(10, 5)
    assert _allowed(bucket, 1000.0, 100) == 5
    assert _allowed(bucket, 0.0, 100) == 0
    assert _allowed(bucket, 0.25, 100) == 2


@given(
    st.floats(0.1, 100),
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 30)), max_size=50),
)
def test_bound(rate: float, burst: int, storm: list[tuple[float, int]]) -> None:
    """Whenever they come, no more are allowed than a burst and the rate."""
    bucket = TokenBucket(rate, burst)
    now, allowed = 50.0, 0
    for pause, count in storm:
        now += pause
        allowed += _allowed(bucket, now, count)
    assert allowed <= burst + rate * (now - 50.0) + 0.001


def test_a_burst_then_waits() -> None:
    """A caller that takes a token before it is there gets the time to wait."""
    bucket = TokenBucket(rate=2.0, burst=3.0)
    assert [bucket.take(10.0) for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 1.0]


def test_fills_again() -> None:
    """After a quiet time there is another burst, and not a greater one."""
    bucket = TokenBucket(rate=1.0, burst=2.0)
    for _ in range(2):
        bucket.take(0.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [0.0, 0.0, 1.0]


def test_what_need_not_be() -> None:
    """An event that is not allowed takes no token from others."""
    bucket = TokenBucket(rate=1.0, burst=2.0)
    assert [bucket.allows(0.0) for _ in range(4)] == [True, True, False, False]
    assert [bucket.allows(1.0) for _ in range(2)] == [True, False]


@given(
    st.lists(st.floats(0.0, 5.0), min_size=20, max_size=60),
    st.floats(0.5, 10.0),
    st.integers(1, 5),
)
def test_never_faster(idle: list[float], rate: float, burst: int) -> None:
    """A caller that waits as long never exceeds the burst and the rate."""
    bucket, now = TokenBucket(rate, burst), 0.0
    for taken, seconds in enumerate(idle, 1):
        now += seconds
        now += bucket.take(now)
        assert taken <= burst + rate * now + 1e-6
