"""Idle connections to upstreams, kept for the requests to come."""

from collections.abc import Hashable
from typing import Any, Generic, Protocol, TypeVar

from attrs import Factory, define
from twisted.internet.interfaces import IReactorTime

from lbconsul.balance.instance import Instance
from lbconsul.balance.upstream import Upstream
from lbconsul.net.sweeper import Sweeper, TimeSlicer


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

    #: Since when it is idle.  Only `IdleConnections` changes this and the next.
    idle_since: float
    #: The `IdleConnections` of the row whose request it carried last.
    keeper: Any

    def close(self) -> None:
        """Close the connection."""


Connection = TypeVar("Connection", bound=Keepable)


@define(eq=False)
class IdleStore(Generic[Connection]):
    """The idle connections that some mappings and routes share, by upstream.

    The newest is used first: it is the one that its server has least reason to end,
    and the others come to their age limit.
    """

    #: Most to one upstream; 0: none are kept.
    most: int
    #: Longest time that one is kept, in seconds.
    longest: float
    _sweeper: Sweeper
    #: Those of each upstream, the newest last.
    kept: dict[Upstream, list[Connection]] = Factory(dict)

    def add(self, upstream: Upstream) -> list[Connection]:
        """Where to put the first one of an upstream."""
        found = self.kept[upstream] = []
        self._sweeper.add(self)
        return found

    def check(self, now: float) -> None:
        """Close those that are too old, or whose upstream gets no more requests.

        Called by the sweeper.
        """
        for upstream, kept in tuple(self.kept.items()):
            gone = [each for each in kept if _is_over(each, now)]
            for each in gone:
                kept.remove(each)
                each.keeper.count -= 1
                each.close()
            if not kept:
                del self.kept[upstream]
        if not self.kept:
            self._sweeper.items.discard(self)

    def close(self) -> None:
        """Close all, and keep none from now on."""
        self.most = 0
        for kept in self.kept.values():
            for each in kept:
                each.keeper.count -= 1
                each.close()
        self.kept.clear()
        self._sweeper.stop()


@define(eq=False)
class IdleConnections(Generic[Connection]):
    """The idle connections that the requests of one mapping or route can use.

    All rows whose connections are alike share them: else each of many routes to one
    service would have to find its own.
    """

    _stores: "IdleStores"
    _key: Hashable
    _store: IdleStore[Connection]
    #: How many carried a request of this row last.
    count: int = 0
    _is_closed: bool = False
    _kept: dict[Upstream, list[Connection]] = Factory(
        lambda self: self._store.kept, takes_self=True
    )

    @property
    def longest(self) -> float:
        """Longest time that one is kept, in seconds."""
        return self._store.longest

    def put(self, connection: Connection, now: float) -> None:
        """Keep a connection on which nothing is under way, or close it."""
        upstream, store = connection.upstream, self._store
        kept = self._kept.get(upstream)
        if kept is None and store.most:
            kept = store.add(upstream)
        if kept is None or len(kept) >= store.most:
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
            connection.keeper.count -= 1
            if idle < connection.keeps and connection.instance is upstream.instance:
                connection.keeper = self
                return connection
            connection.close()
        return None

    def discard(self, connection: Connection) -> None:
        """Forget one that its peer has ended."""
        kept = self._kept.get(connection.upstream, [])
        if connection in kept:
            kept.remove(connection)
            connection.keeper.count -= 1

    def close(self) -> None:
        """Note that the row is gone: the last one of those that share closes all."""
        if not self._is_closed:
            self._is_closed = True
            self._stores.release(self._key)


@define(eq=False)
class IdleStores:
    """Says which rows of a process share idle connections."""

    _clock: IReactorTime
    _slicer: TimeSlicer
    #: Each with the number of its rows.
    _stores: dict[Hashable, tuple[IdleStore[Any], int]] = Factory(dict)

    def row(self, most: int, longest: float, alike: Hashable) -> IdleConnections[Any]:
        """Those of a new row, which shares with the rows that say the same.

        `alike` is what connections are made with, beside what upstreams say.
        """
        key = most, longest, alike
        store, rows = self._stores.get(key, (None, 0))
        if store is None:
            interval = Sweeper.interval_for(longest)
            sweeper = Sweeper(self._clock, interval, self._slicer)
            store = IdleStore(most, longest, sweeper)
        self._stores[key] = store, rows + 1
        return IdleConnections(self, key, store)

    def release(self, key: Hashable) -> None:
        """A row is gone."""
        store, rows = self._stores[key]
        if rows > 1:
            self._stores[key] = store, rows - 1
        else:
            del self._stores[key]
            store.close()


def _is_over(connection: Keepable, now: float) -> bool:
    upstream = connection.upstream
    return (
        not upstream.serving
        or connection.instance is not upstream.instance
        or now - connection.idle_since >= connection.keeps
    )
