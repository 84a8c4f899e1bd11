"""The data plane of a gateway with workers: they serve mappings, over one balance."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from collections.abc import Mapping as AbstractMapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lbconsul.balance.events import Change, RegistryEvent
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.own_checks import ResultChanges
from lbconsul.balance.pool_spec import FailoverSpec, ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.config.model import TLS, Mapping, rows
from lbconsul.config.render import in_words
from lbconsul.extensions.extensions import Extensions
from lbconsul.logs.connection_lines import ConnectionLines
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.net.listening_sockets import ListeningSockets
from lbconsul.net.periodic import repeat
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.data_plane import DataPlaneObserver, LocalDataPlane, MappingIndex
from lbconsul.proxy.factory import ProxyFactory
from lbconsul.proxy.live_routes import RowChanges
from lbconsul.proxy.saturation import Full
from lbconsul.proxy.targets import failover_spec
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.steps import Steps
from lbconsul.workers.catalog_publisher import CatalogPublisher
from lbconsul.workers.ejection_reports import Ejected, EjectionReports
from lbconsul.workers.listeners import ListenerSet
from lbconsul.workers.messages import (
    KeepCertificates,
    KeepPasswords,
    SetCheckResults,
    SetDrained,
)
from lbconsul.workers.published_certificates import PublishedCertificates
from lbconsul.workers.shared_counter import RECOUNT_EVERY, SharedCounter
from lbconsul.workers.shared_credits import CreditSlots
from lbconsul.workers.shared_table import SLOTS, Table
from lbconsul.workers.slots import Slots
from lbconsul.workers.supervisor import Supervisor
from lbconsul.workers.versioned_catalog import VersionedCatalog
from lbconsul.workers.worker_process import WorkerProcess
from lbconsul.workers.worker_stats import WorkerStats

if TYPE_CHECKING:  # OpenSSL takes memory that mappings without TLS do without
    from lbconsul.http.htpasswd import Passwords
    from lbconsul.tls.material import Material
    from lbconsul.tls.server import TLSServer

#: Results of own checks in one message: some 100 KB.
_RESULTS = 500


@define(eq=False, repr=False)
class WorkerDataPlane(MultiService):
    """Serves mappings in `count` worker processes, and lent ones in this process.

    :raises OSError: the machine lacks memory for the shared table.
    :raises NoWorkers: it cannot be determined how to start workers.
    """

    _log = Logger()
    _reactor: Any
    count: int
    _chance: Callable[[], float]
    _observer: DataPlaneObserver
    sockets: ListeningSockets
    _connection_log: bool
    #: Writes the access log; None: each connection is a log event.
    _lines: ConnectionLines | None = None
    _table: Table = field(init=False)
    _certificates: PublishedCertificates = Factory(PublishedCertificates)
    _publisher: CatalogPublisher = field(init=False)
    _counter: SharedCounter = field(init=False)
    _listeners: ListenerSet = field(init=False)
    _supervisor: Supervisor = field(init=False)
    _stats: WorkerStats = field(init=False)
    #: Serves the mappings that are lent.
    _local: LocalDataPlane = field(init=False)
    _index: MappingIndex = field(init=False)
    _ejections: EjectionReports = field(init=False)
    _recounting: LoopingCall | None = None
    #: Whether rows that came and went may have left pools that nothing needs.
    _has_unused_pools: bool = False

    def __attrs_post_init__(self) -> None:
        super().__init__()
        self._table = Table.create(1 + self.count)
        self._listeners = ListenerSet(
            self.count, self._connection_log, CreditSlots(self._table)
        )
        catalog = VersionedCatalog(Slots(SLOTS))
        self._supervisor = Supervisor(
            self._reactor,
            self.count,
            self._listeners,
            catalog,
            self._table,
            self,
            self._lines,
            self._certificates,
        )
        self._supervisor.setServiceParent(self)
        self._publisher = CatalogPublisher(catalog, self._table, self._running_workers)
        self._stats = WorkerStats(self._listeners, self._running_workers)
        self._counter = SharedCounter(self._table, 0, catalog.slots.allocate)
        self._local = LocalDataPlane(
            self._reactor,
            self._chance,
            self,
            ListeningSockets(),
            self._connection_log,
            self._counter,
            logs_upstreams=False,
            needed_elsewhere=self._needed,
            connection_writer=self._lines,
        )
        self._local.setServiceParent(self)
        self._index = MappingIndex(lambda: self.mappings)
        self._ejections = EjectionReports(
            self._reactor, self.registry, self._ejected, self._observer.on_event
        )

    def _running_workers(self) -> list[WorkerProcess]:
        return self._supervisor.workers

    def _needed(self) -> Iterable[FailoverSpec]:
        return map(failover_spec, self._listeners.mappings)

    def _ejected(self) -> Iterator[tuple[FailoverSpec, Ejected]]:
        for each in self._listeners.mappings:
            yield failover_spec(each), self._stats.ejected(each)

    @property
    def registry(self) -> Registry:
        """All pools."""
        return self._local.registry

    @property
    def extensions(self) -> Extensions:
        """The policies and hooks of this process; each worker has its own."""
        return self._local.extensions

    @property
    def connection_limit(self) -> ConnectionLimit:
        """The limit of open connections in this process."""
        return self._local.connection_limit

    @property
    def sweeper(self) -> TimeSlicer:
        """Runs long work in slices in this process."""
        return self._local.sweeper

    @property
    def mappings(self) -> list[Mapping]:
        """The served mappings, those of `lend` included."""
        return self._listeners.mappings + self._local.mappings

    def mapping(self, name: str) -> Mapping | None:
        """The mapping with this name in the status; None if there is none."""
        return self._index.get(name)

    @property
    def workers(self) -> list[WorkerProcess]:
        """The running worker processes."""
        return self._supervisor.workers

    @property
    def open(self) -> int:
        """Open connections, over all processes."""
        of_workers = sum(self._table.sums[1:].tolist())
        return self._local.open + int(of_workers)

    @property
    def accepted(self) -> int:
        """Connections accepted since the start, over all processes."""
        return self._local.accepted + self._stats.accepted

    @property
    def full(self) -> Counter[Full]:
        """The limits that are reached, and in how many processes."""
        found = self._local.full
        for worker in self.workers:
            found.update(Full(*each) for each in worker.report.full)
        return found

    @property
    def faults(self) -> Counter[tuple[str, str]]:
        """The faults of policies and hooks in all processes, by names and kinds."""
        return self._local.faults + self._stats.faults

    @property
    def longest_drain(self) -> float:
        """The longest drain timeout of all mappings, in seconds."""
        return max(self._local.longest_drain, self._listeners.longest_drain)

    @property
    def is_serving(self) -> bool:
        """Whether every worker accepts clients."""
        return self._supervisor.is_serving

    def is_listening(self, mapping: Mapping) -> bool:
        """Whether clients of this mapping are accepted."""
        if mapping.listen is None:
            return self._local.is_listening(mapping)
        return any(each.report.serves for each in self.workers)

    def traffic(self, mapping: Mapping) -> MappingTraffic:
        """The traffic of a mapping, summed over all processes."""
        here, theirs = self._local.traffic(mapping), self._stats.traffic(mapping)
        # This process makes few connections, so nothing else syncs the counter.
        self._counter.sync()
        if theirs.used:  # each worker decides which pool it uses
            here.used = set()
        return MappingTraffic.sum([here, theirs])

    def stats_of(self, mapping: Mapping) -> list[MappingStats]:
        """The statistics of a mapping by process: what `traffic` sums up."""
        return self._local.stats_of(mapping) + self._stats.parts(mapping)

    def set_drained(self, drained: AbstractMapping[Identity, int]) -> None:
        """Set the drained registrations, with their CreateIndex; others serve again."""
        self.registry.set_drained(drained)
        self._send_drained(*self.workers)

    def set_check_results(self, changes: ResultChanges) -> Collection[ServiceQuery]:
        """Apply other results of own checks; the queries whose pools they concern."""
        queries = self._local.set_check_results(changes)
        self._send_results(changes, self.workers)
        return queries

    def eject(self, identity: Identity) -> Deferred[str]:
        """Eject an upstream in each worker.

        Fires with the reason of a refusal, empty if a worker ejected it.
        """
        answers = [worker.eject(identity) for worker in self.workers]
        return gatherResults(answers).addCallback(_first_reason)

    def use_certificates(
        self, tls: TLS, material: "Material", server: "TLSServer"
    ) -> None:
        """Serve clients that come from now on with these certificates.

        `server` is made of `material`.
        """
        self._local.use_certificates(tls, material, server)
        self._certificates.put(tls, material)
        for worker in self.workers:
            worker.certificates_changed(tls)

    def use_passwords(self, path: str, passwords: "Passwords") -> None:
        """Verify the users of mappings with this file by these passwords."""
        self._local.use_passwords(path, passwords)
        self._certificates.put_passwords(path, passwords)
        for worker in self.workers:
            worker.certificates_changed(path)

    def drop_passwords(self, wanted: Collection[str]) -> None:
        """Drop the passwords of all files but these."""
        self._local.drop_passwords(wanted)
        self._certificates.keep_only_passwords(wanted)
        for worker in self.workers:
            worker.send(KeepPasswords(tuple(wanted)))

    def use_cookie_keys(self, keys: tuple[bytes, ...]) -> None:
        """Make cookies with the first of these keys, and know those of all.

        Workers get them with their next mappings.
        """
        self._local.use_cookie_keys(keys)
        self._listeners.cookie_keys = keys

    def drop_certificates(self, wanted: Collection[TLS]) -> None:
        """Drop the certificates of all TLS options but these."""
        self._local.drop_certificates(wanted)
        self._certificates.keep_only(wanted)
        for worker in self.workers:
            worker.send(KeepCertificates(tuple(wanted)))

    def lend(self, mapping: Mapping) -> ProxyFactory:
        """A factory for a mapping whose clients the caller's endpoint accepts."""
        self._index.invalidate()
        return self._local.lend(mapping)

    def listen(self, mapping: Mapping) -> None:
        """Add a mapping; its socket is opened at once if the service runs.

        :raises CannotListen: the service runs, and the address cannot be bound.
        """
        sock = self.sockets.add(mapping, at_once=bool(self.running))
        self._index.invalidate()
        for row in mapping.rows:  # the status shows the standing of its upstreams
            self.registry.failover(failover_spec(row))
        self._listeners.add(sock)
        self._supervisor.altered()

    def replacing(
        self,
        mappings: Iterable[Mapping],
        added: Iterable[OwnedSocket],
        connection_log: bool,
    ) -> Steps[None]:
        """Replace the served mappings in steps; `added` are the sockets of new ones.

        Each step says whether it was long.  `sockets` changes with the first.
        """
        wanted = self.sockets.replace(mappings, added)
        self._index.invalidate()
        yield True
        for mapping, sock in wanted:
            self.sockets.alter(sock, mapping)
            yield False
        for row in rows(mapping for mapping, _ in wanted):
            self.registry.failover(failover_spec(row))
            yield False
        self._listeners.replace(self.sockets, connection_log)
        self._supervisor.altered()
        yield True
        self._local.release_pools()
        yield True
        yield from self._local.replacing((), (), connection_log)
        self._index.invalidate()

    def amend(self, changes: RowChanges) -> None:
        """Have rows of a mapping come and go while it is served."""
        self._index.invalidate()
        for row in changes.put:  # the status shows the standing of its upstreams
            self.registry.failover(failover_spec(row))
        amend = self._listeners.amend(changes)
        if amend is not None:
            for worker in self.workers:
                worker.amended(amend)
            self._has_unused_pools = True

    def keep_answers(self, asked: Callable[[], Collection[ServiceQuery]]) -> None:
        """Keep the answers to these queries, whether a mapping needs them or not."""
        self._local.keep_answers(asked)

    def forget(self, queries: Iterable[ServiceQuery]) -> None:
        """Tell the workers of queries that are no longer asked."""
        for each in queries:
            self._publisher.forget(each)

    def startService(self) -> None:
        super().startService()
        self._recounting = repeat(self._reactor, RECOUNT_EVERY, self._recount)
        for mapping in self._listeners.mappings:
            text = in_words(mapping)
            self._log.info("balancing {_text}", mapping=str(mapping), _text=text)

    def stopService(self) -> Deferred[None]:
        if self._recounting is not None:  # it is None if the start failed
            self._recounting.stop()
            self._recounting = None
        stopped: Deferred[None] = super().stopService()
        return stopped

    def drain(self) -> Deferred[None]:
        """Close the listeners and drain; fires when no connection is open."""
        drained = [self._local.drain(), self._supervisor.drain()]
        return gatherResults(drained).addCallback(lambda _: None)

    def end(self) -> tuple[int, int, int]:
        """Close all connections, after the service has stopped.

        Returns the number of connections accepted in all, of connections closed just
        now, and of leases left.
        """
        accepted, closed, leases = self._local.end()
        self._ejections.stop()
        stats = self._stats
        return accepted + stats.accepted, closed + stats.closed, leases + stats.leases

    def on_change(self, query: ServiceQuery, change: Change) -> None:
        """Called by the local data plane for each answer of Consul."""
        pending = not self.registry.answered(query)
        self._publisher.changed(query, change, pending=pending)
        self._observer.on_change(query, change)

    def on_event(self, event: RegistryEvent) -> None:
        """Called by the local data plane: an upstream's or pool's standing changed."""
        self._observer.on_event(event)

    def on_reregistered(self, instances: tuple[Instance, ...]) -> None:
        """Called by the local data plane: the drain of these instances has ended."""
        self._send_drained(*self.workers)
        self._observer.on_reregistered(instances)

    def on_started(self, worker: WorkerProcess) -> None:
        """Called by the supervisor: a worker was started."""
        if self.registry.drained:
            self._send_drained(worker)
        self._send_results(self.registry.check_results, [worker])

    def on_ended(
        self, worker: WorkerProcess, termination: str, *, is_final: bool
    ) -> None:
        """Called by the supervisor: a worker has ended."""
        self._table.clear(worker.number, self._publisher.catalog.slots.end)
        self._stats.ended(worker, termination, is_final=is_final)
        if any(each.ejected for each in worker.traffic.values()):
            self._ejections.changed()

    def on_ejections_changed(self) -> None:
        """Called by the supervisor: the set of ejected upstreams changed."""
        self._ejections.changed()

    def _send_drained(self, *workers: WorkerProcess) -> None:
        for worker in workers:
            worker.send(SetDrained(self.registry.drained))

    def _send_results(
        self, changes: ResultChanges, workers: Iterable[WorkerProcess]
    ) -> None:
        rows = iter(changes.items())
        while some := dict(islice(rows, _RESULTS)):
            for worker in workers:
                worker.send(SetCheckResults(some))

    def _recount(self) -> None:
        """Periodic: recount, drop stale statistics and reclaim slots."""
        self._counter.recount()
        self._stats.tidy(self._publisher.catalog.knows)
        self._publisher.reclaim()
        if self._has_unused_pools:
            self._has_unused_pools = False
            self._local.release_pools()


def _first_reason(reasons: list[str]) -> str:
    if "" in reasons:
        return ""
    return reasons[0] if reasons else "no worker runs"
