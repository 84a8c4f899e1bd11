"""The TTLs of an agent's checks."""

from attrs import define, evolve, field, frozen


@frozen
class TTL:
    """One check's TTL, and when it ends; None once it has ended."""

    seconds: float
    ends: float | None


@define
class TTLs:
    """The TTLs of an agent's checks, by check id."""

    _by_check: dict[str, TTL] = field(factory=dict)

    def __contains__(self, check: str) -> bool:
        return check in self._by_check

    def start(self, check: str, seconds: float, now: float) -> None:
        self._by_check[check] = TTL(seconds, now + seconds)

    def renew(self, check: str, now: float) -> None:
        """Restart the TTL of an updated check."""
        self.start(check, self._by_check[check].seconds, now)

    def forget(self, check: str) -> None:
        self._by_check.pop(check, None)

    def expire(self, now: float) -> list[str]:
        """The checks whose TTL has ended by now, each returned once."""
        over = [
            check
            for check, ttl in self._by_check.items()
            if ttl.ends is not None and ttl.ends <= now
        ]
        for check in over:
            self._by_check[check] = evolve(self._by_check[check], ends=None)
        return over

    def next(self) -> float | None:
        """When the next TTL ends, if no check is updated until then."""
        ends = [t.ends for t in self._by_check.values() if t.ends is not None]
        return min(ends, default=None)
