"""How long checks keep a status that nobody repeats."""

from attrs import define, evolve, field, frozen


@frozen
class TTL:
    """One check's time, and when it is over; None once it was."""

    seconds: float
    ends: float | None


@define
class TTLs:
    """The times of an agent's checks, by the ids of the checks."""

    _by_check: dict[str, TTL] = field(factory=dict)

    def __contains__(self, check: str) -> bool:
        return check in self._by_check

    def start(self, check: str, seconds: float, now: float) -> None:
        self._by_check[check] = TTL(seconds, now + seconds)

    def renew(self, check: str, now: float) -> None:
        """Somebody spoke for it: its time begins anew."""
        self.start(check, self._by_check[check].seconds, now)

    def forget(self, check: str) -> None:
        self._by_check.pop(check, None)

    def expire(self, now: float) -> list[str]:
        """Those whose time is over by now, each told once."""
        over = [
            check
            for check, ttl in self._by_check.items()
            if ttl.ends is not None and ttl.ends <= now
        ]
        for check in over:
            self._by_check[check] = evolve(self._by_check[check], ends=None)
        return over

    def next(self) -> float | None:
        """When the next one is over, if nobody speaks until then."""
        ends = [t.ends for t in self._by_check.values() if t.ends is not None]
        return min(ends, default=None)
