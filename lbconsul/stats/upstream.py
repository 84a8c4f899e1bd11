"""The statistics of one mapping's connections to one instance."""

from attrs import define


@define(eq=False)
class UpstreamStats:
    """The statistics of one mapping's connections to one instance."""

    total: int = 0
    received: int = 0
    sent: int = 0
    failures: int = 0
    #: A moving average of the connect time, in seconds; 0 before the first one.
    connect_time: float = 0.0

    def add(self, other: "UpstreamStats") -> None:
        """Add the statistics of another process; connect times are averaged."""
        connects = self.total + other.total
        if connects:
            mine, its = self.connect_time * self.total, other.connect_time * other.total
            self.connect_time = (mine + its) / connects
        self.total = connects
        self.received += other.received
        self.sent += other.sent
        self.failures += other.failures
