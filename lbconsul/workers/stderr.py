"""Logs a worker's standard error, which is empty unless something is wrong."""

from collections.abc import Callable, Mapping

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from lbconsul.net.rate_limit import TokenBucket
from lbconsul.net.throttled_log import ThrottledLog
from lbconsul.text import printable

#: Longer lines are cut to this many bytes.
LONGEST = 1000

#: The burst of lines, some five tracebacks, and lines a second.
BURST, RATE = 100.0, 1.0

#: Seconds until the log says how many lines were left out.
SUM_UP_EVERY = 60.0


@define(eq=False)
class Printed:
    """Splits the output into lines and passes on each, up to a limit."""

    _clock: IReactorTime
    _tell: Callable[[str], None]
    _rest: bytes = b""
    _bound: ThrottledLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._bound = ThrottledLog(
            self._clock, TokenBucket(RATE, BURST), self._sum_up, SUM_UP_EVERY
        )

    def more(self, data: bytes) -> None:
        """Take output that was just read."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:LONGEST]
        for line in lines:
            self._line(line)

    def end(self) -> None:
        """Pass on an unfinished last line: the output has ended."""
        rest, self._rest = self._rest, b""
        if rest:
            self._line(rest)
        self._bound.stop()

    def _line(self, line: bytes) -> None:
        if self._bound.allow("line"):
            self._tell(printable(line[:LONGEST].decode(errors="replace")))

    def _sum_up(self, counts: Mapping[str, int]) -> None:
        self._tell(f"({sum(counts.values())} more lines are left out)")
