"""A watch: repeats one blocking query to Consul as long as it runs."""

from collections.abc import Callable, Mapping

from attrs import Factory, define, evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lbconsul.balance.event_text import change_fields, summary
from lbconsul.balance.events import EventKind, QueryEvent
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.consul.addresses import Addresses
from lbconsul.consul.catalog import Catalog, Skipped
from lbconsul.consul.client import ConsulClient, Reply
from lbconsul.consul.describe import in_words
from lbconsul.consul.fleet import Fleet
from lbconsul.consul.incremental import IncrementalParser
from lbconsul.consul.instance_addresses import InstanceAddresses
from lbconsul.consul.location import pick_of
from lbconsul.consul.query_loop import FORESEEN, QueryLoop
from lbconsul.consul.refresh_loop import RefreshLoop
from lbconsul.consul.skipping import Screen, Skipping, screened
from lbconsul.consul.snapshot import Kept, Snapshot
from lbconsul.consul.watch_stats import WatchStats
from lbconsul.errors import UnusableAnswer

#: A server whose last contact with the leader is older, in seconds, is asked for a
#: consistent answer.
MAX_LAST_CONTACT = 600.0

#: How long an answer is parsed in one turn of the reactor, in seconds.
SLICE = 0.005


@define(eq=False)
class Watch(Service):
    """Keeps the registry's instances of one query equal to Consul's answer.

    Only a whole, valid answer changes a pool; after any failure the last good answer
    stays in use.
    """

    _log = Logger()
    _clock: IReactorTime
    _resolver: IHostnameResolver
    _client: ConsulClient
    _registry: Registry
    _chance: Callable[[], float]
    query: ServiceQuery
    _snapshot: Snapshot | None = None
    #: Called when Consul starts to fail, and when it answers again.
    _on_event: Callable[[QueryEvent], None] = lambda event: None
    stats: WatchStats = Factory(WatchStats)
    _reader: IncrementalParser = Factory(
        lambda self: IncrementalParser(pick_of(self.query)), takes_self=True
    )
    _instances: tuple[Instance, ...] = ()
    _skipped: tuple[Skipped, ...] = ()
    _unfit: Mapping[Identity, str] = Factory(dict)
    skipping: Skipping = Factory(
        lambda self: Skipping(self._clock, str(self.query)), takes_self=True
    )
    _screen: Screen = lambda instance: ""
    #: The addresses of host names that the predecessor in a takeover knew.
    _inherited: Addresses = Factory(dict)
    names: InstanceAddresses = Factory(
        lambda self: InstanceAddresses(
            self._clock,
            self._resolver,
            self._publish,
            self._chance,
            lambda: self._registry.usable(self.query),
            self._inherited,
        ),
        takes_self=True,
    )
    #: Whether the log says already that Consul has no answer newer than
    #: `MAX_LAST_CONTACT`.
    _old: bool = False
    #: Says when to ask; None: Consul does, by a blocking query.
    _fleet: Fleet | None = None
    _loop: QueryLoop | RefreshLoop = Factory(
        lambda self: self._new_loop(), takes_self=True
    )

    def _new_loop(self) -> QueryLoop | RefreshLoop:
        calls = self._ask, self._succeeded, self._failed
        if self._fleet is not None:
            return self._fleet.loop(self.query.service, *calls)
        return QueryLoop(self._clock, self._client, self._chance, *calls)

    @property
    def is_in_fleet(self) -> bool:
        """Whether it does without a blocking query of its own."""
        return self._fleet is not None

    def age(self, now: float) -> float | None:
        """Since when Consul has not confirmed the answer in use; None without one."""
        age, loop = self.stats.age(now), self._loop
        if age is None or not isinstance(loop, RefreshLoop) or loop.confirmed is None:
            return age
        return min(age, now - loop.confirmed)

    @property
    def where(self) -> str:
        """The address of Consul for the next query, as text."""
        return self._loop.where

    @property
    def address(self) -> int:
        """The number of Consul's address for the next query."""
        return self._loop.address

    @property
    def skipped(self) -> list[Skipped]:
        """The instances of the last good answer that get no connections."""
        lost = (each for each in self._instances if self.names.unresolved(each.host))
        return [
            *self.skipping.all,
            *(Skipped(str(each), "its host name cannot be resolved") for each in lost),
        ]

    @property
    def instances(self) -> int:
        """The number of instances in the last good answer."""
        return len(self._instances)

    def startService(self) -> None:
        super().startService()
        if self._snapshot is not None:
            self._snapshot.read(self._recall)
        self._loop.start()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self.names.stop()
        if self._snapshot is not None:
            self._snapshot.stop()
        return self._loop.stop()

    def use_client(self, client: ConsulClient) -> None:
        """Use this client from now on; a query in progress is repeated with it."""
        self._loop.use_client(client)

    def use_snapshot(self, snapshot: Snapshot | None) -> None:
        """Write answers to this snapshot from now on; None for no snapshot."""
        if self._snapshot is not None:
            self._snapshot.stop()
        self._snapshot = snapshot

    def _recall(self, kept: Kept) -> None:
        """Start with the snapshot's answer, unless Consul has answered already."""
        snapshot = self._snapshot
        answered = self._registry.answered(self.query)
        if snapshot is None or answered or not self.running:
            return
        try:
            self._take(self._reader.read(kept.body))
        except UnusableAnswer as error:
            snapshot.set_aside(error)
        else:
            age = snapshot.age(kept)
            self.stats.recalled = self._clock.seconds() - age
            self._log.warn(
                "{query}: using the snapshot of {age:.0f} s ago until Consul answers",
                query=self.query,
                age=age,
            )

    async def _ask(self, client: ConsulClient, index: int, address: int) -> str | None:
        """Query Consul and apply the answer; return its index.

        An answer whose index is lower than before may be a part of the truth: a
        consistent query follows, whose answer is applied instead.

        If the server's last contact with the leader is older than `MAX_LAST_CONTACT`,
        one consistent query follows.
        """
        reply = await client.ask(self.query, index, address)
        if self._loop.is_behind(reply.index):
            self._loop.count()
            reply = await client.ask(self.query, 0, address, stale=False)
        await self._accept(reply)
        if reply.last_contact <= MAX_LAST_CONTACT:
            self._old = False
            return reply.index
        try:
            self._loop.count()
            newer = await client.ask(self.query, 0, address, stale=False)
            await self._accept(newer)
        except Exception as error:
            if not self._loop.is_current(client):
                raise
            if not self._old:
                self._old = True
                self._log.warn(
                    "{query}: Consul's answer is {age:.0f} s old, and a consistent"
                    " query failed: {error}",
                    query=self.query,
                    age=reply.last_contact,
                    error=in_words(error),
                )
            return reply.index
        return newer.index

    async def _accept(self, reply: Reply) -> None:
        catalog = await self._read(reply.body)
        if reply.filtered and not catalog.instances:
            raise UnusableAnswer(
                "empty, because ACLs hide all instances from the token"
            )
        self._take(catalog)
        # A later start must not use an answer that the shrink guard holds back.
        if self._snapshot is not None and not self._registry.has_suspects(self.query):
            self._snapshot.keep(reply.body)

    async def _read(self, body: bytes) -> Catalog:
        """Parse an answer in slices of `SLICE`; the reactor runs between them."""
        reading = self._reader.reading(body)
        while True:
            until = self._clock.seconds() + SLICE
            try:
                while self._clock.seconds() < until:
                    next(reading)
            except StopIteration as end:
                catalog: Catalog = end.value
                return catalog
            await deferLater(self._clock, 0.0)

    def _take(self, catalog: Catalog) -> None:
        self._skipped, self._unfit = catalog.skipped, catalog.unfit
        self._instances = catalog.instances
        self._publish()

    def screen(self) -> None:
        """The screen's results may have changed: apply it to all instances again."""
        if self._registry.answered(self.query):
            self._publish()

    def _publish(self) -> None:
        known = self._registry.answered(self.query)
        instances = screened(self.names.addressed(self._instances), self._screen)
        own = [Skipped(str(each), each.skipped) for each in instances if each.skipped]
        self.skipping.replace([*self._skipped, *own])
        if self._unfit:
            instances += self._not_fit_any_more()
        pending = self.names.pending
        change = self._registry.replace(self.query, instances, pending=pending)
        self.stats.changes += bool(change)
        # An empty first answer is logged, but not while names are still looked up.
        first = not (known or instances) and self._registry.answered(self.query)
        if change or first:
            self._log.info(
                "{query}: {change}; {total} in all",
                query=self.query,
                change=summary(change),
                total=len(instances),
                **change_fields(change),
            )

    def _not_fit_any_more(self) -> list[Instance]:
        """The pool's instances that Consul still lists, but that are skipped now.

        They stay in the answer: the shrink guard must not see them as lost.
        """
        return [
            evolve(each, skipped=self._unfit[each.identity])
            for each in self._registry.known(self.query)
            if each.identity in self._unfit
        ]

    def _succeeded(self, failures: int) -> None:
        if failures:
            self._tell(EventKind.RECOVERED)
            self._log.info(
                "{query}: Consul answers again, after {failures} failures",
                query=self.query,
                failures=failures,
            )
        self.stats.answered(self._clock.seconds(), self._loop.cursor.index)

    def _failed(self, error: Exception, is_new: bool) -> None:
        self.stats.failed(self._clock.seconds(), in_words(error))
        if is_new:
            self._tell(EventKind.FAILING, in_words(error))
            self._complain(error)

    def _tell(self, kind: EventKind, reason: str = "") -> None:
        self._on_event(QueryEvent(kind=kind, query=self.query, reason=reason))

    def _complain(self, error: Exception) -> None:
        if not isinstance(error, FORESEEN):
            self._log.failure("{query}: a bug in lbconsul", query=self.query)
        known = self._registry.answered(self.query)
        self._log.warn(
            "{query}: no answer from Consul at {url}: {error}; {meanwhile}",
            query=self.query,
            url=self.where,
            error=in_words(error),
            meanwhile="the last answer stays in use"
            if known
            else ("waiting for the first answer"),
        )
