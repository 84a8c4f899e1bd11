"""Formats log events as lines: as text, or as JSON for machines.

A text line is ``time level message``, with the time in ISO 8601; further lines of one
message, such as a traceback's, begin with a tab.  Each JSON line has ``time`` (UTC),
``level``, ``source`` (the logger's namespace) and ``message``, and the event's fields
under their own names.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from math import isfinite
from typing import Any

from attrs import frozen
from twisted.logger import LogEvent, LogLevel, eventAsText, formatEvent

#: The syslog priority of each level: RFC 5424, section 6.2.1, and sd-daemon(3).
_PRIORITIES = {"debug": 7, "info": 6, "warn": 4, "error": 3, "critical": 2}

#: What Twisted logs, at level info, of each port that it opens or closes.
_OF_PORTS = re.compile(r".* starting on .*|\(.*Port .* Closed\)", re.DOTALL)

#: Field names that are left out: those of the line itself, and those that
#: twisted.python.log adds to an event.
_TAKEN = frozenset(
    {"time", "level", "source", "message", "traceback"}
    | {"system", "isError", "failure", "format", "printed", "why"}
)

#: How many levels of nested values are written.
_DEPTH = 3


@frozen
class LineFormat:
    """How the lines of a log look.

    With `has_priority` each begins with its syslog priority, as ``<6>``, for readers
    that have the time and the level of their own: lines of text do without.
    """

    is_json: bool = False
    has_priority: bool = False
    #: Stands before the object in a line of JSON.
    cookie: str = ""

    def __call__(self, event: LogEvent) -> bytes:
        """The event's lines, each with its newline; empty for one without text."""
        prefix = self.prefix(level_of(event))
        if self.is_json:
            text = f"{prefix}{as_json(event)}"
        elif not self.has_priority:
            text = as_text(event)
        else:
            lines = _message(event).split("\n")[:-1]
            text = "".join(f"{prefix}{line}\n" for line in lines)
        return text.encode("utf-8", "backslashreplace")

    def prefix(self, level: str = "info") -> str:
        """What stands before the rest of a line."""
        priority = f"<{_PRIORITIES.get(level, 6)}>" if self.has_priority else ""
        return f"{priority}{self.cookie}"


def is_noise(event: LogEvent) -> bool:
    """Whether it is routine of Twisted itself: a port, a factory, the main loop."""
    if event.get("log_level") not in (LogLevel.info, LogLevel.debug):
        return False
    source = event.get("log_namespace", "")
    if source == "log_legacy":
        return _OF_PORTS.fullmatch(formatEvent(event)) is not None
    return bool(source.startswith("twisted."))


def level_of(event: LogEvent) -> str:
    """The name of an event's level."""
    return getattr(event.get("log_level"), "name", "info")


def as_text(event: LogEvent) -> str:
    """An event as lines of text; empty if it has no text."""
    message = _message(event)
    time = local_time(int(event.get("log_time", 0.0)))
    return f"{time} {level_of(event)} {message}" if message else ""


def _message(event: LogEvent) -> str:
    """The event's text, with a tab before each further line."""
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    return text.rstrip("\n").replace("\n", "\n\t") + "\n" if text else ""


def as_json(event: LogEvent) -> str:
    """An event as one line of JSON, with its newline."""
    message = formatEvent(event)
    row = {
        "time": _iso(event.get("log_time", 0.0)),
        "level": level_of(event),
        "source": str(event.get("log_namespace", "")),
        "message": message,
    }
    row |= {
        name: value
        for name, value in _fields(event)
        # The access log's field `line` would repeat the message.
        if value is not _NOTHING and value != message
    }
    failure = event.get("log_failure")
    if failure is not None:
        row["traceback"] = failure.getTraceback()
    return json.dumps(row, separators=(",", ":")) + "\n"


@lru_cache(maxsize=4)
def local_time(second: int) -> str:
    """A second of the wall clock, cached for lines of the same second."""
    return datetime.fromtimestamp(second, UTC).astimezone().isoformat()


def _iso(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


_NOTHING = object()


def _fields(event: LogEvent) -> list[tuple[str, Any]]:
    """The event's own fields, as JSON values or `_NOTHING`."""
    return [
        (name, _told(value, _DEPTH))
        for name, value in event.items()
        if not name.startswith(("log_", "_")) and name not in _TAKEN
    ]


def _told(value: Any, depth: int) -> Any:
    """A value as JSON can hold it, else its text; `_NOTHING` if it has none."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float):
        return round(value, 6) if isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping) and depth:
        fields = {str(key): _told(each, depth - 1) for key, each in value.items()}
        return {key: each for key, each in fields.items() if each is not _NOTHING}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        rows = [_told(each, depth - 1) for each in value]
        return [each for each in rows if each is not _NOTHING]
    # The default text of an object shows only its type and address.
    has_text = getattr(type(value), "__str__") is not object.__str__  # noqa: B009
    return str(value) if has_text else _NOTHING
