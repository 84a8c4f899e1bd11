"""What is counted of one instance."""

import pytest

from lbconsul.stats.upstream import CONNECT, Failures, UpstreamStats, total_of


def _failures(*times: float) -> Failures:
    failing = Failures()
    for each in times:
        failing.note(each, f"at {each:g}")
    return failing


@pytest.mark.parametrize(
    ("times", "now", "expected"),
    [
        ((), 100.0, 0.0),
        ((61.0, 62.0, 63.0), 63.0, 3.0),
        # Of a minute that is half gone, half of those before count.
        ((0.0, 1.0, 2.0, 3.0, 61.0), 90.0, 3.0),
        ((0.0, 1.0, 2.0, 3.0), 75.0, 3.0),
        ((0.0, 1.0, 2.0, 3.0), 120.0, 0.0),
        ((0.0, 1.0, 200.0), 200.0, 1.0),
        ((30.0,), 1e9, 0.0),
    ],
)
def test_failures_a_minute(
    times: tuple[float, ...], now: float, expected: float
) -> None:
    """Failures of the last minute count, those of long ago do not."""
    assert _failures(*times).per_minute(now) == pytest.approx(expected)


def test_the_last_failure() -> None:
    """The last failure is known, however long ago it was."""
    failing = _failures(1.0, 5.0)
    assert (failing.at, failing.error) == (5.0, "at 5")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((61.0,), (62.0, 63.0), (1, 3, 0, "at 63")),
        ((61.0, 61.0), (10.0,), (1, 2, 1, "at 61")),
        ((10.0,), (61.0, 61.0), (1, 2, 1, "at 61")),
        ((10.0, 61.0), (20.0, 62.0), (1, 2, 2, "at 62")),
        ((1.0,), (500.0,), (8, 1, 0, "at 500")),
        ((500.0,), (1.0,), (8, 1, 0, "at 500")),
    ],
)
def test_failures_of_processes(
    one: tuple[float, ...], other: tuple[float, ...], expected: tuple[object, ...]
) -> None:
    """Those that several processes saw add up minute by minute."""
    total = _failures(*one)
    total.add(_failures(*other))
    assert (total.minute, total.count, total.before, total.error) == expected


def test_sum() -> None:
    """The latest times and the failures of several processes add up."""
    one, other = UpstreamStats(), UpstreamStats(answered=2)
    other.connects[0], other.first_bytes[1] = 3, 2
    other.failed(4.0, "timeout")
    other.failed(5.0, "refused")
    for _ in range(2):
        one.add(other)
    assert (one.connects[0], one.first_bytes[1], one.answered) == (6, 4, 4)
    assert len(one.connects) == len(CONNECT) + 1
    assert one.failing is not None
    assert (one.failing.count, other.failing and other.failing.count) == (4, 2)
    other.add(UpstreamStats())
    assert other.failing is not None
    assert other.failing.count == 2


def test_total_of() -> None:
    """The only one that there is is taken as it is, and none is an empty one."""
    one = UpstreamStats(total=1)
    assert total_of([None, one], UpstreamStats) is one
    assert total_of([None], UpstreamStats).total == 0
    assert total_of([one, one], UpstreamStats).total == 2
    assert one.total == 1
