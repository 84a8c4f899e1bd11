"""The log as JSON: one object a line, for machines.

``time`` (ISO 8601, UTC), ``level``, ``source`` (who says it) and ``message`` are in
each of them; beside them stand the fields of the event, under their own names.
"""

import json
import signal
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from enum import Enum
from math import isfinite
from typing import Any, TextIO, cast

from twisted.logger import FileLogObserver, LogEvent, formatEvent
from twisted.python.logfile import LogFile

from lbconsul.errors import ConfigError

#: What twisted.python.log adds to an event, and what our own fields are called.
_TAKEN = frozenset(
    {"time", "level", "source", "message", "traceback"}
    | {"system", "isError", "failure", "format", "printed", "why"}
)

#: Values within values are looked at so deep.
_DEPTH = 3


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


def use_json(parent: MutableMapping[str, Any] | None) -> None:
    """Have twistd, or twist, whose options these are, log so from the first line on.

    :raises ConfigError: it is to log to where JSON cannot go.
    """
    if parent is None:
        return  # whoever embeds us has a log of his own
    if "fileLogObserverFactory" in parent:  # twist
        parent["fileLogObserverFactory"] = _observer
    elif parent.get("syslog"):
        raise ConfigError("--log-format json: cannot be had with twistd's --syslog")
    elif not parent.get("logger"):
        parent["logger"] = f"{__name__}.{of_twistd.__name__}"
        _twistd.clear()
        _twistd.append(parent)


#: The options of twistd, once it was told to use JSON: it wants the name of a
#: function, which it calls with nothing.
_twistd: list[Mapping[str, Any]] = []


def of_twistd() -> FileLogObserver:
    """What writes to where twistd would."""
    [parent] = _twistd
    path, stays = parent.get("logfile"), parent.get("nodaemon")
    if path == "-" and not stays:
        raise SystemExit("Daemons cannot log to stdout, exiting!")
    if path == "-" or (stays and not path):
        return _observer(sys.stdout)
    return _InFile(LogFile.fromFullPath(path or "twistd.log"))


class _InFile(FileLogObserver):
    """Writes to a file, and begins another one after SIGUSR1, as twistd does."""

    def __init__(self, file: LogFile) -> None:
        super().__init__(cast(TextIO, file), as_json)
        self._file = file
        self._is_due = False
        if signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL:
            signal.signal(signal.SIGUSR1, self._ask)

    def _ask(self, *_: object) -> None:
        self._is_due = True  # it may be in the middle of a line

    def __call__(self, event: LogEvent) -> None:
        if self._is_due:
            self._is_due = False
            self._file.rotate()
        super().__call__(event)


def _observer(file: TextIO) -> FileLogObserver:
    return FileLogObserver(file, as_json)


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
