"""How late calls come."""

from twisted.internet.task import Clock

from lbconsul.process.reactor_lag import EVERY, Lag


def late(clock: Clock, seconds: float) -> None:
    """The next call comes so late."""
    clock.rightNow += EVERY + seconds
    clock.advance(0)


def test_in_time() -> None:
    """Where calls come when they are due there is no lag."""
    clock = Clock()
    lag = Lag(clock)
    assert lag.worst == 0.0
    lag.start()
    clock.pump([EVERY] * 20)
    assert lag.worst == 0.0


def test_worst() -> None:
    """The worst lag of the last ten seconds is shown, and then forgotten."""
    clock = Clock()
    lag = Lag(clock)
    lag.start()
    late(clock, 3.0)
    late(clock, 1.0)
    assert lag.worst == 3.0
    clock.pump([EVERY] * 38)
    assert lag.worst == 3.0
    clock.advance(EVERY)
    assert lag.worst == 1.0
    clock.advance(EVERY)
    assert lag.worst == 0.0


def test_clock_set_back() -> None:
    """A clock that is set back is no call that came too early."""
    clock = Clock()
    lag = Lag(clock)
    lag.start()
    clock.rightNow -= 100.0
    lag._look()
    assert lag.worst == 0.0


def test_stop_and_start_again() -> None:
    """Nothing is left behind; it can be started again, and stopped twice."""
    clock = Clock()
    lag = Lag(clock)
    lag.start()
    lag.start()
    assert len(clock.getDelayedCalls()) == 1
    lag.stop()
    lag.stop()
    assert clock.getDelayedCalls() == []
    clock.advance(60.0)
    lag.start()
    clock.advance(EVERY)
    assert lag.worst == 0.0
