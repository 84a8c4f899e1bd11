"""Which upstreams are much slower than their peers."""

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from lbconsul.config.latency import SlowRule
from lbconsul.proxy.slow_upstreams import slow_ones
from lbconsul.stats.http import FIRST_BYTE


def counts(*seconds: float) -> list[int]:
    """These times, by their length."""
    found = [0] * (len(FIRST_BYTE) + 1)
    for each in seconds:
        found[bisect_left(FIRST_BYTE, each)] += 1
    return found


FAST, SLOW = counts(*[0.06] * 100), counts(*[0.06] * 90, *[4.0] * 10)
P99 = SlowRule(99, 2.0)


def slow(rule: SlowRule, **of: list[int]) -> list[str]:
    """The names of slow ones, in order."""
    return [each.key for each in slow_ones(rule, FIRST_BYTE, of)]


def test_one_that_is_slow() -> None:
    """It is told with its time and that of its peers."""
    [found] = slow_ones(P99, FIRST_BYTE, {"a": FAST, "b": SLOW, "c": FAST})
    words = found.in_words(P99, "first bytes")
    assert (found.key, words) == ("b", "p99 of first bytes 4.75 s, peers 0.0995 s")


def test_those_that_are_not() -> None:
    """A service that is slow as a whole has no slow instance, nor has one whose others
    are not asked, or that was asked too little, or was slow a few times only."""
    assert slow(P99, a=SLOW, b=SLOW, c=SLOW) == []
    assert slow(P99, a=SLOW) == []
    assert slow(P99, a=SLOW, b=counts(*[0.06] * 49)) == []
    assert slow(P99, a=counts(*[4.0] * 49), b=FAST, c=FAST) == []
    assert slow(P99, a=counts(*[0.06] * 98, 4.0, 4.0), b=FAST) == []
    assert slow(SlowRule(50, 2.0), a=SLOW, b=FAST) == []
    assert slow(SlowRule(99, 2.0, factor=99.0), a=SLOW, b=FAST) == []


def test_order() -> None:
    """The slowest comes first: how many may be ejected is decided elsewhere."""
    slower = counts(*[9.0] * 100)
    assert slow(P99, a=SLOW, b=slower, c=FAST, d=FAST, e=FAST) == ["b", "a"]


TIMES = st.lists(st.floats(0.0, 40.0), min_size=10, max_size=60)


@given(
    st.dictionaries(st.integers(0, 9), TIMES, max_size=6),
    st.sampled_from([50, 90, 99]),
    st.floats(0.001, 10.0),
)
def test_no_more_than_the_rule_says(
    times: dict[int, list[float]], percentile: int, longer: float
) -> None:
    """Whatever is called slow has more answers beyond the time than the rule allows,
    and is slower than the middle one of its peers."""
    rule = SlowRule(percentile, longer, 1.5, 10)
    of = {key: counts(*each) for key, each in times.items()}
    for each in slow_ones(rule, FIRST_BYTE, of):
        own = times[each.key]
        over = sum(time > longer for time in own)
        assert over >= 3 and over > (100 - percentile) / 100 * len(own)
        assert each.own > 1.5 * each.peers
