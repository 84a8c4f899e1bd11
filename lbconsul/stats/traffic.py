"""The traffic of one mapping by now, open connections included."""

from collections.abc import Iterable
from typing import Any, Self

from attrs import Factory, define

from lbconsul.balance.instance import Identity
from lbconsul.balance.outlier import Ejection
from lbconsul.stats.mapping import MappingStats


@define(eq=False)
class MappingTraffic:
    """What one process, or all of them, can tell of one mapping by now."""

    figures: MappingStats = Factory(MappingStats)
    #: Clients that wait for an upstream.
    queued: int = 0
    #: The upstreams that it has ejected, each with the number of the pool: the last
    #: ejection, and since when it stands so, in seconds.
    aside: dict[tuple[int, Identity], tuple[Ejection, float]] = Factory(dict)
    #: The numbers of the pools that new connections go to: of one process it is one,
    #: at most.
    used: set[int] = Factory(set)

    def news(self) -> dict[str, Any]:
        """All that is new since the last time, as JSON may have it."""
        return self.figures.news() | {
            "queued": self.queued,
            "aside": [
                [number, *identity, each.reason, each.since, each.until, since]
                for (number, identity), (each, since) in self.aside.items()
            ],
            "used": sorted(self.used),
        }

    def heard(self, news: dict[str, Any]) -> None:
        """Another process has these news.

        :raises Exception: they are none, whichever way.
        """
        self.figures.heard(news)
        self.queued = int(news["queued"])
        self.aside = {
            (int(number), Identity(*map(str, identity))): (
                Ejection(str(reason), float(begun), float(until)),
                float(since),
            )
            for number, *identity, reason, begun, until, since in news["aside"]
        }
        self.used = {int(number) for number in news["used"]}

    def close(self, ending: str) -> MappingStats:
        """Its process is gone, and with it what was open: what all came to then."""
        figures = self.figures
        were_open = figures.accepted - figures.endings.total()
        if were_open > 0:
            figures.endings[ending] += were_open
        return figures

    @classmethod
    def sum(cls, many: Iterable["MappingTraffic"]) -> Self:
        """What many processes can tell together."""
        total = cls()
        for each in many:
            total.figures.add(each.figures)
            total.queued += each.queued
            total.aside.update(each.aside)
            total.used |= each.used
        return total
