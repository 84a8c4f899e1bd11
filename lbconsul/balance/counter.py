"""Tallies: who counts the connections of each instance."""

from typing import Protocol
from weakref import WeakValueDictionary

from attrs import Factory, define

from lbconsul.balance.instance import Identity
from lbconsul.balance.upstream import Load


class ConnectionCounter(Protocol):
    """Keeps one load for each instance, whoever else counts connections to it."""

    def load(self, identity: Identity) -> Load:
        """The load of `identity`: the same one for as long as anybody holds it."""

    def sync(self) -> None:
        """Let the loads know what others have counted; before each choice."""

    def open_connections(self) -> int:
        """Leases of this process that are not ended, over all identities."""


@define(eq=False)
class LocalCounter:
    """Counts for one process that balances alone."""

    #: One for each identity that stands in a pool or has a lease: those hold
    #: it, so that it goes with the last of them.
    _loads: WeakValueDictionary[Identity, Load] = Factory(WeakValueDictionary)

    def load(self, identity: Identity) -> Load:
        load = self._loads.get(identity)
        if load is None:
            load = self._loads[identity] = Load()
        return load

    def sync(self) -> None:
        """Nobody else counts."""

    def open_connections(self) -> int:
        return sum(load.open for load in self._loads.values())
