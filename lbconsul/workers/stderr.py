"""Logs a worker's standard error, which is empty unless something is wrong."""

from collections.abc import Callable

from attrs import define

#: Longer lines are cut to this many bytes.
LONGEST = 1000

#: At most `MOST` lines are passed on in `EVERY` seconds: some five tracebacks.
MOST, EVERY = 100, 60.0


@define(eq=False)
class Printed:
    """Splits the output into lines and passes on each, up to a limit."""

    _tell: Callable[[str], None]
    _rest: bytes = b""
    #: Lines passed on since then.
    _told: int = 0
    _since: float = 0.0

    def more(self, data: bytes, now: float) -> None:
        """Take output that was just read."""
        if now - self._since >= EVERY:
            self._told, self._since = 0, now
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:LONGEST]
        for line in lines:
            self._line(line)

    def end(self) -> None:
        """Pass on an unfinished last line: the output has ended."""
        rest, self._rest = self._rest, b""
        if rest:
            self._line(rest)

    def _line(self, line: bytes) -> None:
        if self._told == MOST:
            self._tell("(too many lines: the next ones are dropped)")
        elif self._told < MOST:
            text = line[:LONGEST].decode(errors="replace")
            self._tell("".join(char if char.isprintable() else "?" for char in text))
        self._told += 1
