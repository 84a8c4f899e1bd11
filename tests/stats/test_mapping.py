"""What a mapping's connections came to, counted here and told elsewhere."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from attrs import astuple
from hypothesis import given
from hypothesis import strategies as st

from lbconsul.balance.instance import Identity
from lbconsul.stats.mapping import (
    CONNECT,
    CONNECTION,
    CROWD,
    FIRST_BYTE,
    DurationHistogram,
    MappingStats,
)
from tests.support.instances import an_identity

A, B = an_identity("a"), an_identity("b")


def told(figures: MappingStats, listener: MappingStats) -> None:
    """Let `listener` hear what is new, as JSON carries it."""
    listener.heard(json.loads(json.dumps(figures.news())))


def plain(figures: MappingStats) -> Any:
    """All that there is, to be compared."""
    accounts = {
        identity: (each.total, each.received, each.sent, each.failures)
        for identity, each in figures.accounts.items()
    }
    times = (figures.connect, figures.first_byte, figures.connection)
    counts = [each.counts for each in times]
    return (
        figures.accepted,
        figures.received,
        figures.sent,
        figures.endings,
        counts,
        accounts,
    )


class TestTimes:
    """How many took how long."""

    def test_bounds(self) -> None:
        """What took just as long as a bound says is within it, more is beyond."""
        times = DurationHistogram((1.0, 2.0))
        for seconds in (0.0, 1.0, 1.5, 2.0, 2.5, 99.0):
            times.observe(seconds)
        assert times.counts == [2, 2, 2]
        assert times.sum == 106.0

    def test_add(self) -> None:
        """Those of several processes are one."""
        one, other = DurationHistogram((1.0,)), DurationHistogram((1.0,))
        one.observe(0.5)
        other.observe(3.0)
        one.add(other)
        assert (one.counts, one.sum) == ([1, 1], 3.5)
        assert (other.counts, other.sum) == ([0, 1], 3.0)

    def test_bounds_rise(self) -> None:
        """The bounds of each histogram rise."""
        for bounds in (CONNECT, FIRST_BYTE, CONNECTION):
            assert sorted(set(bounds)) == list(bounds)


class TestCounts:
    """One mapping's connections."""

    def test_life(self) -> None:
        """A connection counts for its mapping and for its instance."""
        figures = MappingStats()
        figures.accepted += 3
        figures.failed(A)
        figures.connected(B, 0.25)
        figures.first_byte.observe(0.5)
        figures.moved(B, 4, 1500)
        figures.over(B, 6, 500, 7.0, "--")
        figures.turned_away("SC")
        assert figures.endings == {"--": 1, "SC": 1}
        assert (figures.received, figures.sent) == (10, 2000)
        assert astuple(figures.accounts[A]) == (0, 0, 0, 1, 0.0)
        assert astuple(figures.accounts[B]) == (1, 10, 2000, 0, 0.25)
        assert (figures.connect.sum, figures.connection.sum) == (0.25, 7.0)

    def test_connect_time(self) -> None:
        """Connect times are averaged, what is long past counting less and less."""
        figures = MappingStats()
        figures.connected(A, 1.0)
        figures.connected(A, 2.0)
        assert figures.accounts[A].connect_time == pytest.approx(1.1)
        for _ in range(100):
            figures.connected(A, 3.0)
        assert figures.accounts[A].connect_time == pytest.approx(3.0, abs=0.001)

    def test_average_of_averages(self) -> None:
        """Of two processes the one with more connections says more of their time."""
        one, other = MappingStats(), MappingStats()
        for _ in range(3):
            one.connected(A, 1.0)
        other.connected(A, 5.0)
        other.failed(B)
        total = MappingStats.sum([one, other])
        assert total.accounts[A].connect_time == pytest.approx(2.0)
        assert astuple(total.accounts[B]) == (0, 0, 0, 1, 0.0)
        assert one.accounts[A].total == 3  # as it was


