"""Writes the lines of the access log without a log event for each.

A line is what `lbconsul.logs.format` makes of the event, at a small part of its cost:
an event costs more than all the rest of a connection.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from select import PIPE_BUF
from typing import Any

from attrs import define, field

from lbconsul.logs.format import LineFormat, local_time

#: The loggers whose events the lines stand for: of connections, and of requests.
SOURCE = "lbconsul.proxy.access_log.ConnectionLog"
OF_REQUESTS = "lbconsul.proxy.request_log.RequestLog"

_SOURCE = f'"level":"info","source":"{SOURCE}"'
_in_json = json.JSONEncoder(separators=(",", ":")).encode


@define(eq=False)
class ConnectionLines:
    """Formats lines as `format` says, and passes each to `_write` with its newline.

    `worker` is the number of the worker process whose connections and requests these
    are; 0: they are the gateway's own.
    """

    format: LineFormat
    _write: Callable[[bytes], None]
    _worker: int = 0
    #: The wall clock, which Twisted's logger takes too.
    _now: Callable[[], float] = time.time  # noqa: TID251
    #: What a line of this second of the wall clock begins with.
    _second: int = -1
    _stamp: str = ""
    _suffix: str = field(init=False)
    #: Whether the lines are JSON.
    is_json: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.is_json = self.format.is_json
        self._suffix = f',"worker":{self._worker}}}\n' if self._worker else "}\n"

    def write(
        self,
        message: str,
        client: str,
        mapping: str,
        upstream: str,
        received: int,
        sent: int,
        seconds: float,
        retries: int,
        termination: str,
        facts: Mapping[str, str],
    ) -> None:
        """Write the line of one connection; `facts` are further fields of JSON."""
        now = self._now()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, self._stamp_of(second)
        if not self.is_json:
            line = f"{self._stamp}{message}\n"
        else:
            line = (
                f'{self._stamp}{int((now - second) * 1000):03}Z",{_SOURCE},'
                f'"message":{quoted(message)},"client":{quoted(client)},'
                f'"mapping":{quoted(mapping)},"upstream":{quoted(upstream)},'
                f'"received":{received},"sent":{sent},"seconds":{round(seconds, 6)},'
                f'"retries":{retries},"termination":"{termination}"'
            )
            for name, fact in facts.items():
                line += f',"{name}":{quoted(fact)}'
            line += self._suffix
        self._write(line.encode("utf-8", "backslashreplace"))

    def write_requests(self, messages: Sequence[str]) -> None:
        """Write the lines of several requests as text, as few pieces.

        A piece is as long as a write into a pipe may be without those of other
        processes in its middle.
        """
        second = int(self._now())
        if second != self._second:
            self._second, self._stamp = second, self._stamp_of(second)
        stamp = self._stamp
        piece, size = list[str](), 0
        for each in messages:
            line = f"{stamp}{each}\n"
            size += len(line)
            if size > PIPE_BUF and piece:
                self._write("".join(piece).encode("utf-8", "backslashreplace"))
                piece, size = [], len(line)
            piece.append(line)
        self._write("".join(piece).encode("utf-8", "backslashreplace"))

    def write_request(self, message: str, fields: Mapping[str, Any]) -> None:
        """Write the line of one request; `fields` are for JSON."""
        now = self._now()
        second = int(now)
        if second != self._second:
            self._second, self._stamp = second, self._stamp_of(second)
        if self.is_json:
            head = {"level": "info", "source": OF_REQUESTS, "message": message}
            line = (
                f'{self._stamp}{int((now - second) * 1000):03}Z",'
                f"{_in_json({**head, **fields})[1:-1]}{self._suffix}"
            )
        else:
            line = f"{self._stamp}{message}\n"
        self._write(line.encode("utf-8", "backslashreplace"))

    def pass_on(self, lines: bytes) -> None:
        """Write lines that a worker has formatted."""
        for line in lines.splitlines(keepends=True):
            self._write(line)

    def _stamp_of(self, second: int) -> str:
        prefix = self.format.prefix()
        if self.is_json:
            time = datetime.fromtimestamp(second, UTC)
            return f'{prefix}{{"time":"{time:%Y-%m-%dT%H:%M:%S.}'
        if self.format.has_priority:
            return prefix
        return f"{prefix}{local_time(second)} info "
