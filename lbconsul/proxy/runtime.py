"""The proxy runtime: makes the factories of one process, and looks after them."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from attrs import Factory, define, field

from lbconsul.balance.pool_spec import FailoverSpec
from lbconsul.balance.registry import Registry
from lbconsul.config.model import Listen, Mapping
from lbconsul.net.periodic import Periodic, Tickable
from lbconsul.net.poller import Poller, open_poller
from lbconsul.net.splice import Pipes
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.factory import ProxyFactory
from lbconsul.proxy.targets import failover_spec
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.termination import Termination
from lbconsul.stats.traffic import MappingTraffic


@define(eq=False)
class ProxyRuntime:
    """What all factories of a process share, and those that there are."""

    reactor: Any
    registry: Registry
    #: Of factories that are made from now on.
    connection_log: bool = True
    room: ConnectionLimit = field(
        default=Factory(lambda self: ConnectionLimit(self.reactor), True)
    )
    _factories: dict[ProxyFactory, None] = Factory(dict)
    #: How many of them have each route.
    _routes: Counter[FailoverSpec] = Factory(Counter)
    #: The same by where their mappings listen.
    _at: defaultdict[Listen | str, list[ProxyFactory]] = Factory(
        lambda: defaultdict(list)
    )
    _poller: Poller = field(
        init=False, default=Factory(lambda self: open_poller(self.reactor), True)
    )
    #: For all that is done now and then in this process.
    sweeper: TimeSlicer = field(
        init=False, default=Factory(lambda self: TimeSlicer(self.reactor), True)
    )
    _periodic: Periodic = field(
        init=False,
        default=Factory(lambda self: Periodic(self.reactor, self.sweeper), True),
    )
    _pipes: Pipes = Factory(Pipes)
    #: By where mappings listen, whatever their options; of those for whom somebody
    #: else does, by their service.
    _figures: dict[Listen | str, MappingStats] = Factory(dict)
    #: Connections accepted by factories that are gone.
    _accepted: int = 0

    def __attrs_post_init__(self) -> None:
        self._periodic.add(self.registry)
        self._periodic.add(self)

    @property
    def accepted(self) -> int:
        """Connections accepted since the start."""
        return self._accepted + sum(each.accepted for each in self._factories)

    @property
    def open(self) -> int:
        """Connections that are not over."""
        return self.room.taken

    @property
    def routes(self) -> set[FailoverSpec]:
        """What connections may be balanced over, new ones and old ones."""
        return set(self._routes)

    @property
    def longest_drain(self) -> float:
        """How long connections may live on, at most, once nobody new comes."""
        timeouts = [each.mapping.drain_timeout for each in self._factories]
        return max(timeouts, default=0.0)

    def make(self, mapping: Mapping) -> ProxyFactory:
        """A factory for a mapping, tended from now on."""
        factory = ProxyFactory(
            self._poller,
            self.reactor,
            self.registry.chain(failover_spec(mapping)),
            mapping,
            self.connection_log,
            pipes=self._pipes,
            figures=self.figures(mapping),
            room=self.room,
            sweeper=self.sweeper,
        )
        self._factories[factory] = None
        self._routes[failover_spec(mapping)] += 1
        self._at[_place(mapping)].append(factory)
        self._periodic.add(factory)
        return factory

    def figures(self, mapping: Mapping) -> MappingStats:
        """What connections to a mapping's address came to in this process."""
        return self._figures.setdefault(_place(mapping), MappingStats())

    def traffic(self, mapping: Mapping) -> MappingTraffic:
        """What this process can tell of a mapping by now."""
        told = MappingTraffic(self.figures(mapping))
        told.queued = self._queued(mapping)
        told.used = self.used(mapping)
        for number, pool in enumerate(self.registry.chain(failover_spec(mapping)).all):
            for upstream in pool.aside:
                key = number, upstream.instance.identity
                told.aside[key] = pool.ejection(upstream), upstream.since
        return told

    def has_news(self, mapping: Mapping) -> bool:
        """Whether its figures have changed since their news were taken last.

        It may be so besides while clients wait, or upstreams are set aside.
        """
        if self.figures(mapping).has_news or self._queued(mapping):
            return True
        pools = self.registry.chain(failover_spec(mapping)).all
        return any(pool.aside for pool in pools)

    def used(self, mapping: Mapping) -> set[int]:
        """The number of the pool that its new connections go to, if there is one."""
        chain = self.registry.chain(failover_spec(mapping))
        used = chain.current
        return set() if used is None else {chain.all.index(used)}

    def _queued(self, mapping: Mapping) -> int:
        return sum(len(each.line) for each in self._at.get(_place(mapping), ()))

    def tend(self) -> Iterator[None]:
        """Forget what is told of instances that are gone, if it is much."""
        for each in tuple(self._figures.values()):
            each.tidy(self.registry.has)
            yield

    def drop(self, factory: ProxyFactory) -> None:
        """It has no connection, and nobody will come."""
        del self._factories[factory]
        route = failover_spec(factory.mapping)
        self._routes[route] -= 1
        if not self._routes[route]:
            del self._routes[route]
        place = _place(factory.mapping)
        self._at[place].remove(factory)
        if not self._at[place]:
            del self._at[place]
        self._accepted += factory.accepted
        self._periodic.discard(factory)
        factory.close_connections()

    def is_known(self, mapping: Mapping) -> bool:
        """Whether it is known who is to serve a mapping now, or that nobody is."""
        for selection in failover_spec(mapping).all():
            if self.registry.pool(selection).candidates:
                return True
            if not self.registry.answered(selection.question):
                return False
        return True

    def is_pending(self, mapping: Mapping) -> bool:
        """Whether host names of its instances are being looked up.

        That is over before long: it is bounded where they are.
        """
        asked = (each.question for each in failover_spec(mapping).all())
        return any(map(self.registry.pending, asked))

    def tend_too(self, tickable: Tickable) -> None:
        """Tend this as well."""
        self._periodic.add(tickable)

    def start(self) -> None:
        """Tend the factories and the registry."""
        self._periodic.start()

    def retire(self) -> None:
        """Nobody comes any more, to any of them."""
        for factory in tuple(self._factories):
            factory.retire()

    def close_connections(self, ending: Termination = Termination.HARD_STOP) -> None:
        """End all that is open, at once."""
        for factory in tuple(self._factories):
            factory.close_connections(ending)

    def stop(self) -> None:
        """Tend nothing, and watch no connection."""
        self._periodic.stop()
        self.sweeper.stop()
        self._poller.stop()


def _place(mapping: Mapping) -> Listen | str:
    return mapping.listen or mapping.service