class TestNews:
    """What a worker tells its master."""

    def test_all_arrives(self) -> None:
        """The master knows all that its worker does."""
        figures, listener = MappingStats(), MappingStats()
        figures.accepted = 2
        figures.connected(A, 0.01)
        figures.over(A, 1, 2, 3.0, "cD")
        figures.turned_away("SC")
        told(figures, listener)
        assert plain(listener) == plain(figures)
        assert listener.accounts[A].connect_time == 0.01
        assert listener.connection.sum == 3.0

    def test_only_what_changed(self) -> None:
        """Of thousands of instances only those are told with which something was."""
        figures, listener = MappingStats(), MappingStats()
        figures.connected(A, 0.01)
        figures.connected(B, 0.01)
        told(figures, listener)
        figures.failed(B)
        assert [each[2] for each in figures.news()["accounts"]] == ["b"]
        assert figures.news()["accounts"] == []

    def test_whether_there_are_any(self) -> None:
        """Whatever happens is news, once; where nothing does there are none."""
        figures, listener = MappingStats(), MappingStats()

        def accept() -> None:
            figures.accepted += 1

        happenings: list[Callable[[], object]] = [
            accept,
            lambda: figures.turned_away("SC"),
            lambda: figures.failed(A),
            lambda: figures.connected(A, 0.01),
            lambda: figures.moved(A, 5, 0),
            lambda: figures.over(A, 0, 0, 1.0, "--"),
        ]
        was_news = []
        for each in happenings:
            was_news.append(figures.has_news)
            each()
            was_news.append(figures.has_news)
            told(figures, listener)
        assert was_news == [False, True] * len(happenings)
        assert plain(listener) == plain(figures)

    def test_others_stay(self) -> None:
        """What is not told of any more is as it was told last."""
        figures, listener = MappingStats(), MappingStats()
        figures.connected(A, 0.01)
        told(figures, listener)
        figures.connected(B, 0.01)
        told(figures, listener)
        told(figures, listener)
        assert plain(listener) == plain(figures)

    @pytest.mark.parametrize(
        "news",
        [
            {"accepted": None},
            {"endings": ["--"]},
            {"connect": [[1, 2], 0.0]},
            {"connection": 5},
            {"accounts": [["dc1", "node-1"]]},
            {"accounts": [["dc1", "node-1", "a", 1, 2, 3, 4]]},
            {"first_byte": [[None] * (len(FIRST_BYTE) + 1), 0.0]},
        ],
        ids=str,
    )
    def test_nonsense(self, news: dict[str, Any]) -> None:
        """What cannot be is no news."""
        with pytest.raises((ValueError, TypeError, AttributeError)):
            MappingStats().heard(MappingStats().news() | news)

    def test_nothing_is_left_out(self) -> None:
        """News that lack something are none."""
        for name in MappingStats().news():
            news = MappingStats().news()
            del news[name]
            with pytest.raises(KeyError):
                MappingStats().heard(news)


class TestTidy:
    """Instances come and go for months."""

    def test_those_who_are_gone(self) -> None:
        """Of instances that are gone nothing is kept, once they are many."""
        figures = MappingStats()
        for number in range(CROWD):
            figures.connected(an_identity(str(number)), 0.01)
        figures.tidy(lambda identity: False)
        assert len(figures.accounts) == CROWD
        figures.connected(A, 0.01)
        figures.tidy(lambda identity: identity == A)
        assert list(figures.accounts) == [A]
        assert [each[2] for each in figures.news()["accounts"]] == ["a"]

    def test_those_who_stay(self) -> None:
        """Ten thousand that are all there are not looked through again and again."""
        figures, looks = MappingStats(), 0

        def is_known(identity: Identity) -> bool:
            nonlocal looks
            looks += 1
            return True

        for number in range(10 * CROWD):
            figures.connected(an_identity(str(number)), 0.01)
        for _ in range(5):
            figures.tidy(is_known)
        assert (len(figures.accounts), looks) == (10 * CROWD, 10 * CROWD)


_EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([A, B]),
        st.sampled_from(["connected", "failed", "over", "away", "tell"]),
        st.integers(0, 5),
    )
)


@given(_EVENTS)
def test_sum(events: list[tuple[int, Identity, str, int]]) -> None:
    """Whatever workers count and when they tell it, their master has the sum."""
    workers, heard = [MappingStats() for _ in "abc"], [MappingStats() for _ in "abc"]
    alone = MappingStats()
    for number, identity, what, amount in events:
        for figures in (workers[number], alone):
            if what == "connected":
                figures.accepted += 1
                figures.connected(identity, amount / 8)
            elif what == "failed":
                figures.failed(identity)
            elif what == "over":
                figures.over(identity, amount, 2 * amount, amount, "--")
            elif what == "away":
                figures.turned_away("SC")
        if what == "tell":
            told(workers[number], heard[number])
    for worker, listener in zip(workers, heard, strict=True):
        told(worker, listener)
    assert plain(MappingStats.sum(heard)) == plain(alone)
    assert plain(MappingStats.sum(workers)) == plain(alone)


@pytest.mark.parametrize(
    ("connections", "answered", "expected"),
    [(0, 0, False), (9, 1, True), (10, 1, False), (10, 2, True), (10, 10, True)],
)
def test_answered(connections: int, answered: int, expected: bool) -> None:
    """Upstreams answer if they say something on more than one connection of ten; of
    graphite's one that now and then tells of an error is none.
    """
    figures = MappingStats()
    for _ in range(connections):
        figures.connected(A, 0.01)
    for _ in range(answered):
        figures.first_byte.observe(0.01)
    assert figures.is_answered == expected
