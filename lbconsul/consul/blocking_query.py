"""The arithmetic of a blocking query: index, failures, pace.  Pure.

https://developer.hashicorp.com/consul/api-docs/features/blocking
"""

from attrs import define, evolve, frozen

#: Between tries after failures, in seconds: the first bound, doubled at each
#: further failure up to the next one, at which it stays for so many failures that
#: news come soon after an outage of half a minute; then doubled up to the last.
FIRST_BACKOFF = 0.5
NEXT_BACKOFF = 4.0
SHORT_OUTAGE = 20
LAST_BACKOFF = 30.0

#: The last bound while Consul cannot even be connected to.  A connection that
#: is refused is no burden to it, and the sooner we see it back the better.
LAST_UNREACHED_BACKOFF = 2.0

#: Before the next question when the answer's index cannot be blocked on, in
#: seconds: without this, such a server would be asked without end.
BLIND_PAUSE = 1.0


@frozen
class Cursor:
    """Where a blocking query stands."""

    #: What to send as ``index``; 0 asks for an answer at once.
    index: int = 0
    #: Failures since the last good answer.
    failures: int = 0
    #: Whether the last failure came before Consul was connected to.
    unreached: bool = False
    #: Whether the last answer had no index that one can block on.
    blind: bool = False

    def answered(self, index: str | None) -> "Cursor":
        """A good answer came, with this ``X-Consul-Index``.

        An index that goes backwards starts over (the server lost its state);
        one below 1 would never block.
        """
        # Consul's have 20 digits at most; int() raises at some thousands.
        number = int(index) if index and index.isdecimal() and len(index) <= 20 else 0
        if number < 1:
            return Cursor(blind=True)
        return Cursor(index=number if number >= self.index else 0)

    def failed(self, *, unreached: bool = False) -> "Cursor":
        """No good answer came; an index from before an outage may never come up."""
        return evolve(
            self, index=0, failures=self.failures + 1, unreached=unreached, blind=False
        )

    def pause(self, chance: float) -> float:
        """Seconds to wait before the next question; `chance` is from 0 to 1.

        Full jitter: many gateways that lost the same Consul do not come back
        in step.
        """
        if self.blind:
            return BLIND_PAUSE
        if not self.failures:
            return 0.0
        if self.failures <= SHORT_OUTAGE:
            bound = min(NEXT_BACKOFF, FIRST_BACKOFF * 2.0 ** (self.failures - 1))
        else:
            doublings = min(self.failures - SHORT_OUTAGE, 16)
            bound = min(LAST_BACKOFF, NEXT_BACKOFF * 2.0**doublings)
        return chance * min(bound, LAST_UNREACHED_BACKOFF if self.unreached else bound)


@define
class Bucket:
    """A token bucket: a small burst at once, then `rate` a second.

    A service that churns cannot make us flood Consul, and a single change is
    asked after without delay.
    """

    rate: float
    burst: float
    _tokens: float = 0.0
    _since: float | None = None

    def take(self, now: float) -> float:
        """Take one token at the time `now`; the seconds to wait until it is there."""
        self._fill(now)
        self._tokens -= 1
        return max(0.0, -self._tokens / self.rate)

    def allows(self, now: float) -> bool:
        """Take one token at the time `now`, if there is one; whether there was."""
        self._fill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _fill(self, now: float) -> None:
        if self._since is None:
            self._tokens = self.burst
        else:
            earned = (now - self._since) * self.rate
            self._tokens = min(self.burst, self._tokens + earned)
        self._since = now
