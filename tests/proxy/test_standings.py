"""What the log says of upstreams."""

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from lbconsul.balance.selection import Question
from lbconsul.proxy.standings import BURST, Standings
from tests.support.instances import an_upstream


def test_ejected() -> None:
    """One line names the service, the instance, and what became of it."""
    standings = Standings(Clock())
    with capturedLogs() as logs:
        standings.tell(Question("web"), an_upstream(name="web-7"), "ejected: it failed")
    assert [formatEvent(event) for event in logs] == [
        "web: web-7@node-1 192.0.2.1:8080 ejected: it failed"
    ]


def test_flapping() -> None:
    """Upstreams that come and go without end do not fill the log."""
    clock = Clock()
    standings = Standings(clock)
    with capturedLogs() as logs:
        for _ in range(500):
            for what in ("ejected: it failed", "restored"):
                standings.tell(Question("web"), an_upstream(), what)
        assert len(logs) == BURST
        clock.advance(1)
        standings.stop()
    assert [formatEvent(event) for event in logs[int(BURST) :]] == [
        "more upstreams: 450 ejected, 450 restored"
    ]


def test_stop() -> None:
    """At the end nothing is left unsaid, and no timer is left."""
    clock = Clock()
    standings = Standings(clock)
    with capturedLogs() as logs:
        for _ in range(int(BURST) + 1):
            standings.tell(Question("web"), an_upstream(), "ejected: it failed")
        standings.stop()
    assert formatEvent(logs[-1]) == "more upstreams: 1 ejected"
    assert clock.getDelayedCalls() == []
