"""The traffic of one mapping so far, open connections included."""

from collections.abc import Iterable
from typing import Any, Self

from attrs import Factory, define

from lbconsul.balance.instance import Identity
from lbconsul.balance.outlier import Ejection
from lbconsul.stats.mapping import MappingStats


@define(eq=False)
class MappingTraffic:
    """The statistics and the state of one mapping, in one process or in all."""

    figures: MappingStats = Factory(MappingStats)
    #: Clients that wait for an upstream.
    queued: int = 0
    #: The ejected upstreams, by the number of the pool and the identity: the last
    #: ejection, and since when the upstream has this standing, in seconds.
    ejected: dict[tuple[int, Identity], tuple[Ejection, float]] = Factory(dict)
    #: The numbers of the pools that new connections go to; at most one per process.
    used: set[int] = Factory(set)

    def news(self) -> dict[str, Any]:
        """All that a worker reports since the last time, as JSON values."""
        return self.figures.news() | {
            "queued": self.queued,
            "ejected": [
                [number, *identity, each.reason, each.since, each.until, since]
                for (number, identity), (each, since) in self.ejected.items()
            ],
            "used": sorted(self.used),
        }

    def heard(self, news: dict[str, Any]) -> None:
        """Replace the state by the `news` of another process.

        :raises Exception: `news` is malformed; the type depends on the fault.
        """
        self.figures.heard(news)
        self.queued = int(news["queued"])
        self.ejected = {
            (int(number), Identity(*map(str, identity))): (
                Ejection(str(reason), float(begun), float(until)),
                float(since),
            )
            for number, *identity, reason, begun, until, since in news["ejected"]
        }
        self.used = {int(number) for number in news["used"]}

    def close(self, ending: str) -> MappingStats:
        """The process died: count its open connections under `ending`.

        Returns the final statistics.
        """
        figures = self.figures
        were_open = figures.accepted - figures.endings.total()
        if were_open > 0:
            figures.endings[ending] += were_open
        return figures

    @classmethod
    def sum(cls, many: Iterable["MappingTraffic"]) -> Self:
        """The traffic of many processes together."""
        total = cls()
        for each in many:
            total.figures.add(each.figures)
            total.queued += each.queued
            total.ejected.update(each.ejected)
            total.used |= each.used
        return total
