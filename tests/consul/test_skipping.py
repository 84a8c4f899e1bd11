"""What is said of instances that are not connected to."""

from collections.abc import Sequence

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from lbconsul.consul.catalog import Skipped
from lbconsul.consul.skipping import BURST, RATE, SHOWN, Skipping, screened
from tests.support.instances import an_instance


def many(count: int) -> list[Skipped]:
    """So many."""
    return [Skipped(f"web-{number}@a 10.0.0.1:0", "why") for number in range(count)]


def told(skipping: Skipping, skipped: Sequence[Skipped]) -> list[str]:
    """What the log says once these are skipped."""
    with capturedLogs() as events:
        skipping.replace(skipped)
    return [formatEvent(each) for each in events]


def test_each_is_logged_once() -> None:
    """Each is said once, and again once it was none meanwhile."""
    skipping = Skipping(Clock(), "web,dc=dc2")
    one, two = many(2)
    assert told(skipping, [one]) == ["web,dc=dc2: skipped web-0@a 10.0.0.1:0: why"]
    assert told(skipping, [one]) == []
    assert told(skipping, [two, one, two]) == [
        "web,dc=dc2: skipped web-1@a 10.0.0.1:0: why"
    ]
    assert told(skipping, []) == []
    assert skipping.all == ()
    assert len(told(skipping, [one])) == 1


def test_many_are_counted() -> None:
    """Of many the first are named and shown, and how many more there are is said."""
    clock = Clock()
    skipping = Skipping(clock, "web")
    count = SHOWN + 30
    lines = told(skipping, many(count))
    assert len(lines) == BURST + 1
    assert lines[-1] == (
        f"web: skipped {count - int(BURST)} more instances, {count} in all; /status"
        f" names {SHOWN}"
    )
    assert len(skipping.all) == count
    assert told(skipping, many(count)) == []
    assert len(told(skipping, many(count + 5))) == 1
    clock.advance(3 / RATE)
    assert len(told(skipping, many(count + 10))) == 4


def test_screened() -> None:
    """Screened instances have the reason, the others are unchanged."""
    good, bad = an_instance("good"), an_instance("bad", port=80)
    found = screened([good, bad], lambda each: "no" if each.port == 80 else "")
    assert found[0] is good
    assert (found[1].skipped, found[1].identity) == ("no", bad.identity)
