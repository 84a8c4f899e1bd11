"""When the open connections of a draining upstream are closed."""

from math import ceil

from attrs import frozen

#: The last part of the drain timeout, over which closing is spread: clients must not
#: all reconnect at the same moment.
_SPREAD = 0.1


@frozen
class Drain:
    """A drain: the upstream gets no new connections."""

    #: When the drain began, in seconds.
    since: float
    #: Whether a critical check caused it, not a deregistration or an operator.
    critical: bool = False


def to_close(count: int, since: float, timeout: float, now: float, step: float) -> int:
    """How many of `count` connections to close now, if called every `step` seconds.

    0 for most of the `timeout`, then an equal number per call until none is left at
    its end.
    """
    left = since + timeout - now
    if left > timeout * _SPREAD:
        return 0
    return count if left <= 0 else ceil(count / ceil(left / step))
