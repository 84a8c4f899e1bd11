"""The traffic of one mapping so far, open connections included."""

from collections.abc import Iterable
from typing import Self

from attrs import Factory, define

from lbconsul.balance.instance import Identity
from lbconsul.balance.outlier import Ejection
from lbconsul.stats.http import HTTPUpstreamStats
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.upstream import UpstreamStats, total_of


@define(eq=False)
class MappingTraffic:
    """The statistics and the state of one mapping, in one process or in all."""

    stats: MappingStats = Factory(MappingStats)
    #: What `stats` sums up, except its accounts: of 10,000 instances those would take
    #: too long at once.  Empty: it is no sum.
    parts: tuple[MappingStats, ...] = ()
    #: Clients that wait for an upstream.
    queued: int = 0
    #: In HTTP mode: requests that are not over, and connections to upstreams that are
    #: kept for further ones.
    active_requests: int = 0
    idle_connections: int = 0
    #: The ejected upstreams, by the number of the pool and the identity: the last
    #: ejection, and since when the upstream has this standing, in seconds.
    ejected: dict[tuple[int, Identity], tuple[Ejection, float]] = Factory(dict)
    #: The numbers of the pools that new connections go to; at most one per process.
    used: set[int] = Factory(set)

    @property
    def is_passing(self) -> bool:
        """Whether there is something that can end without a change of `stats`."""
        return bool(
            self.queued or self.ejected or self.active_requests or self.idle_connections
        )

    def account(self, identity: Identity) -> UpstreamStats:
        """The statistics of one instance, over all processes."""
        found = [each.accounts.get(identity) for each in self.parts or (self.stats,)]
        return total_of(found, UpstreamStats)

    def http_account(self, identity: Identity) -> HTTPUpstreamStats:
        """The same of its HTTP requests."""
        every = [each.http for each in self.parts or (self.stats,)]
        found = [each.accounts.get(identity) for each in every if each is not None]
        return total_of(found, HTTPUpstreamStats)

    def close(self, ending: str) -> MappingStats:
        """The process died: count its open connections under `ending`.

        Returns the final statistics.
        """
        stats = self.stats
        were_open = stats.accepted - stats.endings.total()
        if were_open > 0:
            stats.endings[ending] += were_open
            stats.unhappy.total += were_open
        return stats

    @classmethod
    def sum(cls, many: Iterable["MappingTraffic"]) -> Self:
        """The traffic of many processes together."""
        total = cls()
        for each in many:
            total.stats.add(each.stats, with_accounts=False)
            total.parts += each.parts or (each.stats,)
            total.queued += each.queued
            total.active_requests += each.active_requests
            total.idle_connections += each.idle_connections
            total.ejected.update(each.ejected)
            total.used |= each.used
        return total
