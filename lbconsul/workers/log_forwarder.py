"""A worker's log, on its way to the master's."""

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

#: So much log may wait for the master, in bytes, before lines are dropped: some
#: three thousand lines.
MOST_UNSENT = 1 << 20

#: A longer event goes on its way as its text, cut to this many characters.
_LONGEST = 1 << 16


def write_event(event: LogEvent) -> bytes:
    """An event of the log as the master gets it."""
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
    """The event that was written so, without its first byte.

    :raises ValueError: it is none.
    """
    event = eventFromJSON(data.decode())
    if not isinstance(event, dict):
        raise ValueError(f"no event: {event!r}")
    return event


@implementer(ILogObserver)
@define(eq=False)
class LogForwarder:
    """All that a worker says to its master; called with an event, it logs it.

    Whatever the master is at, this never waits for it: of reports only the
    latest is kept, and the log is bounded.
    """

    _log = Logger()
    _write: Callable[[bytes], None]
    _report: bytes | None = None
    _lines: deque[bytes] = Factory(deque)
    #: Bytes of `_lines`, and lines that were dropped since that was last told.
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
        """Say how we are."""
        self._report = write_report(report)
        self._send()

    @property
    def is_free(self) -> bool:
        """Whether what is said now is written at once."""
        return not self._paused

    def say(self, data: bytes) -> None:
        """Say something that is of use only if it is written at once."""
        if not self._paused:
            self._write(data)

    def pause(self) -> None:
        """The master does not read as fast as we write."""
        self._paused = True

    def resume(self) -> None:
        """It has read what was written."""
        self._paused = False
        self._send()
        if self._dropped and not self._paused:
            dropped, self._dropped = self._dropped, 0
            self._log.warn(
                "{lines_dropped} {lines} dropped: they came faster than the master"
                " took them",
                lines_dropped=dropped,
                lines="line" if dropped == 1 else "lines",
            )

    def hurry(self) -> None:
        """It is the end: write all there is, and what comes yet, at once."""
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
