"""Token buckets: bound how many log lines a storm of events writes.  Pure."""

from collections.abc import Mapping

from attrs import Factory, define, field


@define
class TokenBucket:
    """Allows `burst` events at once, then `rate` a second; counts the others."""

    rate: float
    burst: float
    _tokens: float = field(init=False)
    _since: float | None = None
    _withheld: dict[str, int] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        self._tokens = self.burst

    def lets(self, now: float, kind: str) -> bool:
        """Whether an event of this kind passes at `now`, in seconds; else count it."""
        if self._since is not None:
            # A clock may be set back.
            earned = max(0.0, now - self._since) * self.rate
            self._tokens = min(self.burst, self._tokens + earned)
        self._since = now
        if self._tokens >= 1:
            self._tokens -= 1
            return True
        self._withheld[kind] = self._withheld.get(kind, 0) + 1
        return False

    def take_withheld(self) -> dict[str, int]:
        """Return and reset the counts of events that did not pass, by kind."""
        withheld, self._withheld = self._withheld, {}
        return withheld


def in_words(counts: Mapping[str, int]) -> str:
    """Counts by kind as text, most frequent first: ``1200 SC, 34 PR``."""
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{count} {kind}" for kind, count in ordered)
