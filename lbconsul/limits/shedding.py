"""Decides how much of the load a process turns away that lags behind.  Pure."""

#: Measurements of the lag a second, how many in a row must be too long before anything
#: is turned away, and by how many percent that grows and shrinks with each further one.
_PATIENCE, _MORE, _LESS = 4, 10, 5

#: The most that is turned away, in percent: the rest shows whether it may be less.
_MOST = 90


class Shedder:
    """The share of new requests, or connections, that one row turns away."""

    __slots__ = ("_carry", "_late", "limit", "share")

    def __init__(self, limit: float) -> None:
        #: Seconds of lag.
        self.limit = limit
        #: In percent.
        self.share = 0
        #: Measurements in a row beyond the limit, and the percents since the last one
        #: that was turned away.
        self._late = self._carry = 0

    def measured(self, lag: float) -> None:
        """The reactor was so many seconds late.  Called four times a second."""
        if lag <= self.limit:
            self._late = 0
            self.share = max(0, self.share - _LESS)
            return
        self._late += 1
        if self._late >= _PATIENCE:
            self.share = min(_MOST, self.share + _MORE)

    def refuses(self) -> bool:
        """Whether the next one is turned away: evenly, and without chance."""
        self._carry += self.share
        if self._carry < 100:
            return False
        self._carry -= 100
        return True
