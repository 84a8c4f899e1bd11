"""When a worker that died is replaced."""

from lbconsul.workers.restart_backoff import FIRST_WAIT, LIVED, LONGEST_WAIT, Backoff


def test_at_once() -> None:
    """A worker that has lived for a while is replaced at once."""
    assert Backoff().wait(1, LIVED) == 0.0


def test_longer_and_longer() -> None:
    """Workers that die early are replaced ever more slowly, up to a limit, for ever."""
    backoff = Backoff()
    waits = [backoff.wait(1, 0.1) for _ in range(2000)]
    assert waits[:6] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0]
    assert set(waits[5:]) == {LONGEST_WAIT}


def test_forgiven() -> None:
    """Once one has lived, the next early death counts as the first."""
    backoff = Backoff()
    for _ in range(4):
        backoff.wait(1, 0.0)
    assert backoff.wait(1, LIVED + 1) == 0.0
    assert backoff.wait(1, 0.0) == FIRST_WAIT


def test_each_by_itself() -> None:
    """A worker that keeps dying does not hold up another."""
    backoff = Backoff()
    for _ in range(4):
        backoff.wait(1, 0.0)
    assert backoff.wait(2, 0.0) == FIRST_WAIT
