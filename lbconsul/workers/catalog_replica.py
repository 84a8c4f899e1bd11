"""The worker's copy of the catalog, kept up to date by the master."""

from collections.abc import Callable, Collection

from attrs import Factory, define

from lbconsul.balance.instance import Identity
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.workers.messages import CatalogChunk


@define(eq=False)
class KnownSlots:
    """The slot of each instance, for every service query."""

    _slots: dict[ServiceQuery, dict[Identity, int | None]] = Factory(dict)

    @property
    def queries(self) -> Collection[ServiceQuery]:
        """The queries that the master asks."""
        return self._slots.keys()

    def find(self, identity: Identity) -> int | None:
        """The instance's slot; None if it has none or is unknown."""
        for slots in self._slots.values():
            slot = slots.get(identity)
            if slot is not None:
                return slot
        return None

    def replace(self, query: ServiceQuery, slots: dict[Identity, int | None]) -> None:
        """Replace all slots of a query."""
        self._slots[query] = slots

    def forget(self, query: ServiceQuery) -> None:
        """Drop a query that is no longer asked."""
        self._slots.pop(query, None)

    def apply(self, part: CatalogChunk) -> None:
        """Apply the instances that joined and left a query's answer."""
        slots = self._slots[part.query]
        for identity in part.drop:
            slots.pop(identity, None)
        for instance, slot in part.put:
            slots[instance.identity] = slot


@define(eq=False)
class CatalogReplica:
    """Applies the master's catalog chunks to the worker's registry."""

    _registry: Registry
    _slots: KnownSlots
    #: Called with each identity put, since its slot may have changed although the
    #: instance has not.
    _counted: Callable[[Identity], object]
    #: The version of the catalog that the registry knows.
    version: int = 0
    #: The chunks received of a change that is not complete yet.
    _parts: list[CatalogChunk] = Factory(list)

    def take(self, part: CatalogChunk) -> bool:
        """Take one chunk; return whether it completed a change."""
        self._parts.append(part)
        if not part.last:
            return False
        parts, self._parts = self._parts, []
        if part.gone:
            self._slots.forget(part.query)  # the registry drops unmapped pools
        elif part.whole:
            self._replace(parts)
        else:
            for each in parts:
                self._slots.apply(each)
            # The chunks are applied together: applied one by one, a removal could look
            # like a loss to the shrink guard although the whole change is none.
            put = [instance for each in parts for instance, _ in each.put]
            drop = [identity for each in parts for identity in each.drop]
            self._registry.apply(part.query, put, drop, pending=part.pending)
        for each in parts:
            for instance, _ in each.put:
                self._counted(instance.identity)
        self.version = part.version
        return True

    def _replace(self, parts: list[CatalogChunk]) -> None:
        query, pending = parts[0].query, parts[0].pending
        put = [pair for part in parts for pair in part.put]
        slots = {instance.identity: slot for instance, slot in put}
        self._slots.replace(query, slots)
        instances = [instance for instance, _ in put]
        self._registry.replace(query, instances, pending=pending)
