"""The arithmetic of a blocking query: index and backoff.  Pure.

https://developer.hashicorp.com/consul/api-docs/features/blocking
"""

from attrs import evolve, frozen

#: The bounds of the backoff after failures, in seconds.  The bound starts at
#: FIRST_BACKOFF and doubles with each failure up to NEXT_BACKOFF.  There it stays
#: until SHORT_OUTAGE failures in a row, for a quick recovery from an outage of half a
#: minute; then it doubles up to LAST_BACKOFF.
FIRST_BACKOFF = 0.5
NEXT_BACKOFF = 4.0
SHORT_OUTAGE = 20
LAST_BACKOFF = 30.0

#: The last bound while connecting to Consul fails, in seconds.  A refused connection
#: costs Consul nothing, and a short bound notices its return sooner.
LAST_UNREACHED_BACKOFF = 2.0

#: The pause before the next query when the answer has no index to block on, in
#: seconds.  Without it the watch would query such a server in a tight loop.
BLIND_PAUSE = 1.0


def index_of(text: str | None) -> int:
    """The number in an ``X-Consul-Index``; 0 if there is none to block on."""
    # Consul's indexes have at most 20 digits; int() raises at some thousands.
    return int(text) if text and text.isdecimal() and len(text) <= 20 else 0


@frozen
class Cursor:
    """The state of a blocking query between two requests: its index and failures."""

    #: The ``index`` to send; with 0 Consul answers at once.
    index: int = 0
    #: Failures since the last good answer.
    failures: int = 0
    #: Whether the last failure was one of connecting to Consul.
    unreached: bool = False
    #: Whether the last answer had no index to block on.
    blind: bool = False

    def answered(self, index: str | None) -> "Cursor":
        """The cursor after a good answer with this ``X-Consul-Index``.

        An index that goes backwards resets to 0 (the server lost its state); one
        below 1 would never block.
        """
        number = index_of(index)
        if number < 1:
            return Cursor(blind=True)
        return Cursor(index=number if number >= self.index else 0)

    def failed(self, *, unreached: bool = False) -> "Cursor":
        """The cursor after a failure.

        It drops the index: Consul may never reach an index from before an outage.
        """
        return evolve(
            self, index=0, failures=self.failures + 1, unreached=unreached, blind=False
        )

    def pause(self, chance: float) -> float:
        """Seconds to wait before the next query; `chance` is from 0 to 1.

        Full jitter keeps many gateways that lost the same Consul out of step.
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
