"""Sends a worker's log and reports to the master."""

from collections import deque
from collections.abc import Callable

from attrs import Factory, define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    eventAsJSON,
    eventFromJSON,
    formatEvent,
)
from zope.interface import implementer

from lbconsul.workers.messages import LINES, LOG, Report, write_report

#: The most log in bytes that may wait for the master; further lines are dropped. It is
#: some three thousand lines.
MOST_UNSENT = 1 << 20

#: How long lines are collected before they are sent, in seconds.
COLLECT = 0.02

#: An event longer than this many bytes is sent as its text, cut to as many characters.
_LONGEST = 1 << 16


def write_event(event: LogEvent) -> bytes:
    """Encode a log event for the master."""
    data = eventAsJSON(event).encode()
    if len(data) > _LONGEST:
        kept: LogEvent = {
            key: event[key]
            for key in ("log_level", "log_namespace", "log_time")
            if key in event
        }
        text = formatEvent(event)[:_LONGEST]
        data = eventAsJSON({**kept, "log_format": "{text}", "text": text}).encode()
    return LOG + data


def read_event(data: bytes) -> LogEvent:
    """Decode a log event, without its first byte.

    :raises ValueError: the data is no log event.
    """
    event = eventFromJSON(data.decode())
    if not isinstance(event, dict):
        raise ValueError(f"not an event: {event!r}")
    return event


@implementer(ILogObserver)
@define(eq=False)
class LogForwarder:
    """Sends a worker's messages to the master; it is a log observer as well.

    It never waits for the master: only the latest report is kept, and the log is
    bounded.
    """

    _log = Logger()
    _clock: IReactorTime
    _write: Callable[[bytes], None]
    _report: bytes | None = None
    #: Messages to send; and lines of the access log that will be one.
    _lines: deque[bytes] = Factory(deque)
    _batch: list[bytes] = Factory(list)
    #: Bytes of both, and lines dropped since the last warning about it.
    _unsent: int = 0
    _dropped: int = 0
    _paused: bool = False
    _ending: bool = False

    def __call__(self, event: LogEvent) -> None:
        line = write_event(event)
        if self._has_room(line):
            self._close_batch()
            self._lines.append(line)
            self._send()

    def write_line(self, line: bytes) -> None:
        """Send a line of the access log, with those of the next `COLLECT` seconds.

        Or several lines at once.
        """
        if self._has_room(line):
            if not self._batch:
                self._clock.callLater(COLLECT, self._send_batch)
            self._batch.append(line)
            if self._ending:
                self._send_batch()

    def _has_room(self, line: bytes) -> bool:
        """Count the bytes of a line as unsent, or the line as dropped."""
        if self._unsent + len(line) > MOST_UNSENT:
            self._dropped += line.count(b"\n") or 1
            return False
        self._unsent += len(line)
        return True

    def _close_batch(self) -> None:
        if self._batch:
            self._unsent += len(LINES)
            self._lines.append(LINES + b"".join(self._batch))
            self._batch.clear()

    def _send_batch(self) -> None:
        self._close_batch()
        self._send()

    def report(self, report: Report) -> None:
        """Send a report in place of any older one that is unsent."""
        self._report = write_report(report)
        self._send()

    @property
    def is_free(self) -> bool:
        """Whether `say` would write at once."""
        return not self._paused

    def say(self, data: bytes) -> None:
        """Write data that is useful only now; drop it if the master does not read."""
        if not self._paused:
            self._write(data)

    def pause(self) -> None:
        """Stop writing: the master reads more slowly than the worker writes."""
        self._paused = True

    def resume(self) -> None:
        """Write again: the master has read what was written."""
        self._paused = False
        self._send_batch()
        if self._dropped and not self._paused:
            dropped, self._dropped = self._dropped, 0
            self._log.warn(
                "{lines_dropped} {lines} dropped: the master is too slow",
                lines_dropped=dropped,
                lines="line" if dropped == 1 else "lines",
            )

    def hurry(self) -> None:
        """Write all that waits, and from now on everything at once: the worker is
        ending.
        """
        self._ending = True
        self._send_batch()

    def _send(self) -> None:
        while self._ending or not self._paused:
            if self._report is not None:
                data, self._report = self._report, None
            elif self._lines:
                data = self._lines.popleft()
                self._unsent -= len(data)
            else:
                return
            self._write(data)
