"""What a mapping's connections add up to."""

from collections.abc import Callable

import pytest
from attrs import astuple

from lbconsul.balance.instance import Identity
from lbconsul.stats.mapping import CONNECTION, CROWD, MappingStats
from lbconsul.stats.upstream import CONNECT, FIRST_BYTE, RECENT, UpstreamStats
from tests.support.instances import an_identity

A, B = an_identity("a"), an_identity("b")


def _counters(account: UpstreamStats) -> tuple[float, ...]:
    return astuple(account)[:5]


class TestTimes:
    """How many took how long."""

    def test_bounds(self) -> None:
        """A time equal to a bound is within it, a longer one is beyond."""
        figures = MappingStats()
        for seconds in (0.0, 0.005, 0.01, 0.025, 14400.0, 14401.0, 1e9):
            figures.over(A, 0, 0, seconds, "--")
        between = [0] * (len(CONNECTION) - 3)
        assert figures.connection.counts == [2, 2, *between, 1, 2]
        for seconds in (0.0, 0.0005, 0.001, 5.0, 5.1):
            figures.connected(A, seconds)
        between = [0] * (len(CONNECT) - 3)
        assert figures.connect.counts == [2, 1, *between, 1, 1]
        assert figures.connect.sum == pytest.approx(10.1015)

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
        figures.failed(A, 90.0, "refused")
        figures.connected(B, 0.25)
        figures.first_byte.counts[-2] += 1
        figures.moved(B, 4, 1500)
        figures.over(B, 6, 500, 7.0, "--")
        figures.turned_away("SC")
        assert figures.endings == {"--": 1, "SC": 1}
        assert (figures.received, figures.sent) == (10, 2000)
        assert _counters(figures.accounts[A]) == (0, 0, 0, 1, 0.0)
        assert _counters(figures.accounts[B]) == (1, 10, 2000, 0, 0.25)
        assert (figures.connect.sum, figures.connection.sum) == (0.25, 7.0)

    def test_connection_of_http_mode(self) -> None:
        """A client of HTTP mode, whose bytes are of its requests, counts once."""
        figures = MappingStats()
        figures.left(7.0, "--")
        assert figures.endings == {"--": 1}
        assert (figures.connection.sum, sum(figures.connection.counts)) == (7.0, 1)
        assert (figures.received, figures.sent, figures.accounts) == (0, 0, {})

    def test_connect_time(self) -> None:
        """Connect times are averaged, what is long past counting less and less."""
        figures = MappingStats()
        figures.connected(A, 1.0)
        figures.connected(A, 2.0)
        assert figures.accounts[A].connect_time == pytest.approx(1.1)
        for _ in range(100):
            figures.connected(A, 3.0)
        assert figures.accounts[A].connect_time == pytest.approx(3.0, abs=0.001)

    def test_latest_connects(self) -> None:
        """Of an instance the latest connect times are known, the older ones fade."""
        figures = MappingStats()
        for _ in range(RECENT):
            figures.connected(A, 1.0)
        assert sum(figures.accounts[A].connects) == RECENT // 2
        for _ in range(10 * RECENT):
            account = figures.connected(A, 0.0)
        assert account is figures.accounts[A]
        assert account.connects[CONNECT.index(1.0)] <= 1
        assert sum(account.connects) < 2 * RECENT

    def test_average_of_averages(self) -> None:
        """Of two processes the one with more connections says more of their time."""
        one, other = MappingStats(), MappingStats()
        for _ in range(3):
            one.connected(A, 1.0)
        other.connected(A, 5.0)
        other.failed(B, 90.0, "refused")
        total = MappingStats.sum([one, other])
        assert total.accounts[A].connect_time == pytest.approx(2.0)
        assert _counters(total.accounts[B]) == (0, 0, 0, 1, 0.0)
        assert one.accounts[A].total == 3  # as it was


class TestChanges:
    """Which accounts a worker has to report."""

    def test_only_what_changed(self) -> None:
        """Of thousands of instances only those are named with which something was."""
        figures = MappingStats()
        figures.connected(A, 0.01)
        figures.connected(B, 0.01)
        assert figures.take_changed() == figures.accounts
        figures.failed(B, 90.0, "refused")
        assert figures.take_changed() == {B: figures.accounts[B]}
        assert figures.take_changed() == {}

    def test_whether_there_are_any(self) -> None:
        """Whatever happens is news, once; where nothing does there are none."""
        figures = MappingStats()

        def accept() -> None:
            figures.accepted += 1

        happenings: list[Callable[[], object]] = [
            accept,
            lambda: figures.turned_away("SC"),
            lambda: figures.failed(A, 90.0, "refused"),
            lambda: figures.connected(A, 0.01),
            lambda: figures.moved(A, 5, 0),
            lambda: figures.over(A, 0, 0, 1.0, "--"),
        ]
        was_news = []
        for each in happenings:
            was_news.append(figures.has_news)
            each()
            was_news.append(figures.has_news)
            figures.take_changed()
        assert was_news == [False, True] * len(happenings)


class TestHTTP:
    """A mapping whose clients speak HTTP."""

    def test_only_where_used(self) -> None:
        """Only mappings in HTTP mode have statistics of requests."""
        figures = MappingStats()
        assert MappingStats.sum([figures]).http is None
        http = figures.use_http()
        assert http is figures.use_http()
        assert http is figures.http

    def test_a_request_is_news(self) -> None:
        """A request is news, once, and adds up over processes."""
        figures, was_news = MappingStats(), []
        figures.use_http()
        for _ in range(2):
            was_news.append(figures.has_news)
            figures.use_http().exchanged(A, 200, 0.1, 0.2, 1, 2)
            was_news.append(figures.has_news)
            figures.take_changed()
            figures.use_http().take_changed()
        assert was_news == [False, True] * 2
        total = MappingStats.sum([figures, MappingStats(), figures])
        assert total.use_http().classes == [0, 0, 4, 0, 0, 0]

    def test_instances_that_are_gone(self) -> None:
        """Requests to instances that are gone are forgotten with their connections."""
        figures = MappingStats()
        for number in range(CROWD + 1):
            figures.connected(an_identity(str(number)), 0.01)
            figures.use_http().exchanged(an_identity(str(number)), 200, 0, 0, 0, 0)
        figures.tidy(lambda identity: identity == an_identity("7"))
        assert list(figures.use_http().accounts) == [an_identity("7")]


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
        assert list(figures.take_changed()) == [A]

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


@pytest.mark.parametrize(
    ("connections", "answered", "expected"),
    [(0, 0, False), (9, 1, True), (10, 1, False), (10, 2, True), (10, 10, True)],
)
def test_answered(connections: int, answered: int, expected: bool) -> None:
    """
    Upstreams count as answering if they send something on more than one connection of
    ten; graphite's, which now and then send an error, do not.
    """
    figures = MappingStats()
    for _ in range(connections):
        figures.connected(A, 0.01)
    for _ in range(answered):
        figures.first_byte.counts[0] += 1
    assert figures.is_answered == expected
