"""Connection counters: how many connections each instance has open."""

from typing import ClassVar, Protocol
from weakref import WeakValueDictionary

from attrs import Factory, define

from lbconsul.balance.instance import Identity
from lbconsul.balance.upstream import Load


class ConnectionCounter(Protocol):
    """Keeps one load per instance, which other processes may count into too."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes count too; else `sync` does nothing."""

    def load(self, identity: Identity) -> Load:
        """The load of `identity`: one object as long as a pool or lease holds it."""

    def sync(self) -> None:
        """Read the counts of other processes into the loads; before each choice."""

    def open_connections(self) -> int:
        """Open leases of this process, over all identities."""


@define(eq=False)
class LocalCounter:
    """The counter of a process that balances alone."""

    is_shared: ClassVar[bool] = False
    #: Weak values: pools and leases of an identity hold its load, which goes with
    #: the last of them.
    _loads: WeakValueDictionary[Identity, Load] = Factory(WeakValueDictionary)

    def load(self, identity: Identity) -> Load:
        load = self._loads.get(identity)
        if load is None:
            load = self._loads[identity] = Load()
        return load

    def sync(self) -> None:
        """Does nothing: no other process counts."""

    def open_connections(self) -> int:
        return sum(load.open for load in self._loads.values())
