"""Formats log events as lines: as Twisted's text, or as JSON for machines.

Each JSON line has ``time`` (ISO 8601, UTC), ``level``, ``source`` (the logger's
namespace) and ``message``, and the event's fields under their own names.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from math import isfinite
from typing import Any

from twisted.logger import (
    LogEvent,
    formatEvent,
    formatEventAsClassicLogText,
    formatTime,
)

#: Field names that are left out: those of the line itself, and those that
#: twisted.python.log adds to an event.
_TAKEN = frozenset(
    {"time", "level", "source", "message", "traceback"}
    | {"system", "isError", "failure", "format", "printed", "why"}
)

#: How many levels of nested values are written.
_DEPTH = 3


def as_text(event: LogEvent) -> str:
    """An event as twistd writes it; empty if it has no text."""
    return formatEventAsClassicLogText(event, formatTime=_local_time) or ""


def as_json(event: LogEvent) -> str:
    """An event as one line of JSON, with its newline."""
    message = formatEvent(event)
    level = event.get("log_level")
    row = {
        "time": _iso(event.get("log_time", 0.0)),
        "level": getattr(level, "name", "info"),
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


def _local_time(seconds: float | None) -> str:
    return formatTime(None) if seconds is None else _second(int(seconds))


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """The text of a second, cached for lines of the same second."""
    return formatTime(seconds)


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
