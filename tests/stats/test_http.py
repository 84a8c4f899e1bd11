"""What a mapping's HTTP requests add up to."""

import pytest

from lbconsul.stats.histogram import quantiles
from lbconsul.stats.http import (
    CLASSES,
    FIRST_BYTE,
    REQUEST,
    HTTPStats,
    HTTPUpstreamStats,
)
from tests.support.instances import an_identity

A, B = an_identity("a"), an_identity("b")


def _classes(counts: list[int]) -> dict[str, int]:
    return {name: n for name, n in zip(CLASSES, counts, strict=True) if n}


class TestRequests:
    """One mapping's requests."""

    def test_classes(self) -> None:
        """Requests count by class, for the mapping and for the instance."""
        stats = HTTPStats()
        for status in (101, 200, 204, 302, 404, 599, 600, 999, 0):
            stats.exchanged(A, status, 0.1, 0.2, 10, 100)
        stats.exchanged(None, 503, -1.0, 0.2, 10, 100)
        of_a = {"1xx": 1, "2xx": 2, "3xx": 1, "4xx": 1, "5xx": 1, "other": 3}
        assert _classes(stats.accounts[A].classes) == of_a
        assert _classes(stats.classes) == of_a | {"5xx": 2}
        assert (stats.received, stats.sent) == (100, 1000)
        account = stats.accounts[A]
        assert (account.received, account.sent) == (90, 900)

    def test_times(self) -> None:
        """The time to the first byte counts where one came, the whole time always."""
        stats = HTTPStats()
        stats.exchanged(A, 200, 0.0, 0.001, 0, 0)
        stats.exchanged(A, 200, 0.003, 301.0, 0, 0)
        stats.exchanged(A, 504, -1.0, 30.0, 0, 0)
        stats.exchanged(None, 503, -1.0, 0.0, 0, 0)
        assert stats.first_byte.sum == 0.003
        assert stats.first_byte.counts[:3] == [1, 0, 1]
        assert sum(stats.first_byte.counts) == sum(stats.recent) == 2
        assert stats.recent == stats.accounts[A].recent
        assert stats.request.sum == pytest.approx(331.001)
        assert stats.request.counts == [2, *[0] * 12, 1, 0, 0, 1]

    def test_bounds_rise(self) -> None:
        """The bounds of each histogram rise."""
        for bounds in (FIRST_BYTE, REQUEST):
            assert sorted(set(bounds)) == list(bounds)

    def test_bytes_of_a_long_request(self) -> None:
        """The bytes of a download show while it goes on."""
        stats = HTTPStats()
        stats.moved(A, 100, 5)
        stats.moved(A, 0, 7)
        stats.exchanged(A, 200, 0.1, 90.0, 1, 2)
        account = stats.accounts[A]
        assert (account.received, account.sent) == (101, 14)
        assert (stats.received, stats.sent) == (101, 14)


class TestRecent:
    """How long the latest answers took."""

    def test_an_instance_that_became_slow(self) -> None:
        """After some thousand slow answers the times of earlier ones are forgotten."""
        stats = HTTPStats()
        for _ in range(100_000):
            stats.exchanged(A, 200, 0.0009, 0.001, 0, 0)
        for _ in range(5_000):
            stats.exchanged(A, 200, 0.9, 1.0, 0, 0)
        (recent,) = quantiles(FIRST_BYTE, stats.accounts[A].recent, 0.5)
        assert recent is not None
        assert recent > 0.5
        assert stats.accounts[A].answered == stats.answered == 105_000
        assert sum(stats.accounts[A].recent) <= 2048
        assert sum(stats.recent) <= 32_768
        assert sum(stats.first_byte.counts) == 105_000


class TestSum:
    """Several processes."""

    def test_sum(self) -> None:
        """The statistics of several processes add up, and the parts are unchanged."""
        one, other = HTTPStats(), HTTPStats()
        for stats in (one, other):
            stats.exchanged(A, 200, 0.1, 0.2, 10, 100)
            stats.retries += 1
            stats.reused += 2
            stats.refused["no-route"] += 1
            stats.unhappy.note(1.0, "c", "GET", "h", "/", 503, None, "SC")
        other.exchanged(B, 502, -1.0, 0.2, 1, 1)
        one.add(other)
        assert (one.retries, one.reused) == (2, 4)
        assert one.refused == {"no-route": 2}
        assert _classes(one.classes) == {"2xx": 2, "5xx": 1}
        assert _classes(one.accounts[B].classes) == {"5xx": 1}
        assert (one.received, one.sent) == (21, 201)
        assert (one.accounts[A].received, one.accounts[A].sent) == (20, 200)
        assert one.answered == one.accounts[A].answered == 2
        assert sum(one.recent) == sum(one.accounts[A].recent) == 2
        assert one.request.sum == pytest.approx(0.6)
        assert one.first_byte.sum == 0.2
        assert len(one.unhappy.last) == 2
        assert _classes(other.accounts[A].classes) == {"2xx": 1}
        assert len(other.unhappy.last) == 1


class TestChanges:
    """What a worker has to report."""

    def test_only_what_changed(self) -> None:
        """Of thousands of instances only those with a request are reported."""
        stats = HTTPStats()
        stats.exchanged(A, 200, 0.1, 0.2, 0, 0)
        stats.exchanged(A, 200, 0.1, 0.2, 0, 0)
        stats.moved(B, 1, 0)
        assert stats.take_changed() == stats.accounts
        stats.exchanged(B, 200, 0.1, 0.2, 0, 0)
        assert stats.take_changed() == {B: stats.accounts[B]}
        stats.moved(B, 1, 0)
        assert stats.take_changed() == {B: stats.accounts[B]}
        assert stats.take_changed() == {}

    def test_whether_there_are_any(self) -> None:
        """A request is news, once, even if no instance answered."""
        stats, was_news = HTTPStats(), []
        for identity in (None, A):
            was_news.append(stats.has_news)
            stats.exchanged(identity, 404, -1.0, 0.0, 0, 0)
            was_news.append(stats.has_news)
            stats.take_changed()
        assert was_news == [False, True] * 2

    def test_instances_that_are_gone(self) -> None:
        """Nothing of an instance that is gone is kept or reported."""
        stats = HTTPStats()
        for identity in (A, B):
            stats.exchanged(identity, 200, 0.1, 0.2, 0, 0)
        stats.keep_only(lambda identity: identity == A)
        assert list(stats.accounts) == list(stats.take_changed()) == [A]
        stats.exchanged(B, 200, 0.1, 0.2, 0, 0)
        assert list(stats.take_changed()) == [B]


def test_failures_of_an_instance() -> None:
    """Failed requests of an instance count with it, over all processes."""
    one, other = HTTPStats(), HTTPStats()
    one.failed(A, 5.0, "answered 500")
    assert one.take_changed() == one.accounts
    for _ in range(2):
        other.failed(A, 9.0, "answered 502")
        other.add(one)
    failing = other.accounts[A].failing
    assert failing is not None
    assert (failing.count, failing.error) == (4, "answered 502")
    new = HTTPStats()
    new.add(one)
    assert new.accounts[A].failing == one.accounts[A].failing
    new.add(HTTPStats(accounts={A: HTTPUpstreamStats()}))
    assert new.accounts[A].failing == one.accounts[A].failing
