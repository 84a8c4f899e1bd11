"""A replica: what a worker knows of the catalog, as its master tells it."""

from collections.abc import Callable

from attrs import Factory, define

from lbconsul.balance.instance import Identity
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.workers.messages import CatalogChunk


@define(eq=False)
class KnownSlots:
    """The slot of each instance in any answer."""

    _slots: dict[ServiceQuery, dict[Identity, int | None]] = Factory(dict)

    def find(self, identity: Identity) -> int | None:
        """Its slot, if it has one and we know it."""
        for slots in self._slots.values():
            slot = slots.get(identity)
            if slot is not None:
                return slot
        return None

    def replace(
        self, question: ServiceQuery, slots: dict[Identity, int | None]
    ) -> None:
        """These are the instances of an answer now."""
        self._slots[question] = slots

    def forget(self, question: ServiceQuery) -> None:
        """Nobody asks it any more."""
        self._slots.pop(question, None)

    def amend(self, part: CatalogChunk) -> None:
        """These joined an answer, those left it."""
        slots = self._slots[part.question]
        for identity in part.drop:
            slots.pop(identity, None)
        for instance, slot in part.put:
            slots[instance.identity] = slot


@define(eq=False)
class CatalogReplica:
    """Lets a registry know what the master's knows."""

    _registry: Registry
    _slots: KnownSlots
    #: Lets the tally know where an identity is counted, which may be news though
    #: the instance is not.
    _counted: Callable[[Identity], object]
    #: The version of the catalog that the registry knows.
    level: int = 0
    #: The parts so far of a change that is not whole yet.
    _parts: list[CatalogChunk] = Factory(list)

    def take(self, part: CatalogChunk) -> bool:
        """Take one part; whether with it a change is made."""
        self._parts.append(part)
        if not part.last:
            return False
        parts, self._parts = self._parts, []
        if part.gone:
            self._slots.forget(part.question)  # the registry goes by who is served
        elif part.whole:
            self._replace(parts)
        else:
            for each in parts:
                self._slots.amend(each)
            # All at once: what a part of it takes away may be no loss in the whole.
            put = [instance for each in parts for instance, _ in each.put]
            drop = [identity for each in parts for identity in each.drop]
            self._registry.amend(part.question, put, drop, pending=part.pending)
        for each in parts:
            for instance, _ in each.put:
                self._counted(instance.identity)
        self.level = part.level
        return True

    def _replace(self, parts: list[CatalogChunk]) -> None:
        question, pending = parts[0].question, parts[0].pending
        put = [pair for part in parts for pair in part.put]
        slots = {instance.identity: slot for instance, slot in put}
        self._slots.replace(question, slots)
        instances = [instance for instance, _ in put]
        self._registry.replace(question, instances, pending=pending)
