"""What a listener says of trouble."""

from collections.abc import Iterator, Sequence

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.python.failure import Failure

from lbconsul.proxy.listener_log import BURST, SUM_UP_EVERY, ListenerLog


@pytest.fixture
def logs() -> Iterator[Sequence[LogEvent]]:
    """All that is logged."""
    with capturedLogs() as events:
        yield events


def _lines(logs: Sequence[LogEvent]) -> list[str]:
    return [str(formatEvent(event)) for event in logs]


def test_starved(logs: Sequence[LogEvent]) -> None:
    """A shortage of descriptors is logged once, until it is over."""
    trouble = ListenerLog(Clock(), lambda: "80:web")
    for count in (7, 8):
        trouble.starved(count)
        trouble.starved(count)
        trouble.relieved()
    line = "80:web: out of descriptors, ports or memory: new clients wait; {} are open"
    assert _lines(logs) == [line.format(7), line.format(8)]


def test_starved_again_and_again(logs: Sequence[LogEvent]) -> None:
    """A shortage that each ending connection relieves does not fill the log."""
    clock = Clock()
    trouble = ListenerLog(clock, lambda: "80:web")
    for _ in range(6000):
        trouble.starved(1)
        trouble.relieved()
        clock.advance(0.01)
    clock.advance(SUM_UP_EVERY)
    assert len(logs) < BURST + 60 / SUM_UP_EVERY + 15
    told = [line for line in _lines(logs) if "more of the same" in line]
    assert len(told) in (6, 7)
    assert "80:web: more of the same: 998 out of descriptors" in told
    assert clock.getDelayedCalls() == []


def test_bugs(logs: Sequence[LogEvent]) -> None:
    """
    A bug that costs every client has its traceback in the log a few times, and
    not as often as clients come.
    """
    trouble = ListenerLog(Clock(), lambda: "80:web")
    for _ in range(50):
        try:
            raise KeyError("a bug")
        except KeyError:
            trouble.client_lost()
            trouble.accept_failed()
    trouble.stop()
    with_traceback = [event for event in logs if "log_failure" in event]
    assert len(with_traceback) == BURST
    assert {*_lines(with_traceback)} == {
        "80:web: client lost",
        "80:web: accept failed",
    }
    assert _lines(logs[int(BURST) :]) == [
        "80:web: more of the same: 48 accept failed, 47 client lost"
    ]


def test_listener_lost(logs: Sequence[LogEvent]) -> None:
    """The loss of the listener is always logged, with the reason."""
    ListenerLog(Clock(), lambda: "80:web").listener_lost(Failure(ValueError("because")))
    [event] = logs
    assert formatEvent(event) == (
        "80:web: the reactor dropped the listener: no new clients"
    )
    assert event["log_failure"].value.args == ("because",)
