"""How faults of an operator's code are counted and logged."""

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from lbconsul.balance.fault import Fault, FaultKind
from lbconsul.extensions.faults import BURST, SUM_UP_EVERY, Faults

RAISED = Fault("pkg:Own", "choose", FaultKind.FAILED, "raised KeyError")


def test_storm() -> None:
    """All faults are counted, some have a line, and one line sums up the others."""
    clock = Clock()
    faults = Faults(clock)
    with capturedLogs() as events:
        for _ in range(100):
            faults.tell(RAISED)
        faults.tell(Fault.slow("pkg:Own", "place", 0.01))
        clock.advance(SUM_UP_EVERY)
    texts = [formatEvent(each) for each in events]
    some = int(BURST)
    assert texts[:some] == ["pkg:Own: choose raised KeyError"] * some
    assert texts[some:] == [
        f"more of the same: {100 - some} pkg:Own failed, 1 pkg:Own slow"
    ]
    assert faults.counts == {
        ("pkg:Own", "failed"): 100,
        ("pkg:Own", "slow"): 1,
    }
    assert not clock.getDelayedCalls()


def test_stop() -> None:
    """At the end nothing is left to be summed up."""
    clock = Clock()
    faults = Faults(clock)
    with capturedLogs() as events:
        for _ in range(int(BURST) + 1):
            faults.tell(RAISED)
        faults.stop()
    assert formatEvent(events[-1]) == "more of the same: 1 pkg:Own failed"
    assert not clock.getDelayedCalls()
