"""The log of what changed."""

import pytest
from twisted.internet.task import Clock

from lbconsul.admin.event_log import (
    KEPT,
    KEPT_BYTES,
    MOST_TEXT,
    EventLog,
    read_event_id,
)
from lbconsul.admin.status_model import Event


def _log() -> tuple[Clock, EventLog]:
    clock = Clock()
    clock.advance(12.5)
    return clock, EventLog(clock.seconds)


def test_adding() -> None:
    """Events are counted from 1, and have their time."""
    clock, log = _log()
    assert (log.epoch, log.newest, log.oldest) == (12500, 0, 1)
    log.add("joined", "web-1 joined", "web", "dc/n/web-1")
    clock.advance(1)
    log.add("failing", "no answer", reason="refused", before="a", seconds=3.0)
    one, other = log.get(1), log.get(2)
    assert (one.id, one.time, one.kind) == (1, 12.5, "joined")
    assert (one.text, one.query, one.upstream) == ("web-1 joined", "web", "dc/n/web-1")
    assert other == Event(
        id=2,
        time=13.5,
        kind="failing",
        reason="refused",
        before="a",
        seconds=3.0,
        text="no answer",
    )
    assert (log.oldest, log.newest) == (1, 2)


def test_forgetting() -> None:
    """Only the last ones are kept, under the numbers that they have."""
    _, log = _log()
    for number in range(KEPT + 5):
        log.add("joined", str(number))
    assert (log.oldest, log.newest) == (6, KEPT + 5)
    assert (log.get(6).text, log.get(KEPT + 5).text) == ("5", str(KEPT + 4))
    for number in (0, 5, KEPT + 6):
        with pytest.raises(IndexError, match="is not kept"):
            log.get(number)


@pytest.mark.parametrize("char", ["x", "\N{SNOWMAN}"])
def test_long_events(char: str) -> None:
    """Long ones are cut, and fewer of them kept: names are not ours to choose."""
    _, log = _log()
    long = char * 10**5
    for number in range(2 * KEPT):
        upstream = f"dc/n/{number}" + "%20" * 700
        log.add("joined", long, "web", upstream, reason=long, instances=("a", "b"))
    kept = [log.get(each) for each in range(log.oldest, log.newest + 1)]
    assert {len(each.text) for each in kept} == {MOST_TEXT}
    assert {len(each.reason) for each in kept} == {MOST_TEXT}
    size = sum(len(each.text + each.reason + each.upstream) for each in kept)
    assert KEPT_BYTES / 8 < size < KEPT_BYTES
    assert log.newest == 2 * KEPT
    for number in range(KEPT):
        log.add("joined", str(number))
    assert log.newest - log.oldest == KEPT - 1


def test_listening() -> None:
    """A listener is called after each event, until it stops listening."""
    _, log = _log()
    heard: list[int] = []

    def listener() -> None:
        heard.append(log.newest)

    log.listen(listener)
    log.add("joined", "one")
    log.add("left", "one")
    log.ignore(listener)
    log.add("joined", "two")
    assert heard == [1, 2]


def test_ids() -> None:
    """An id is two numbers in ASCII digits; any other text is no id."""
    assert read_event_id("1760000000000-17") == (1_760_000_000_000, 17)
    assert read_event_id("0-0") == (0, 0)
    for odd in ("", "-", "1", "1-", "-1", "1-1\n", " 1-1", "1-\u0661", "9" * 17 + "-1"):
        assert read_event_id(odd) is None
