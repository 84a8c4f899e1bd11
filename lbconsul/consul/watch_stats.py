"""The statistics of one watch."""

from attrs import define


@define
class WatchStats:
    """Counts and times of one watch's queries; times are the clock's, in seconds."""

    #: The number of whole, valid answers, of changes to the pool, and of failures.
    answers: int = 0
    changes: int = 0
    errors: int = 0
    index: int = 0
    #: When Consul last confirmed the answer in use.
    confirmed: float | None = None
    #: The time of the snapshot, while it is the answer in use.
    recalled: float | None = None
    #: Since when Consul fails, the last error of that streak, and its time.
    failing_since: float | None = None
    last_error: str = ""
    last_error_at: float | None = None

    def answered(self, now: float, index: int) -> None:
        """Record a good answer."""
        self.answers += 1
        self.confirmed, self.recalled = now, None
        self.failing_since, self.last_error = None, ""
        self.index = index

    def failed(self, now: float, why: str) -> None:
        """Record a failure."""
        self.errors += 1
        if self.failing_since is None:
            self.failing_since = now
        self.last_error, self.last_error_at = why, now

    @property
    def state(self) -> str:
        """The watch's state for people: snapshot, backing off, waiting or watching."""
        if self.recalled is not None:
            return "snapshot"
        if self.failing_since is not None:
            return "backing off"
        return "waiting" if self.confirmed is None else "watching"

    def age(self, now: float) -> float | None:
        """The age of the answer in use, in seconds; None without one."""
        since = self.recalled if self.recalled is not None else self.confirmed
        return None if since is None else max(0.0, now - since)
