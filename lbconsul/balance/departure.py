"""When the connections to an upstream that is left are closed."""

from math import ceil

from attrs import frozen

#: The last part of the time, over which the closing is spread: so that not all
#: clients come back at the same moment.
_SPREAD = 0.1


@frozen
class Drain:
    """An upstream gets nothing any more."""

    #: Since when, in seconds.
    since: float
    #: Whether it turned critical, rather than left or was put at rest.
    critical: bool = False


def to_close(count: int, since: float, timeout: float, now: float, step: float) -> int:
    """How many of `count` connections to close now, when asked each `step` seconds.

    None for the most of the `timeout`, then so many each time that none is left
    at its end.
    """
    left = since + timeout - now
    if left > timeout * _SPREAD:
        return 0
    return count if left <= 0 else ceil(count / ceil(left / step))
