"""Events of the log as lines: as Twisted writes them, and as JSON for machines.

In JSON ``time`` (ISO 8601, UTC), ``level``, ``source`` (who says it) and ``message``
are in each line; beside them stand the fields of the event, under their own names.
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

#: What twisted.python.log adds to an event, and what our own fields are called.
_TAKEN = frozenset(
    {"time", "level", "source", "message", "traceback"}
    | {"system", "isError", "failure", "format", "printed", "why"}
)

#: Values within values are looked at so deep.
_DEPTH = 3


def as_text(event: LogEvent) -> str:
    """An event as twistd writes it; empty if it has no text."""
    return formatEventAsClassicLogText(event, formatTime=_local_time) or ""


def as_json(event: LogEvent) -> str:
    """An event on one line, with its end."""
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
        # The line of a connection is the whole message.
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
    """Lines of the same second share its text."""
    return formatTime(seconds)


def _iso(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


_NOTHING = object()


def _fields(event: LogEvent) -> list[tuple[str, Any]]:
    """The event's own fields, as far as they are something to be told."""
    return [
        (name, _told(value, _DEPTH))
        for name, value in event.items()
        if not name.startswith(("log_", "_")) and name not in _TAKEN
    ]


def _told(value: Any, depth: int) -> Any:
    """What JSON can hold, or the text of what has one; else nothing."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float):
        return round(value, 6) if isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping) and depth:
        told = {str(key): _told(each, depth - 1) for key, each in value.items()}
        return {key: each for key, each in told.items() if each is not _NOTHING}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        rows = [_told(each, depth - 1) for each in value]
        return [each for each in rows if each is not _NOTHING]
    # What has no text of its own would tell its innards.
    has_text = getattr(type(value), "__str__") is not object.__str__  # noqa: B009
    return str(value) if has_text else _NOTHING
