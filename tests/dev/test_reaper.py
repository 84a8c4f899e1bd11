"""Services that are critical for too long."""

from lbconsul.dev.reaper import Reaper


def test_rounds() -> None:
    """The agent looks every half a minute; what passes meanwhile stays."""
    reaper = Reaper()
    reaper.limit("a", 60)
    reaper.note("a", "critical", 100)
    reaper.note("a", "critical", 130)
    assert (reaper.due(179), reaper.due(180), reaper.next()) == ([], ["a"], 180)
    reaper.note("a", "passing", 170)
    assert (reaper.due(1000), reaper.next()) == ([], None)


def test_no_limit() -> None:
    """A check without a limit, or whose limit is taken back, is never due."""
    reaper = Reaper()
    reaper.note("a", "critical", 100)
    reaper.limit("b", 60)
    reaper.note("b", "critical", 100)
    reaper.limit("b", None)
    assert reaper.next() is None
