"""Bugs in the log."""

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from lbconsul.net.throttled_failures import BURST, RATE, ThrottledFailures


def _fail(log: ThrottledFailures, what: str, count: int) -> None:
    for _ in range(count):
        try:
            raise KeyError("a bug")
        except KeyError:
            log.tell(what)


def test_a_few() -> None:
    """
    The first ones are told with their tracebacks, and then one now and then,
    which says how many more there were.
    """
    clock = Clock()
    log = ThrottledFailures(clock)
    with capturedLogs() as logs:
        _fail(log, "a bug in lbconsul", 1000)
        _fail(log, "an inspection failed", 10)
        assert {event["log_failure"].type for event in logs} == {KeyError}
        assert len(logs) == BURST
        clock.advance(1 / RATE)
        _fail(log, "an inspection failed", 2)
    assert [formatEvent(event) for event in logs] == [
        *["a bug in lbconsul"] * int(BURST),
        "not told since the last bug: 995 a bug in lbconsul, 10 an inspection failed",
        "an inspection failed",
    ]
    assert clock.getDelayedCalls() == []
