"""What became of one watch, in a word and in numbers."""

from lbconsul.consul.watch_stats import WatchStats


def test_nothing_yet() -> None:
    """Before the first answer the state is waiting, and there is no age."""
    record = WatchStats()
    assert (record.state, record.age(5.0)) == ("waiting", None)


def test_answers() -> None:
    """Each valid answer confirms the one in use."""
    record = WatchStats()
    record.answered(10.0, 7)
    record.answered(12.0, 9)
    assert (record.state, record.answers, record.index) == ("watching", 2, 9)
    assert record.age(15.0) == 3.0
    assert record.age(11.0) == 0.0, "a clock that was set back makes nothing younger"


def test_failures() -> None:
    """A streak of failures has the time of the first and the error of the last."""
    record = WatchStats()
    record.answered(10.0, 7)
    record.failed(20.0, "refused")
    record.failed(25.0, "reset")
    assert (record.state, record.errors) == ("backing off", 2)
    assert (record.failing_since, record.last_error) == (20.0, "reset")
    assert record.age(30.0) == 20.0


def test_after_failures() -> None:
    """With a good answer the streak is over; when it was is still to be seen."""
    record = WatchStats()
    record.failed(20.0, "refused")
    assert record.state == "backing off"
    record.answered(30.0, 1)
    assert (record.state, record.failing_since, record.last_error) == (
        "watching",
        None,
        "",
    )
    assert (record.last_error_at, record.errors) == (20.0, 1)
    record.failed(40.0, "again")
    assert record.failing_since == 40.0


def test_snapshot() -> None:
    """A snapshot keeps its age until Consul answers."""
    record = WatchStats(recalled=100.0)
    assert (record.state, record.age(160.0)) == ("snapshot", 60.0)
    record.failed(150.0, "refused")
    assert (record.state, record.age(160.0)) == ("snapshot", 60.0)
    record.answered(170.0, 3)
    assert (record.state, record.age(171.0)) == ("watching", 1.0)
