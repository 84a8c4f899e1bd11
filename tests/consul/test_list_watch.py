"""A watch of one list of Consul's: what it reports, and when."""

from collections.abc import Generator
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from lbconsul.consul.client import ConsulClient, Reply
from lbconsul.consul.list_watch import ListWatch
from lbconsul.errors import UnusableAnswer


class FakeClient:
    """A client whose answers the test gives."""

    addresses = 1

    def where(self, address: int) -> str:
        return "http://consul"


def read(reply: Reply) -> Generator[None, None, str]:
    """The text of an answer."""
    yield
    if reply.body == b"bad":
        raise UnusableAnswer("it is bad")
    return reply.body.decode()


def test_changes_are_reported() -> None:
    """Only another value is news; after a failure the last good one stays."""
    clock, asked = Clock(), list[tuple[int, Deferred[Reply]]]()
    told, troubles, answers = list[str](), list[str](), list[int]()

    def ask(
        client: ConsulClient, index: int, address: int, stale: bool
    ) -> Deferred[Reply]:
        asked.append((index, Deferred()))
        return asked[-1][1]

    client: Any = FakeClient()
    watch = ListWatch(
        clock,
        cast(ConsulClient, client),
        lambda: 0.5,
        "a list",
        ask,
        read,
        told.append,
        lambda: answers.append(1),
        troubles.append,
    )
    with capturedLogs() as logs:
        watch.startService()
        for body, index in ((b"a", "5"), (b"a", "6"), (b"bad", "7"), (b"b", "8")):
            asked[-1][1].callback(Reply(body, index))
            clock.pump([0.1] * 20)
        stopped = watch.stopService()
    assert told == ["a", "b"]
    assert watch.known == "b"
    assert troubles == ["it is bad", ""]
    assert len(answers) == 3
    assert [index for index, _ in asked] == [0, 5, 6, 0, 8]
    assert stopped.called
    said = [formatEvent(each) for each in logs]
    assert (
        "a list: no answer from Consul at http://consul: it is bad; the last"
        in (said[0])
    )
    assert said[1] == "a list: Consul answers again, after 1 failures"
