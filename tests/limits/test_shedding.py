"""What part of its load a process turns away that lags behind."""

from lbconsul.limits.shedding import Shedder


def measured(shedder: Shedder, lag: float, times: int) -> int:
    for _ in range(times):
        shedder.measured(lag)
    return shedder.share


def test_a_short_lag_does_nothing() -> None:
    """A process that is late for less than a second turns nothing away."""
    shedder = Shedder(0.2)
    assert measured(shedder, 0.5, 3) == 0
    assert measured(shedder, 0.2, 1) == 0
    assert measured(shedder, 0.5, 3) == 0


def test_more_and_more() -> None:
    """
    The longer it is late, the more it turns away, but never all; when it is in time
    again, the less, until it serves all.
    """
    shedder = Shedder(0.2)
    assert measured(shedder, 0.5, 4) == 10
    assert measured(shedder, 0.5, 2) == 30
    assert measured(shedder, 0.5, 40) == 90
    assert measured(shedder, 0.1, 1) == 85
    assert measured(shedder, 0.1, 40) == 0


def test_evenly() -> None:
    """What is turned away is exactly that share, and spread evenly."""
    shedder = Shedder(0.2)
    shedder.share = 25
    assert [shedder.refuses() for _ in range(8)] == 2 * [False, False, False, True]
