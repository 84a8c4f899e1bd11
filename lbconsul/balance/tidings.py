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
    #: Bytes from clients and to them, of connections that are open.
    live: dict[Identity, tuple[int, int]] = Factory(dict)
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
            "live": [[*identity, *both] for identity, both in self.live.items()],
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
        self.live = {
            Identity(datacenter, node, service_id): (int(received), int(sent))
            for datacenter, node, service_id, received, sent in news["live"]
        }
        self.aside = {
            (int(number), Identity(*map(str, identity))): (str(why), float(since))
            for number, *identity, why, since in news["aside"]
        }
        self.used = {int(number) for number in news["used"]}

    def close(self, ending: str) -> Figures:
        """Its process is gone, and with it what was open: what all came to then."""
        figures = self.figures
        for identity, (received, sent) in self.live.items():
            account = figures.account(identity)
            account.received += received
            account.sent += sent
        figures.received, figures.sent = self.all_bytes
        self.live = {}
        were_open = figures.accepted - figures.endings.total()
        if were_open > 0:
            figures.endings[ending] += were_open
        return figures

    def bytes(self, identity: Identity) -> tuple[int, int]:
        """Bytes from clients to an instance and back, of open connections too."""
        received, sent = self.live.get(identity, (0, 0))
        account = self.figures.accounts.get(identity)
        if account is not None:
            received, sent = received + account.received, sent + account.sent
        return received, sent

    @property
    def all_bytes(self) -> tuple[int, int]:
        """The same over all instances."""
        received = sum(both[0] for both in self.live.values())
        sent = sum(both[1] for both in self.live.values())
        return self.figures.received + received, self.figures.sent + sent

    @classmethod
    def sum(cls, many: Iterable["Tidings"]) -> Self:
        """What many processes can tell together."""
        total = cls()
        for each in many:
            total.figures.add(each.figures)
            total.queued += each.queued
            for identity, (received, sent) in each.live.items():
                before = total.live.get(identity, (0, 0))
                total.live[identity] = before[0] + received, before[1] + sent
            total.aside.update(each.aside)
            total.used |= each.used
        return total
