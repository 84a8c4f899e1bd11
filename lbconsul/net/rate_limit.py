"""Token buckets: bound how often something happens.  Pure."""

from attrs import define


@define
class TokenBucket:
    """A token bucket: `burst` tokens at once, then `rate` tokens a second."""

    rate: float
    burst: float
    _tokens: float = 0.0
    _since: float | None = None

    def allows(self, now: float) -> bool:
        """Take one token at the time `now` if there is one; return whether it did."""
        if self._since is None:
            tokens = self.burst
        else:
            # A clock may be set back.
            earned = max(0.0, now - self._since) * self.rate
            tokens = min(self.burst, self._tokens + earned)
        self._since = now
        has_one = tokens >= 1
        self._tokens = tokens - 1 if has_one else tokens
        return has_one

    def take(self, now: float) -> float:
        """Take one token at the time `now`; return the seconds until it is there."""
        if self.allows(now):
            return 0.0
        self._tokens -= 1
        return max(0.0, -self._tokens / self.rate)
