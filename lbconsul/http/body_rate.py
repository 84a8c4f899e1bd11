"""How fast a client sends a body, or reads one.  Pure."""

from attrs import define

#: In seconds.  The rate is the average of so long: a pause that is shorter, as of a
#: mobile phone that changes its cell, ends nothing that is fast enough otherwise.
WINDOW = 10.0


@define(eq=False)
class BodyRate:
    """The rate of one body, or of two that move at once; times are in seconds.

    Only time in which the client holds things up is to be measured: a response that
    comes slowly is no fault of its reader.
    """

    since: float
    #: Bytes that had moved by then.
    moved: int

    def is_below(self, least: int, moved: int, now: float) -> bool:
        """Whether the last window is over, and had less than `least` bytes a second."""
        span, count = now - self.since, moved - self.moved
        if span < WINDOW:
            return False
        self.since, self.moved = now, moved
        return count < least * span
