"""The catalog that is sent to workers: each query's answer, with versions and slots."""

from collections.abc import Callable, Iterator
from itertools import islice

from attrs import Factory, define, evolve, frozen

from lbconsul.balance.events import Change
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.workers.messages import CatalogChunk
from lbconsul.workers.slots import Slots

#: Instances in one chunk: few, so none blocks a reactor for long.
CUT = 500


@frozen
class Delta:
    """One change of the catalog."""

    query: ServiceQuery
    put: tuple[Instance, ...]
    drop: tuple[Identity, ...] = ()
    whole: bool = False
    #: The query is no longer asked.
    gone: bool = False
    #: More instances may follow, whose host names are being looked up.
    pending: bool = False


@define(eq=False)
class VersionedCatalog:
    """The instances of each query, the catalog's version, and the instances' slots."""

    slots: Slots
    #: Grows by one with each change.
    version: int = 0
    _known: dict[ServiceQuery, dict[Identity, Instance]] = Factory(dict)
    _pending: set[ServiceQuery] = Factory(set)

    def queries(self) -> list[ServiceQuery]:
        """The queries that have been answered."""
        return list(self._known)

    def knows(self, identity: Identity) -> bool:
        """Whether the instance is in any answer."""
        return any(identity in each for each in self._known.values())

    def change(
        self, query: ServiceQuery, change: Change, *, pending: bool = False
    ) -> Delta | None:
        """Apply an answer's change; return the delta for the workers, None if there is
        none.
        """
        first = query not in self._known
        if not (first or change or (query in self._pending) != pending):
            return None
        if pending:
            self._pending.add(query)
        else:
            self._pending.discard(query)
        self.version += 1
        known = self._known.setdefault(query, {})
        drop = tuple(gone.identity for gone in change.left)
        for identity in drop:
            known.pop(identity, None)
        self._leave(drop)
        put = change.put
        for instance in put:
            known[instance.identity] = instance
            self.slots.allocate(instance.identity)
        return Delta(query, put, drop, whole=first, pending=pending)

    def forget(self, query: ServiceQuery) -> Delta | None:
        """Drop a query; return the delta for the workers, None if it was unknown."""
        if query not in self._known:
            return None
        self.version += 1
        self._pending.discard(query)
        self._leave(tuple(self._known.pop(query)))
        return Delta(query, (), whole=True, gone=True)

    def whole(self, query: ServiceQuery) -> Delta:
        """The whole current answer of `query` as a delta."""
        if query not in self._known:
            return Delta(query, (), whole=True, gone=True)
        put = tuple(self._known[query].values())
        return Delta(query, put, whole=True, pending=query in self._pending)

    def parts(self, delta: Delta, version: int) -> Iterator[CatalogChunk]:
        """Split a delta into chunks, each made only when it is taken."""
        rest = iter(delta.put)
        first = CatalogChunk(
            delta.query,
            (),
            delta.drop,
            delta.whole,
            version,
            False,
            delta.gone,
            delta.pending,
        )
        put = self._cut(rest)
        while True:
            more = self._cut(rest)
            yield evolve(first, put=put, last=not more)
            if not more:
                return
            first, put = evolve(first, drop=()), more

    def _leave(self, identities: tuple[Identity, ...]) -> None:
        """Mark the slots of identities that are in no answer any more."""
        for identity in identities:
            if not self.knows(identity):
                self.slots.release_after(identity, self.version)

    def _cut(self, rest: Iterator[Instance]) -> tuple[tuple[Instance, int | None], ...]:
        take: Callable[[Identity], int | None] = self.slots.find
        return tuple((each, take(each.identity)) for each in islice(rest, CUT))
