"""A registry on a stage: its clock stands until the test moves it."""

import random
from collections import Counter
from collections.abc import Collection, Iterable

from attrs import evolve

from lbconsul.balance.events import RegistryEvent
from lbconsul.balance.instance import Instance, Status
from lbconsul.balance.pool import Pool
from lbconsul.balance.pool_spec import FailoverSpec, PoolSpec, ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.balance.upstream import Lease, Outcome, Upstream
from lbconsul.errors import NoUpstream
from tests.support.events import short
from tests.support.instances import an_instance, name_of

WEB = PoolSpec(ServiceQuery("web"))

#: How often things are tended, in seconds, as a gateway does.
TICK = 0.25


class Stage:
    """One mapping, or several: each argument is a selection or a whole `FailoverSpec`.

    Where a method takes `number`, it is the mapping, or the datacenter, meant.
    """

    def __init__(self, *wanted: PoolSpec | FailoverSpec, seed: int = 1) -> None:
        self.now = 1000.0
        #: The events of upstreams and pools.
        self.events: list[RegistryEvent] = []
        #: Drained instances that were registered again.
        self.renewed: list[Instance] = []
        self.registry = Registry(
            random.Random(seed).random,
            seconds=lambda: self.now,
            on_event=self.events.append,
            on_reregistered=self.renewed.extend,
        )
        specs = [
            each if isinstance(each, FailoverSpec) else FailoverSpec((each,))
            for each in wanted or [WEB]
        ]
        self.failovers = [self.registry.failover(each) for each in specs]
        self._queries = list(
            dict.fromkeys(each.query for spec in specs for each in spec.all())
        )

    @property
    def told(self) -> list[tuple[str, str, str]]:
        """The same events in short."""
        return [short(each) for each in self.events]

    def pool(self, number: int = 0) -> Pool:
        """The first pool of a mapping."""
        return self.failovers[number].pools[0]

    # What Consul says

    def answer(self, *wanted: str | Instance, number: int = 0) -> None:
        """Consul answers the question of this number: these, by name, are healthy."""
        self.registry.replace(
            self._queries[number],
            [an_instance(each) if isinstance(each, str) else each for each in wanted],
        )

    def known(self, number: int = 0) -> dict[str, Instance]:
        """Consul's last answer, by name."""
        known = self.registry._known.get(self._queries[number], {})
        return {identity.service_id: each for identity, each in known.items()}

    def turn(self, names: Iterable[str], status: Status, number: int = 0) -> None:
        """Checks turn, all in one answer."""
        known = self.known(number)
        for name in names:
            known[name] = evolve(
                known[name], health=evolve(known[name].health, status=status)
            )
        self.answer(*known.values(), number=number)

    def join(self, *names: str, number: int = 0) -> None:
        """These join the present instances."""
        known = self.known(number)
        known.update((each, an_instance(each)) for each in names)
        self.answer(*known.values(), number=number)

    def leave(self, *names: str, number: int = 0) -> None:
        """These leave."""
        known = self.known(number)
        self.answer(
            *(each for name, each in known.items() if name not in names), number=number
        )

    # What clients do

    def lease(self, *avoiding: Upstream, number: int = 0) -> Lease:
        """A connection through a mapping."""
        return self.failovers[number].lease(avoiding)

    def hold(self, count: int, number: int = 0) -> list[Lease]:
        """So many connections, which are not ended."""
        return [self.lease(number=number) for _ in range(count)]

    def counts(self, picks: int = 60, number: int = 0) -> Counter[str]:
        """The number of connections for each upstream, of so many short ones."""
        counts: Counter[str] = Counter()
        for _ in range(picks):
            lease = self.lease(number=number)
            counts[name_of(lease.upstream)] += 1
            lease.end()
        return counts

    def chosen(self, picks: int = 60, number: int = 0) -> set[str]:
        """
        The upstreams that get any of so many connections; empty if there are none.
        """
        try:
            return set(self.counts(picks, number))
        except NoUpstream:
            return set()

    def show(self, name: str, *outcomes: Outcome, number: int = 0) -> None:
        """Connections to an upstream show this, one after the other."""
        for each in outcomes:
            lease = Lease(self.upstream(name, number), self.pool(number), probing=False)
            lease.showed(each)
            lease.end()

    # How it stands

    def upstreams(self, number: int = 0) -> Collection[Upstream]:
        """The upstreams of a mapping's first pool."""
        return self.pool(number).upstreams()

    def upstream(self, name: str, number: int = 0) -> Upstream:
        """The upstream of an instance."""
        [found] = [each for each in self.upstreams(number) if name_of(each) == name]
        return found

    def later(self, seconds: float) -> None:
        """Time passes, and what becomes due is done, as a gateway does."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + TICK)
            self.tick()

    def tick(self) -> None:
        """Do what is due."""
        for _ in self.registry.tick():
            pass
        for each in self.failovers:
            each.tick()
