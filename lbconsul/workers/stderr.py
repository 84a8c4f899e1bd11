"""What a worker prints: nothing, unless something is wrong with it."""

from collections.abc import Callable

from attrs import define

#: Of a longer line only so much is kept, in bytes.
LONGEST = 1000

#: So many lines are passed on in so many seconds, and further ones are not: some
#: five tracebacks.
MOST, EVERY = 100, 60.0


@define(eq=False)
class Printed:
    """Cuts what was printed into lines, and tells each, up to a limit."""

    _tell: Callable[[str], None]
    _rest: bytes = b""
    #: Lines told since then.
    _told: int = 0
    _since: float = 0.0

    def more(self, data: bytes, now: float) -> None:
        """This was printed just now."""
        if now - self._since >= EVERY:
            self._told, self._since = 0, now
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:LONGEST]
        for line in lines:
            self._line(line)

    def end(self) -> None:
        """Nothing more will be printed."""
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
