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
from twisted.logger import formatTime

#: The loggers whose events the lines stand for: of connections, and of requests.
SOURCE = "lbconsul.proxy.access_log.ConnectionLog"
OF_REQUESTS = "lbconsul.proxy.request_log.RequestLog"

#: What the time of a line, and of a line of JSON, is made of.
_PREFIX = f" [{SOURCE}#info] "
_SOURCE = f'"level":"info","source":"{SOURCE}"'
_in_json = json.JSONEncoder(separators=(",", ":")).encode
_PREFIX_OF_REQUESTS = f" [{OF_REQUESTS}#info] "


@define(eq=False)
class ConnectionLines:
    """Formats lines as text or as JSON, and passes each to `_write` with its newline.

    `worker` is the number of the worker process whose connections and requests these
    are; 0: they are the gateway's own.
    """

    is_json: bool
    _write: Callable[[bytes], None]
    _worker: int = 0
    #: The wall clock, which Twisted's logger takes too.
    _now: Callable[[], float] = time.time  # noqa: TID251
    #: The text of this second of the wall clock.
    _second: int = -1
    _stamp: str = ""
    #: The second, and the text of the time, of the last line of a request.
    _request_second: int = -1
    _request_stamp: str = ""
    _suffix: str = field(init=False)

    def __attrs_post_init__(self) -> None:
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
                f'{{"time":"{self._stamp}{int((now - second) * 1000):03}Z",{_SOURCE},'
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
        stamp = self._stamp_of_request(int(self._now()))
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
        stamp = self._stamp_of_request(second)
        if self.is_json:
            head = {
                "time": f"{stamp}{int((now - second) * 1000):03}Z",
                "level": "info",
                "source": OF_REQUESTS,
                "message": message,
            }
            self._write(f"{_in_json({**head, **fields})[:-1]}{self._suffix}".encode())
        else:
            self._write(f"{stamp}{message}\n".encode("utf-8", "backslashreplace"))

    def pass_on(self, lines: bytes) -> None:
        """Write lines that a worker has formatted."""
        for line in lines.splitlines(keepends=True):
            self._write(line)

    def _stamp_of_request(self, second: int) -> str:
        if second != self._request_second:
            self._request_second = second
            stamp = self._stamp_of(second)
            self._request_stamp = stamp.replace(_PREFIX, _PREFIX_OF_REQUESTS)
        return self._request_stamp

    def _stamp_of(self, second: int) -> str:
        if not self.is_json:
            return f"{formatTime(second)}{_PREFIX}"
        return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
