"""A worker's log, on its way to the master's."""

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    capturedLogs,
    eventAsText,
    formatEvent,
    globalLogPublisher,
)
from zope.interface.verify import verifyObject

from lbconsul.workers.log_forwarder import (
    COLLECT,
    MOST_UNSENT,
    LogForwarder,
    read_event,
    write_event,
)
from lbconsul.workers.messages import LINES, LOG, REPORT, Count, Report, read_report


def event(format: str, **fields: Any) -> LogEvent:
    """What a logger makes of it."""
    events: list[LogEvent] = []
    log = Logger("lbconsul.test", observer=events.append)  # type: ignore[arg-type]
    log.warn(format, **fields)
    return events[0]


def passed_on(one: LogEvent) -> LogEvent:
    """What the master makes of it."""
    data = write_event(one)
    assert data[:1] == LOG
    return read_event(data[1:])


class TestEvents:
    """An event of a worker's log, read by the master."""

    def test_fields_of_an_event_arrive(self) -> None:
        """Its text, its fields, its level, its time and its origin arrive."""
        sent = event("{line} of {number}", line="ä\n", number=3, seconds=0.5)
        got = passed_on(sent)
        assert formatEvent(got) == "ä\n of 3"
        assert got["log_level"] is LogLevel.warn
        for each in ("line", "number", "seconds", "log_namespace", "log_time"):
            assert got[each] == sent[each]

    def test_any_object(self) -> None:
        """A value that is no JSON becomes text on the other side."""
        assert formatEvent(passed_on(event("{it!r}", it=Count(1, 2)))) == repr(
            Count(1, 2)
        )

    def test_traceback(self) -> None:
        """A failure arrives with its traceback."""
        events: list[LogEvent] = []
        log = Logger("x", observer=events.append)  # type: ignore[arg-type]
        try:
            raise ValueError("because")
        except ValueError:
            log.failure("a bug")
        text = eventAsText(passed_on(events[0]), includeTimestamp=False)
        assert "a bug" in text
        assert "test_traceback" in text
        assert "because" in text

    def test_too_long(self) -> None:
        """Of a text that is far too long the beginning arrives."""
        got = passed_on(event("{line}", line="x" * 10_000_000))
        assert len(formatEvent(got)) == 65536
        assert got["log_level"] is LogLevel.warn

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b"1", b"\xff"])
    def test_bytes_that_are_no_event(self, data: bytes) -> None:
        """Invalid bytes are no event."""
        with pytest.raises(ValueError):
            read_event(data)


class TestUplink:
    """How a worker says something."""

    def test_at_once(self) -> None:
        """While the master reads, all is said at once."""
        written: list[bytes] = []
        uplink = LogForwarder(Clock(), written.append)
        assert verifyObject(ILogObserver, uplink)
        uplink(event("one"))
        uplink.report(Report(3))
        assert [each[:1] for each in written] == [LOG, REPORT]

    def test_while_the_master_does_not_read(self) -> None:
        """While it does not, lines wait, and of reports the latest one."""
        written: list[bytes] = []
        uplink = LogForwarder(Clock(), written.append)
        uplink.pause()
        for number in range(3):
            uplink(event("{n}", n=number))
            uplink.report(Report(number))
        assert written == []
        uplink.resume()
        assert read_report(written[0][1:]) == Report(2)
        assert [read_event(each[1:])["n"] for each in written[1:]] == [0, 1, 2]

    def test_paused_again(self) -> None:
        """The forwarder sends no more than the master takes."""
        written: list[bytes] = []

        def write(data: bytes) -> None:
            written.append(data)
            uplink.pause()

        uplink = LogForwarder(Clock(), write)
        for number in range(3):
            uplink(event("{n}", n=number))
        assert len(written) == 1
        uplink.resume()
        assert len(written) == 2
        uplink.hurry()
        assert len(written) == 3
        uplink(event("{n}", n=3))
        assert len(written) == 4

    def test_bounded(self) -> None:
        """Lines that do not fit are dropped, and later it is said how many."""
        written: list[bytes] = []
        uplink = LogForwarder(Clock(), written.append)
        uplink.pause()
        for _ in range(100):
            uplink(event("{line}", line="x" * 20_000))
        globalLogPublisher.addObserver(uplink)
        try:
            uplink.resume()
            uplink.resume()
        finally:
            globalLogPublisher.removeObserver(uplink)
        kept, last = written[:-1], read_event(written[-1][1:])
        assert MOST_UNSENT - 70_000 < sum(map(len, kept)) <= MOST_UNSENT
        dropped = 100 - len(kept)
        assert formatEvent(last) == (f"{dropped} lines dropped: the master is too slow")
        assert last["lines_dropped"] == dropped
        uplink(event("x"))
        assert len(written) == len(kept) + 2


class TestLines:
    """How a worker sends the lines of its connections."""

    def test_together(self) -> None:
        """Lines of a fiftieth of a second are one message, in their order."""
        clock, written = Clock(), list[bytes]()
        uplink = LogForwarder(clock, written.append)
        uplink.write_line(b"one\n")
        uplink.write_line(b"two\n")
        assert written == []
        clock.advance(COLLECT)
        assert written == [LINES + b"one\ntwo\n"]
        clock.advance(10 * COLLECT)
        assert len(written) == 1

    def test_lines_and_events_keep_their_order(self) -> None:
        """A line stands before the event that follows it, and after the one before."""
        clock, written = Clock(), list[bytes]()
        uplink = LogForwarder(clock, written.append)
        uplink(event("x"))
        uplink.write_line(b"one\n")
        uplink(event("x"))
        uplink.write_line(b"two\n")
        clock.advance(COLLECT)
        assert [each[:1] for each in written] == [LOG, LINES, LOG, LINES]

    def test_at_the_end(self) -> None:
        """A worker that ends sends what it has, and each further line at once."""
        written: list[bytes] = []
        uplink = LogForwarder(Clock(), written.append)
        uplink.write_line(b"one\n")
        uplink.hurry()
        uplink.write_line(b"two\n")
        assert written == [LINES + b"one\n", LINES + b"two\n"]

    def test_bounded(self) -> None:
        """Lines that do not fit are dropped, and later the log says how many."""
        clock, written = Clock(), list[bytes]()
        uplink = LogForwarder(clock, written.append)
        uplink.pause()
        for _ in range(100):
            uplink.write_line(b"x" * 20_000)
        with capturedLogs() as events:
            uplink.resume()
        assert [len(each) for each in written] == [1 + 52 * 20_000]
        assert events[-1]["lines_dropped"] == 48


def test_of_use_at_once() -> None:
    """
    Reports that are only of use at once are sent while the master reads, else never.
    """
    written: list[bytes] = []
    uplink = LogForwarder(Clock(), written.append)
    free = [uplink.is_free]
    uplink.say(b"one")
    uplink.pause()
    free.append(uplink.is_free)
    uplink.say(b"two")
    uplink.resume()
    uplink.say(b"three")
    assert written == [b"one", b"three"]
    assert free == [True, False]
