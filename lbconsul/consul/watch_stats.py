"""What became of one watch so far."""

from attrs import define


@define
class WatchStats:
    """Times are the clock's, in seconds."""

    #: Whole, valid answers; those that changed something; and failures.
    answers: int = 0
    changes: int = 0
    errors: int = 0
    index: int = 0
    #: When Consul last confirmed what we believe.
    confirmed: float | None = None
    #: From when what we believe is, while that is a snapshot.
    recalled: float | None = None
    #: Since when Consul fails, and the last error of that streak.
    failing_since: float | None = None
    last_error: str = ""
    last_error_at: float | None = None

    def answered(self, now: float, index: int) -> None:
        """A good answer came."""
        self.answers += 1
        self.confirmed, self.recalled = now, None
        self.failing_since, self.last_error = None, ""
        self.index = index

    def failed(self, now: float, why: str) -> None:
        """No good answer came."""
        self.errors += 1
        if self.failing_since is None:
            self.failing_since = now
        self.last_error, self.last_error_at = why, now

    @property
    def state(self) -> str:
        """One word on it."""
        if self.recalled is not None:
            return "snapshot"
        if self.failing_since is not None:
            return "backing off"
        return "waiting" if self.confirmed is None else "watching"

    def age(self, now: float) -> float | None:
        """How old what we believe is; None if we know nothing."""
        since = self.recalled if self.recalled is not None else self.confirmed
        return None if since is None else max(0.0, now - since)
