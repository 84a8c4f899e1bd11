"""The rate of bodies: which clients are too slow."""

from lbconsul.http.body_rate import WINDOW, BodyRate


def test_a_client_is_too_slow_by_the_average() -> None:
    """A burst makes up for a pause; a window with too little is too slow."""
    rate = BodyRate(100.0, 5000)
    assert not rate.is_below(10, 5000, 100 + WINDOW - 1)
    assert not rate.is_below(10, 5100, 100 + WINDOW)
    assert rate.is_below(10, 5199, 100 + 2 * WINDOW)


def test_windows_that_take_longer_want_more() -> None:
    """A window is as long as it takes to the next check, and is judged by that."""
    assert BodyRate(0.0, 0).is_below(10, 199, 20.0)
    assert not BodyRate(0.0, 0).is_below(10, 200, 20.0)
