"""Idle connections to upstreams, kept for the requests to come."""

from typing import Generic, Protocol, TypeVar

from attrs import Factory, define

from lbconsul.balance.instance import Instance
from lbconsul.balance.upstream import Upstream
from lbconsul.net.sweeper import Sweeper


class Keepable(Protocol):
    """A connection to an instance of an upstream, on which nothing is under way."""

    @property
    def upstream(self) -> Upstream:
        """The upstream."""

    @property
    def instance(self) -> Instance:
        """Its instance at the time of the connect."""

    @property
    def keeps(self) -> float:
        """For how long it can be used, in seconds."""

    #: Since when it is idle; only `IdleConnections` changes it.
    idle_since: float

    def close(self) -> None:
        """Close the connection."""


Connection = TypeVar("Connection", bound=Keepable)


@define(eq=False)
class IdleConnections(Generic[Connection]):
    """The idle connections of one mapping or route, by upstream.

    The newest is used first: it is the one that its server has least reason to end,
    and the others come to their age limit.
    """

    #: Most to one upstream; 0: none are kept.
    most: int
    #: Longest time that one is kept, in seconds.
    longest: float
    _sweeper: Sweeper
    #: Those of each upstream, the newest last.
    _kept: dict[Upstream, list[Connection]] = Factory(dict)
    #: How many there are.
    count: int = 0

    def put(self, connection: Connection, now: float) -> None:
        """Keep a connection on which nothing is under way, or close it."""
        upstream = connection.upstream
        kept = self._kept.get(upstream)
        if kept is None:
            if not self.most:
                connection.close()
                return
            kept = self._kept[upstream] = []
            self._sweeper.add(self)
        elif len(kept) >= self.most:
            connection.close()
            return
        connection.idle_since = now
        self.count += 1
        kept.append(connection)

    def take(
        self, upstream: Upstream, now: float, newer: float = 0.0
    ) -> Connection | None:
        """Take the newest that can be used; None if there is none.

        With `newer`, only one that has been idle for less than so many seconds.
        """
        kept = self._kept.get(upstream)
        while kept:
            connection = kept[-1]
            idle = now - connection.idle_since
            if newer and idle >= newer:
                return None
            kept.pop()
            self.count -= 1
            if idle < connection.keeps and connection.instance is upstream.instance:
                return connection
            connection.close()
        return None

    def discard(self, connection: Connection) -> None:
        """Forget one that its peer has ended."""
        kept = self._kept.get(connection.upstream, [])
        if connection in kept:
            kept.remove(connection)
            self.count -= 1

    def check(self, now: float) -> None:
        """Close those that are too old, or whose upstream gets no more requests.

        Called by the sweeper.
        """
        for upstream, kept in tuple(self._kept.items()):
            gone = [each for each in kept if _is_over(each, now)]
            for each in gone:
                kept.remove(each)
                each.close()
            self.count -= len(gone)
            if not kept:
                del self._kept[upstream]
        if not self._kept:
            self._sweeper.items.discard(self)

    def close(self) -> None:
        """Close all, and keep none from now on."""
        self.most = self.count = 0
        for kept in self._kept.values():
            for each in kept:
                each.close()
        self._kept.clear()
        self._sweeper.items.discard(self)


def _is_over(connection: Keepable, now: float) -> bool:
    upstream = connection.upstream
    return (
        not upstream.serving
        or connection.instance is not upstream.instance
        or now - connection.idle_since >= connection.keeps
    )
