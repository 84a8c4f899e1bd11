"""Which services are deregistered because they were critical for too long.

https://developer.hashicorp.com/consul/api-docs/agent/check#deregistercriticalserviceafter
"""

from math import ceil

from attrs import define, field

#: The least time that a service may be critical, and how often the agent looks for
#: services that were for too long, in seconds.
LEAST = 60.0
EVERY = 30.0


@define
class Reaper:
    """The checks that limit how long they may be critical, by check id."""

    _limits: dict[str, float] = field(factory=dict)
    #: Since when they are critical.
    _since: dict[str, float] = field(factory=dict)

    def limit(self, check: str, seconds: float | None) -> None:
        """Set how long a check may be critical; None for no limit."""
        if seconds is None:
            self.forget(check)
        else:
            self._limits[check] = seconds

    def note(self, check: str, status: str, now: float) -> None:
        """A check has this status from now on."""
        if status == "critical" and check in self._limits:
            self._since.setdefault(check, now)
        else:
            self._since.pop(check, None)

    def forget(self, check: str) -> None:
        self._limits.pop(check, None)
        self._since.pop(check, None)

    def due(self, now: float) -> list[str]:
        """The checks that were critical for too long."""
        return [check for check in self._since if self._end(check) <= now]

    def next(self) -> float | None:
        """When the next check is due, if its status does not change until then."""
        return min(map(self._end, self._since), default=None)

    def _end(self, check: str) -> float:
        rounds = ceil((self._since[check] + self._limits[check]) / EVERY)
        return rounds * EVERY
