"""Writes the lines of the access log without a log event for each.

A line is what `lbconsul.logs.format` makes of the event, at a small part of its cost:
an event costs more than all the rest of a connection.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted

from attrs import define, field
from twisted.logger import formatTime

#: The logger whose events the lines stand for.
SOURCE = "lbconsul.proxy.access_log.ConnectionLog"

#: What the time of a line, and of a line of JSON, is made of.
_PREFIX = f" [{SOURCE}#info] "
_SOURCE = f'"level":"info","source":"{SOURCE}"'


@define(eq=False)
class ConnectionLines:
    """Formats lines as text or as JSON, and passes each to `_write` with its newline.

    `worker` is the number of the worker process whose connections these are; 0: they
    are the gateway's own.
    """

    is_json: bool
    _write: Callable[[bytes], None]
    _worker: int = 0
    #: The wall clock, which Twisted's logger takes too.
    _now: Callable[[], float] = time.time  # noqa: TID251
    #: The text of this second of the wall clock.
    _second: int = -1
    _stamp: str = ""
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

    def pass_on(self, lines: bytes) -> None:
        """Write lines that a worker has formatted."""
        for line in lines.splitlines(keepends=True):
            self._write(line)

    def _stamp_of(self, second: int) -> str:
        if not self.is_json:
            return f"{formatTime(second)}{_PREFIX}"
        return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
