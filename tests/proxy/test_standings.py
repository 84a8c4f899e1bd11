"""What the log says of upstreams."""

from twisted.logger import capturedLogs, formatEvent

from lbconsul.balance.selection import Question
from lbconsul.proxy.standings import tell
from tests.support.instances import an_upstream


def test_ejected() -> None:
    """One line names the service, the instance, and what became of it."""
    with capturedLogs() as logs:
        tell(Question("web"), an_upstream(name="web-7"), "ejected: it failed")
    assert [formatEvent(event) for event in logs] == [
        "web: web-7@node-1 192.0.2.1:8080 ejected: it failed"
    ]
