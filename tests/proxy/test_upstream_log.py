"""What the log says of upstreams."""

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from lbconsul.balance.events import EventKind, PoolEvent, UpstreamEvent
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.standing import Standing
from lbconsul.proxy.upstream_log import BURST, UpstreamLog
from tests.support.instances import an_instance

WEB, A = ServiceQuery("web"), an_instance("a")
EJECTED = UpstreamEvent(
    kind=EventKind.EJECTED,
    query=WEB,
    instance=A,
    reason="it failed",
    before=Standing.SERVING,
    after=Standing.EJECTED,
)
RESTORED = UpstreamEvent(kind=EventKind.RESTORED, query=WEB, instance=A)


def test_ejected() -> None:
    """One line names the service and what happened, which stands in fields as well."""
    standings = UpstreamLog(Clock())
    with capturedLogs() as logs:
        standings.tell(EJECTED)
    [event] = logs
    assert formatEvent(event) == f"web: {A} ejected: it failed"
    assert (event["kind"], event["query"]) == ("ejected", "web")
    assert (event["instance"], event["reason"]) == (str(A), "it failed")
    assert (event["before"], event["after"]) == ("serving", "ejected")


def test_a_pool() -> None:
    """What happens to a whole pool is one line, with the instances in a list."""
    standings = UpstreamLog(Clock())
    with capturedLogs() as logs:
        standings.tell(
            PoolEvent(
                kind=EventKind.SUSPECT, query=WEB, instances=(A,), total=3, seconds=9.0
            )
        )
    [event] = logs
    assert (event["kind"], event["instances"]) == ("suspect", [str(A)])


def test_flapping() -> None:
    """Upstreams that come and go without end do not fill the log."""
    clock = Clock()
    standings = UpstreamLog(clock)
    with capturedLogs() as logs:
        for _ in range(500):
            for event in (EJECTED, RESTORED):
                standings.tell(event)
        assert len(logs) == BURST
        clock.advance(1)
        standings.stop()
    assert [formatEvent(event) for event in logs[int(BURST) :]] == [
        "more upstreams: 450 ejected, 450 restored"
    ]


def test_stop_logs_the_rest() -> None:
    """At the end nothing is left unsaid, and no timer is left."""
    clock = Clock()
    standings = UpstreamLog(clock)
    with capturedLogs() as logs:
        for _ in range(int(BURST) + 1):
            standings.tell(EJECTED)
        standings.stop()
    assert formatEvent(logs[-1]) == "more upstreams: 1 ejected"
    assert clock.getDelayedCalls() == []
