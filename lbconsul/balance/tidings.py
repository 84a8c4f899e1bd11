"""Tidings: what can be told of one mapping by now, open connections included."""

from collections.abc import Iterable
from typing import Any, Self

from attrs import Factory, define

from lbconsul.balance.figures import Figures
from lbconsul.balance.instance import Identity


@define(eq=False)
class Tidings:
    """What one process, or all of them, can tell of one mapping by now."""

    figures: Figures = Factory(Figures)
    #: Clients that wait for an upstream.
    queued: int = 0
    #: Those that it has set aside, each with the number of the pool: why, and since
    #: when.
    aside: dict[tuple[int, Identity], tuple[str, float]] = Factory(dict)
    #: The numbers of the pools that new connections go to: of one process it is one,
    #: at most.
    used: set[int] = Factory(set)

    def news(self) -> dict[str, Any]:
        """All that is new since the last time, as JSON may have it."""
        return self.figures.news() | {
            "queued": self.queued,
            "aside": [
                [number, *identity, why, since]
                for (number, identity), (why, since) in self.aside.items()
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
            (int(number), Identity(*map(str, identity))): (str(why), float(since))
            for number, *identity, why, since in news["aside"]
        }
        self.used = {int(number) for number in news["used"]}

    def close(self, ending: str) -> Figures:
        """Its process is gone, and with it what was open: what all came to then."""
        figures = self.figures
        were_open = figures.accepted - figures.endings.total()
        if were_open > 0:
            figures.endings[ending] += were_open
        return figures

    @classmethod
    def sum(cls, many: Iterable["Tidings"]) -> Self:
        """What many processes can tell together."""
        total = cls()
        for each in many:
            total.figures.add(each.figures)
            total.queued += each.queued
            total.aside.update(each.aside)
            total.used |= each.used
        return total
