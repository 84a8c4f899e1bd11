"""The gateway's own checks of the instances of a mapping, as frozen values."""

from attrs import frozen

#: The statuses of an answer that pass, unless an option says otherwise: as HAProxy has
#: it, and Consul's agent with redirects.
USUAL = ((200, 399),)


@frozen
class Probe:
    """What a check does: it connects, or asks over HTTP."""

    #: Empty: it connects, and no more.
    path: str = ""
    method: str = "GET"
    #: The statuses that pass, each from and to.
    statuses: tuple[tuple[int, int], ...] = USUAL
    #: The Host that is asked for; empty: that of the instance.
    host: str = ""

    def __str__(self) -> str:
        if not self.path:
            return "tcp"
        parts = [self.path]
        parts += [f"method={self.method}"] if self.method != "GET" else []
        if self.statuses != USUAL:
            ranges = (str(a) if a == b else f"{a}-{b}" for a, b in self.statuses)
            parts.append(f"status={'|'.join(ranges)}")
        parts += [f"host={self.host}"] if self.host else []
        return ";".join(parts)

    @property
    def text(self) -> str:
        """What it does, as results and logs show it: ``GET /health``, ``connect``."""
        return f"{self.method} {self.path}" if self.path else "connect"


@frozen
class Check:
    """How the instances of a mapping are checked.  Times are in seconds."""

    #: None: they are not.
    probe: Probe | None = None
    interval: float = 10.0
    #: While the results of a check contradict its state.
    fast_interval: float = 2.0
    timeout: float = 2.0
    #: Consecutive checks that must pass, and that must fail, to change the state.
    rise: int = 2
    fall: int = 3
    #: The percentage by which chance lengthens or shortens an interval.
    jitter: int = 10
    #: ``up``: an instance serves until a check fails; ``down``: once one has passed.
    initial: str = "up"
    #: Whether a pool is used as if no check failed where the checks of all fail.
    fail_open: bool = True
