"""The data plane of a gateway: its listening sockets, served here or by workers."""

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from collections.abc import Mapping as AbstractMapping
from typing import Any

from attrs import Factory, define, field
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.logger import Logger

from lbconsul.balance.counter import LocalCounter
from lbconsul.balance.events import Change, RegistryEvent, events_of
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.config.model import MOST_WORKERS, Config, Mapping, UnixListen
from lbconsul.errors import NoWorkers
from lbconsul.gateway.events import EjectionReports, Note, ignore
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.factory import ProxyFactory
from lbconsul.proxy.listener_manager import ListenerManager
from lbconsul.proxy.own_listeners import Bound, bound_to
from lbconsul.proxy.runtime import ProxyRuntime
from lbconsul.proxy.saturation import Full
from lbconsul.proxy.targets import failover_spec
from lbconsul.proxy.upstream_log import UpstreamLog
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.workers.supervisor import Supervisor
from lbconsul.workers.worker_process import WorkerProcess


@define(eq=False, repr=False)
class DataPlane(MultiService):
    """Serves mappings, in this process or in workers, over one registry.

    :raises NoWorkers: worker processes cannot be used on this system.
    """

    _log = Logger()
    _reactor: Any
    _config: Config
    _chance: Callable[[], float]
    _inherited: AbstractMapping[str, int]
    #: Called with each event.
    _note: Note = ignore
    #: Called when Consul has answered a query.
    _answered: Callable[[ServiceQuery], None] = lambda question: None
    #: Called with instances whose drain ended by a new registration.
    _renewed: Callable[[tuple[Instance, ...]], None] = lambda instances: None
    #: The limit of open connections in this process.
    room: ConnectionLimit = Factory(
        lambda self: ConnectionLimit(self._reactor), takes_self=True
    )
    _upstream_log: UpstreamLog = Factory(
        lambda self: UpstreamLog(self._reactor), takes_self=True
    )
    #: None if all mappings are served in this process.
    workers: Supervisor | None = None
    registry: Registry = field(init=False)
    _ejections: EjectionReports = field(init=False)
    #: The delayed call that compares the workers' ejection reports.
    _noting: Any = None
    #: The served mappings by name; None if the cache is stale.
    _by_name: dict[str, Mapping] | None = None
    _runtime: ProxyRuntime = field(init=False)
    here: ListenerManager = field(init=False)
    #: The listening sockets, those of workers included.
    sockets: list[OwnedSocket] = Factory(list)

    def __attrs_post_init__(self) -> None:
        super().__init__()
        log = self._config.connection_log
        count = self._config.workers or min(_cores(), MOST_WORKERS)
        if count > 1:
            self.workers = _workers(self._reactor, count, log)
            self.workers.setServiceParent(self)
        self.registry = self._new_registry()
        self._ejections = EjectionReports(self.registry, self._note)
        if self.workers is not None:
            self.workers.learned = self._learned
        self._runtime = ProxyRuntime(self._reactor, self.registry, log, self.room)
        self.here = ListenerManager(self._runtime, let_go=self._let_go)
        self.here.setServiceParent(self)

    @property
    def mappings(self) -> list[Mapping]:
        """The served mappings: of workers, of this process, and of `lend`."""
        return (self.workers.mappings if self.workers else []) + self.here.mappings

    def mapping(self, name: str) -> Mapping | None:
        """The mapping with this name in the status; None if there is none."""
        if self._by_name is None:
            self._by_name = {str(each): each for each in self.mappings}
        return self._by_name.get(name)

    @property
    def open(self) -> int:
        """Open connections, over all processes."""
        return self._runtime.open + (self.workers.open if self.workers else 0)

    @property
    def accepted(self) -> int:
        """Connections accepted since the start, over all processes."""
        of_workers = self.workers.accepted_by_now if self.workers else 0
        return self._runtime.accepted + of_workers

    @property
    def max_connections(self) -> int:
        """The connection limit over all mappings, per process; 0: no limit."""
        return self.room.limit

    @property
    def members(self) -> list[WorkerProcess]:
        """The worker processes; empty without workers."""
        return self.workers.members if self.workers else []

    @property
    def full(self) -> Counter[Full]:
        """The limits that are reached, and in how many processes."""
        found = Counter(self.here.full)
        for member in self.members:
            found.update(Full(*each) for each in member.report.full)
        return found

    def is_listening(self, mapping: Mapping) -> bool:
        """Whether clients of this mapping are accepted."""
        if self.workers is None or mapping.listen is None:
            return self.here.is_listening(mapping)
        return any(each.report.serves for each in self.workers.members)

    @property
    def longest_drain(self) -> float:
        """The longest drain timeout of all mappings, in seconds."""
        of_workers = self.workers.longest_drain if self.workers else 0.0
        return max(self._runtime.longest_drain, of_workers)

    @property
    def is_serving(self) -> bool:
        """Whether clients of every mapping are accepted."""
        if self.workers is not None and not self.workers.is_serving:
            return False
        return all(each.waiting is None for each in self.here.served)

    def knows(self, *, wholly: bool) -> bool:
        """Whether Consul has answered enough to serve each mapping.

        With `wholly`, whether it has answered all queries, fallbacks included.
        """
        return all(self._knows(each, wholly=wholly) for each in self.mappings)

    def traffic(self, mapping: Mapping) -> MappingTraffic:
        """The traffic of a mapping, summed over all processes."""
        here = self._runtime.traffic(mapping)
        if self.workers is None:
            return here
        # This process makes no connections, so nothing else syncs the counter.
        self.workers.counter.sync()
        theirs = self.workers.traffic(mapping)
        if theirs.used:  # each worker decides which pool it uses
            here.used = set()
        return MappingTraffic.sum([here, theirs])

    def set_drained(self, drained: AbstractMapping[Identity, int]) -> None:
        """Set the drained registrations, with their CreateIndex; others serve again."""
        self.registry.set_drained(drained)
        if self.workers is not None:
            self.workers.set_drained(drained)

    def eject(self, identity: Identity) -> Deferred[str]:
        """Eject an upstream; fires with the reason of a refusal, empty if ejected."""
        if self.workers is not None:
            return self.workers.eject(identity)
        return succeed(self.registry.eject(identity))

    def lend(self, mapping: Mapping) -> ProxyFactory:
        """A factory for a mapping whose clients the caller's endpoint accepts."""
        self._by_name = None
        return self.here.lend(mapping)

    def listen(self, mapping: Mapping) -> None:
        """Add a mapping; its socket is opened at once if the service runs.

        :raises CannotListen: the service runs, and the address cannot be bound.
        """
        sock = OwnedSocket(mapping, self._inherited)
        if self.running:
            sock.open()
        self.sockets.append(sock)
        self._by_name = None
        if self.workers is not None:
            self.registry.chain(
                failover_spec(mapping)
            )  # the status shows the standing of its upstreams
            self.workers.serve(sock)
        else:
            self.here.serve(mapping, sock)

    @property
    def sweeper(self) -> TimeSlicer:
        """Runs long work in slices in this process."""
        return self._runtime.sweeper

    def binding(
        self, mappings: Iterable[Mapping]
    ) -> Generator[None, None, list[OwnedSocket]]:
        """Open sockets for these mappings, one per step; returns them for `replace`.

        :raises CannotListen: an address cannot be bound; all sockets are closed again.
        """
        found = [OwnedSocket(each, self._inherited) for each in mappings]
        try:
            for each in found:
                each.open()
                yield
        except BaseException:
            for each in found:
                each.close()
            raise
        return found

    def replace(
        self,
        mappings: Iterable[Mapping],
        added: list[OwnedSocket],
        connection_log: bool,
    ) -> None:
        """Replace the served mappings; `added` are the sockets of new ones."""
        for _ in self.replacing(mappings, added, connection_log):
            pass

    def replacing(
        self,
        mappings: Iterable[Mapping],
        added: list[OwnedSocket],
        connection_log: bool,
    ) -> Iterator[bool]:
        """Replace the served mappings in steps; `mappings` changes with the first."""
        known = {each.mapping.listen: each for each in (*self.sockets, *added)}
        wanted = [(each, known[each.listen]) for each in mappings]
        self.sockets = [sock for _, sock in wanted]
        self._by_name = None
        yield True
        for mapping, sock in wanted:
            self._alter(sock, mapping)
            yield False
        anew = connection_log != self._runtime.connection_log
        self._runtime.connection_log = connection_log
        if self.workers is not None:
            for mapping, _ in wanted:
                self.registry.chain(failover_spec(mapping))
                yield False
            self.workers.replace(self.sockets, connection_log=connection_log)
            yield True
            self._let_go()
            yield True
            yield from self.here.replacing((), anew=anew)
        else:
            yield from self.here.replacing(wanted, anew=anew)
        self._by_name = None

    def startService(self) -> None:
        super().startService()
        for mapping in self.mappings:
            self._log.info("balancing {mapping}", mapping=str(mapping))

    def bounds(self) -> list[Bound | None]:
        """The addresses that are listened on."""
        return [bound_to(each.mapping.listen, each.sock) for each in self.sockets]

    def drain(self) -> Deferred[None]:
        """Close the listeners and drain; fires when no connection is open."""
        drained = [self.here.retire()]
        if self.workers is not None:
            drained.append(self.workers.drain())
        return gatherResults(drained).addCallback(lambda _: None)

    def forget(self, questions: Iterable[ServiceQuery]) -> None:
        """Discard the answers to queries that no mapping uses any more."""
        if self.workers is not None:
            for each in questions:
                self.workers.forget(each)

    def bind(self) -> None:
        """Open every listening socket.

        :raises CannotListen: an address cannot be bound.
        """
        for each in self.sockets:
            each.open()

    def bind_files(self) -> None:
        """Open the UNIX sockets only.

        :raises CannotListen: an address cannot be bound.
        """
        for each in self.sockets:
            if isinstance(each.mapping.listen, UnixListen):
                each.open()

    def close(self) -> None:
        """Close all listening sockets."""
        for each in self.sockets:
            each.close()

    def end(self) -> tuple[int, int, int]:
        """Close all connections, after the service has stopped.

        Returns the number of connections accepted in all, of connections closed here,
        and of leases left.
        """
        accepted, closed = self._runtime.accepted, self._runtime.open
        self.here.close_connections()
        self._upstream_log.stop()
        if self._noting is not None:
            self._noting.cancel()
            self._note_ejections()
        leases = self.registry.open_connections()
        if self.workers is not None:
            accepted += self.workers.accepted
            closed += self.workers.closed
            leases += self.workers.leases
        return accepted, closed, leases

    def _new_registry(self) -> Registry:
        counter = LocalCounter() if self.workers is None else self.workers.counter
        return Registry(
            self._chance,
            counter,
            self._changed,
            self._reactor.seconds,
            self._on_event,
            self._registered_anew,
        )

    def _registered_anew(self, instances: tuple[Instance, ...]) -> None:
        """Called by the registry: a new registration ended the drain of these."""
        if self.workers is not None:
            self.workers.set_drained(self.registry.drained)
        self._renewed(instances)

    def _changed(self, question: ServiceQuery, change: Change) -> None:
        """Called by the registry for each answer: update workers, log the changes."""
        if self.workers is not None:
            pending = not self.registry.answered(question)
            self.workers.changed(question, change, pending=pending)
        self.here.answered(question)
        for event in events_of(question, change):
            self._note(event)
        self._answered(question)

    def _learned(self) -> None:
        """Called by the supervisor: the set of ejected upstreams changed.

        Each worker reports an upstream once per mapping, so reports are batched.
        """
        if self._noting is None:
            self._noting = self._reactor.callLater(0, self._note_ejections)

    def _note_ejections(self) -> None:
        self._noting, workers = None, self.workers
        if workers is not None:
            told = (
                (failover_spec(each), workers.ejected(each))
                for each in workers.mappings
            )
            self._ejections.look(told)

    def _on_event(self, event: RegistryEvent) -> None:
        """Called by the registry: the standing of an upstream or pool changed."""
        if self.workers is None:  # else each worker logs it
            self._upstream_log.tell(event)
        self._note(event)

    def _knows(self, mapping: Mapping, *, wholly: bool) -> bool:
        route = failover_spec(mapping)
        asked = route.all() if wholly else route.selections
        answered = (self.registry.answered(each.question) for each in asked)
        return all(answered) if wholly else any(answered)

    def _let_go(self) -> None:
        """Called when connections need less than they did."""
        by_workers = self.workers.mappings if self.workers is not None else ()
        routes = self._runtime.routes
        routes.update(map(failover_spec, by_workers))
        self.registry.keep_only(routes)

    def _alter(self, sock: OwnedSocket, mapping: Mapping) -> None:
        try:
            sock.alter(mapping)
        except OSError as error:
            self._log.warn(
                "{mapping}: its file cannot be given mode {mode:o}: {error}",
                mapping=str(mapping),
                mode=mapping.unix_mode,
                error=error.strerror or error,
            )


def _workers(reactor: Any, count: int, connection_log: bool) -> Supervisor:
    try:
        return Supervisor(reactor, count, connection_log)
    except OSError as error:
        raise NoWorkers(
            f"--workers {count}: there is no room for the table that they share:"
            f" {error.strerror or error}"
        ) from None


def _cores() -> int:
    """The number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
