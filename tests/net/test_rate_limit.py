"""How many lines a storm may make."""

from hypothesis import given
from hypothesis import strategies as st

from lbconsul.net.rate_limit import TokenBucket, in_words


def _lets(throttle: TokenBucket, now: float, count: int, kind: str = "SC") -> int:
    """How many of so many events at one time may be told."""
    return sum(throttle.lets(now, kind) for _ in range(count))


def test_burst_and_rate() -> None:
    """So many at once, and then so many a second."""
    throttle = TokenBucket(8, 50)
    assert _lets(throttle, 100.0, 1000) == 50
    assert [_lets(throttle, 100.0 + n / 8, 100) for n in range(1, 30)] == [1] * 29
    assert _lets(throttle, 105.0, 1000) == 11
    assert _lets(throttle, 10_000.0, 1000) == 50


def test_calm() -> None:
    """What comes slower than the rate is told, all of it."""
    throttle = TokenBucket(10, 1)
    assert all(throttle.lets(float(now), "SC") for now in range(1000))
    assert throttle.take_withheld() == {}


def test_counts() -> None:
    """The others are counted by their kinds, each of them once."""
    throttle = TokenBucket(1, 2)
    _lets(throttle, 0.0, 5)
    _lets(throttle, 0.0, 2, "PR")
    assert throttle.take_withheld() == {"SC": 3, "PR": 2}
    assert throttle.take_withheld() == {}
    _lets(throttle, 0.0, 1, "PR")
    assert throttle.take_withheld() == {"PR": 1}


def test_clock_that_is_set_back() -> None:
    """A clock that jumps back neither silences it nor opens the gates."""
    throttle = TokenBucket(10, 5)
    assert _lets(throttle, 1000.0, 100) == 5
    assert _lets(throttle, 0.0, 100) == 0
    assert _lets(throttle, 0.25, 100) == 2


@given(
    st.floats(0.1, 100),
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 30)), max_size=50),
)
def test_bound(rate: float, burst: int, storm: list[tuple[float, int]]) -> None:
    """Whenever they come, there are no more than a burst and the rate; all count."""
    throttle = TokenBucket(rate, burst)
    now, told, total = 50.0, 0, 0
    for pause, count in storm:
        now += pause
        told += _lets(throttle, now, count)
        total += count
    assert told <= burst + rate * (now - 50.0) + 0.001
    assert told + throttle.take_withheld().get("SC", 0) == total


def test_in_words() -> None:
    """What there is most of comes first."""
    assert in_words({"PR": 34, "SC": 1200}) == "1200 SC, 34 PR"
    assert in_words({"b": 1, "a": 1}) == "1 a, 1 b"
