"""Sends a worker's log and reports to the master."""

from collections import deque
from collections.abc import Callable

from attrs import Factory, define
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    eventAsJSON,
    eventFromJSON,
    formatEvent,
)
from zope.interface import implementer

from lbconsul.workers.messages import LOG, Report, write_report

#: The most log in bytes that may wait for the master; further lines are dropped. It is
#: some three thousand lines.
MOST_UNSENT = 1 << 20

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
    _write: Callable[[bytes], None]
    _report: bytes | None = None
    _lines: deque[bytes] = Factory(deque)
    #: Bytes of `_lines`, and lines dropped since the last warning about it.
    _unsent: int = 0
    _dropped: int = 0
    _paused: bool = False
    _ending: bool = False

    def __call__(self, event: LogEvent) -> None:
        line = write_event(event)
        if self._unsent + len(line) > MOST_UNSENT:
            self._dropped += 1
            return
        self._unsent += len(line)
        self._lines.append(line)
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
        self._send()
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
        self._send()

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
