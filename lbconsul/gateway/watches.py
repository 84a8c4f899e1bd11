"""The watches of a gateway: one for each query of its mappings."""

from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Sequence,
)
from pathlib import Path
from typing import Any

from attrs import Factory, define
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver
from twisted.logger import Logger

from lbconsul.admin.status_model import SkippedStatus, WatchStatus
from lbconsul.balance.events import QueryEvent
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.config.model import Mapping, rows
from lbconsul.consul.addresses import Addresses
from lbconsul.consul.catalog import Skipped
from lbconsul.consul.client import MAX_CONNECTIONS, ConsulClient
from lbconsul.consul.fleet import Fleet
from lbconsul.consul.resolver import HostResolver
from lbconsul.consul.skipping import SHOWN, Screen
from lbconsul.consul.snapshot import Snapshot, SnapshotStore
from lbconsul.consul.static_service import StaticService
from lbconsul.consul.watch import Watch
from lbconsul.process.clock import WallClock
from lbconsul.proxy.targets import failover_spec
from lbconsul.steps import Steps


@define(eq=False, repr=False)
class Watches(MultiService):
    """Runs one watch per query in use, all through one Consul client."""

    _log = Logger()
    _reactor: Any
    _client: ConsulClient
    _registry: Registry
    _chance: Callable[[], float]
    #: Where answers are kept; empty for nowhere.
    _state_dir: str = ""
    #: Called when Consul begins to fail, and when it answers again.
    _on_event: Callable[[QueryEvent], None] = lambda event: None
    #: Of the host names of instances.
    _resolver: IHostnameResolver = Factory(
        lambda self: HostResolver(self._reactor), takes_self=True
    )
    #: Says why an instance must not be connected to.
    _screen: Screen = lambda instance: ""
    #: The addresses of host names that a predecessor knew.
    _inherited: Addresses = Factory(dict)
    _watches: dict[ServiceQuery, Watch] = Factory(dict)
    #: What needs no Consul.
    _fixed: dict[ServiceQuery, StaticService] = Factory(dict)
    _wall: WallClock = Factory(
        lambda self: WallClock(self._reactor.seconds), takes_self=True
    )

    #: Whether it is known that they are more than Consul takes by default.
    _are_many: bool = False
    _store: SnapshotStore | None = None

    def __attrs_post_init__(self) -> None:
        super().__init__()
        self._store = self._store_in(self._state_dir)

    def ask(self, queries: Iterable[ServiceQuery], fleet: Fleet | None = None) -> None:
        """Ask these, too; at once, if we are at it.

        With a `fleet` they do without blocking queries of their own.
        """
        for query in queries:
            if query.fixed:
                self._use(query)
            elif query not in self._watches:
                watch = self._watches[query] = self._watch(query, fleet)
                watch.setServiceParent(self)

    def leave(self, queries: Iterable[ServiceQuery]) -> list[ServiceQuery]:
        """Ask these no more; which of them were asked."""
        gone = [each for each in queries if each in self._watches]
        for query in gone:
            self._watches.pop(query).disownServiceParent()
        return gone

    def asking_only(self, queries: Iterable[ServiceQuery]) -> Steps[list[ServiceQuery]]:
        """Ask these, and stop asking all others, step by step; which those are."""
        wanted = dict.fromkeys(queries)
        gone = [each for each in self._watches if each not in wanted]
        for query in gone:
            self._watches.pop(query).disownServiceParent()
            yield True
        for query in [each for each in self._fixed if each not in wanted]:
            self._fixed.pop(query).disownServiceParent()
            gone.append(query)
            yield True
        for query in wanted:
            is_new = query not in self._watches
            self.ask([query])
            yield is_new
        self._count()
        return gone

    def startService(self) -> None:
        super().startService()
        self._count()

    @property
    def blocking(self) -> int:
        """How many ask blocking queries, each over a connection of its own."""
        return sum(not each.is_in_fleet for each in self._watches.values())

    def _count(self) -> None:
        """Warn if Consul may take fewer connections than there are watches."""
        were_many, count = self._are_many, self.blocking
        self._are_many = count > MAX_CONNECTIONS
        if self._are_many and not were_many:
            self._log.warn(
                "{count} services are watched, each over a connection to Consul: by"
                " default an agent takes {most} from one client, and has no answer for"
                " the others: raise its limits.http_max_conns_per_client",
                count=count,
                most=MAX_CONNECTIONS,
            )

    def use_client(self, client: ConsulClient) -> bool:
        """Ask this client, if it asks otherwise: another Consul, or with another token.

        Whether it does.
        """
        before = self._client
        if client.fingerprint == before.fingerprint:
            return False
        self._client = client
        for watch in self._watches.values():
            watch.use_client(client)
        before.close()
        return True

    def use_state_dir(self, state_dir: str) -> None:
        """Keep answers there from now on; empty for nowhere."""
        if state_dir != self._state_dir:
            self._state_dir = state_dir
            before, self._store = self._store, self._store_in(state_dir)
            for query, watch in self._watches.items():
                watch.use_snapshot(self._snapshot(query))
            if before is not None:
                before.stop()

    def skipped(self, query: ServiceQuery) -> Collection[str]:
        """Why registrations of its last answer are no instances."""
        watch = self._watches.get(query)
        return [str(each) for each in watch.skipped] if watch is not None else ()

    @property
    def addresses(self) -> Iterable[Addresses]:
        """The addresses of the host names of instances, as far as they are known."""
        of_watches = [each.names.known for each in self._watches.values()]
        return of_watches + [each.names.known for each in self._fixed.values()]

    def error(self, query: ServiceQuery) -> str:
        """The current error of a query; empty if its watch does not fail."""
        watch = self._watches.get(query)
        return watch.stats.last_error if watch is not None else ""

    def page(self, path: str, datacenter: str, query: ServiceQuery) -> Deferred[bytes]:
        """A page of Consul's API, from where `query` is asked."""
        watch = self._watches.get(query)
        address = watch.address if watch is not None else 0
        return self._client.page(path, datacenter, address)

    def screening(self) -> Steps[None]:
        """Others must not be connected to than before: look at every instance."""
        asked: list[Watch | StaticService] = [
            *self._watches.values(),
            *self._fixed.values(),
        ]
        for each in asked:
            if each.running:
                each.screen()
                yield True

    def states(self) -> Iterator[WatchStatus]:
        """How it goes with each, one by one; they may come and go meanwhile."""
        for watch in tuple(self._watches.values()):
            yield self._state(watch, self._reactor.seconds())
        for each, fixed in tuple(self._fixed.items()):
            yield WatchStatus(
                query=str(each),
                service=each.service,
                datacenter="",
                state="fixed",
                instances=1,
                **_shown(fixed.skipping.all),
            )

    def _state(self, watch: Watch, now: float) -> WatchStatus:
        query, stats = watch.query, watch.stats
        return WatchStatus(
            query=str(query),
            service=query.service,
            datacenter=query.datacenter,
            state=stats.state,
            address=watch.where,
            age=watch.age(now),
            index=stats.index,
            last_error=stats.last_error,
            last_error_at=self._at(stats.last_error_at),
            failing_since=self._at(stats.failing_since),
            answers=stats.answers,
            changes=stats.changes,
            errors=stats.errors,
            instances=watch.instances,
            **_shown(watch.skipped),
        )

    def _at(self, moment: float | None) -> float | None:
        return None if moment is None else self._wall.at(moment)

    async def _stop(self) -> None:
        await MultiService.stopService(self)
        await self._client.close()
        if self._store is not None:
            await self._store.stop()

    def stopService(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    def _use(self, query: ServiceQuery) -> None:
        if query not in self._fixed:
            fixed = StaticService(
                self._reactor,
                self._resolver,
                self._registry,
                self._chance,
                query,
                self._screen,
                inherited=self._inherited,
            )
            self._fixed[query] = fixed
            fixed.setServiceParent(self)

    def _watch(self, query: ServiceQuery, fleet: Fleet | None) -> Watch:
        return Watch(
            self._reactor,
            self._resolver,
            self._client,
            self._registry,
            self._chance,
            query,
            self._snapshot(query),
            self._on_event,
            screen=self._screen,
            inherited=self._inherited,
            fleet=fleet,
        )

    def list_snapshot(self, name: str, datacenter: str) -> Snapshot | None:
        """Where a list of services is kept; None: nowhere."""
        return self._snapshot(ServiceQuery(name, datacenter))

    def _snapshot(self, query: ServiceQuery) -> Snapshot | None:
        if self._store is None:
            return None
        return Snapshot(self._reactor, self._store, query)

    def _store_in(self, state_dir: str) -> SnapshotStore | None:
        if not state_dir:
            return None
        return SnapshotStore(self._reactor, Path(state_dir), self._wall)


def _shown(skipped: Sequence[Skipped]) -> dict[str, Any]:
    shown = (SkippedStatus(each.instance, each.reason) for each in skipped[:SHOWN])
    return {"skipped": len(skipped), "skipped_instances": tuple(shown)}


def queries_of(mappings: Iterable[Mapping]) -> list[ServiceQuery]:
    """The queries that these mappings and their routes need, fallbacks included."""
    specs = map(failover_spec, rows(mappings))
    return [selection.query for spec in specs for selection in spec.all()]
