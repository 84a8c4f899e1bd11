"""The local data plane: serves mappings in this process, over one registry."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from collections.abc import Mapping as AbstractMapping
from typing import TYPE_CHECKING, Any, Protocol

from attrs import Factory, define, field
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from lbconsul.balance.counter import ConnectionCounter, LocalCounter
from lbconsul.balance.events import Change, RegistryEvent
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.own_checks import ResultChanges
from lbconsul.balance.pool_spec import FailoverSpec, ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.config.model import TLS, Mapping
from lbconsul.config.render import in_words
from lbconsul.extensions.extensions import Extensions
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.net.listening_sockets import ListeningSockets
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.proxy.access_log import ConnectionWriter
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.factory import ProxyFactory
from lbconsul.proxy.listener_manager import ListenerManager
from lbconsul.proxy.live_routes import RowChanges
from lbconsul.proxy.runtime import ProxyRuntime
from lbconsul.proxy.saturation import Full
from lbconsul.proxy.upstream_log import UpstreamLog
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.steps import Steps

if TYPE_CHECKING:  # OpenSSL takes memory that mappings without TLS do without
    from lbconsul.http.htpasswd import Passwords
    from lbconsul.tls.material import Material
    from lbconsul.tls.server import TLSServer


class DataPlaneObserver(Protocol):
    """Hears of what happens to the pools of a data plane."""

    def on_change(self, query: ServiceQuery, change: Change) -> None:
        """Consul answered a query, and the pools have applied this change."""

    def on_event(self, event: RegistryEvent) -> None:
        """The standing of an upstream or of a pool changed."""

    def on_reregistered(self, instances: tuple[Instance, ...]) -> None:
        """A new registration of these instances ended their drain."""


@define(eq=False)
class MappingIndex:
    """Finds served mappings by their names in the status."""

    _mappings: Callable[[], Iterable[Mapping]]
    #: None if the index is stale.
    _by_name: dict[str, Mapping] | None = None

    def get(self, name: str) -> Mapping | None:
        """The mapping with this name; None if there is none."""
        if self._by_name is None:
            self._by_name = {str(each): each for each in self._mappings()}
        return self._by_name.get(name)

    def invalidate(self) -> None:
        """Note that the mappings have changed."""
        self._by_name = None


@define(eq=False, repr=False)
class LocalDataPlane(MultiService):
    """Serves mappings in this process.

    With workers it serves only mappings that are lent; then `counter` is the shared
    one, each worker `logs_upstreams` itself, and `needed_elsewhere` gives what the
    workers balance over.
    """

    _log = Logger()
    _reactor: Any
    _chance: Callable[[], float]
    _observer: DataPlaneObserver
    sockets: ListeningSockets
    _connection_log: bool
    _counter: ConnectionCounter = Factory(LocalCounter)
    _logs_upstreams: bool = True
    _needed_elsewhere: Callable[[], Iterable[FailoverSpec]] = tuple
    _connection_writer: ConnectionWriter | None = field(default=None, kw_only=True)
    #: The limit of open connections in this process.
    connection_limit: ConnectionLimit = field(
        init=False,
        default=Factory(lambda self: ConnectionLimit(self._reactor), takes_self=True),
    )
    extensions: Extensions = field(
        init=False, default=Factory(lambda self: Extensions(self._reactor), True)
    )
    registry: Registry = field(init=False)
    _upstream_log: UpstreamLog = field(init=False)
    _runtime: ProxyRuntime = field(init=False)
    listeners: ListenerManager = field(init=False)
    _index: MappingIndex = field(init=False)

    def __attrs_post_init__(self) -> None:
        super().__init__()
        self._upstream_log = UpstreamLog(self._reactor)
        self.registry = Registry(
            self._chance,
            self._counter,
            self._on_change,
            self._reactor.seconds,
            self._on_event,
            self._observer.on_reregistered,
            policies=self.extensions.policy,
        )
        self._runtime = ProxyRuntime(
            self._reactor,
            self.registry,
            self._connection_log,
            self.connection_limit,
            self._needed_elsewhere,
            connection_writer=self._connection_writer,
            hooks=self.extensions.hooks,
        )
        self.listeners = ListenerManager(self._runtime)
        self.listeners.setServiceParent(self)
        self._index = MappingIndex(lambda: self.mappings)

    @property
    def mappings(self) -> list[Mapping]:
        """The served mappings, those of `lend` included."""
        return self.listeners.mappings

    def mapping(self, name: str) -> Mapping | None:
        """The mapping with this name in the status; None if there is none."""
        return self._index.get(name)

    @property
    def workers(self) -> tuple[()]:
        """No worker process serves."""
        return ()

    @property
    def open(self) -> int:
        """Open connections."""
        return self._runtime.open

    @property
    def accepted(self) -> int:
        """Connections accepted since the start."""
        return self._runtime.accepted

    @property
    def full(self) -> Counter[Full]:
        """The limits that are reached, each once."""
        return Counter(self.listeners.full)

    @property
    def faults(self) -> Counter[tuple[str, str]]:
        """The faults of policies and hooks, by their names and kinds."""
        return Counter(self.extensions.faults.counts)

    @property
    def longest_drain(self) -> float:
        """The longest drain timeout of all mappings, in seconds."""
        return self._runtime.longest_drain

    @property
    def is_serving(self) -> bool:
        """Whether clients of every mapping are accepted."""
        return all(each.waiting is None for each in self.listeners.served)

    def is_listening(self, mapping: Mapping) -> bool:
        """Whether clients of this mapping are accepted."""
        return self.listeners.is_listening(mapping)

    def traffic(self, mapping: Mapping) -> MappingTraffic:
        """The traffic of a mapping."""
        return self._runtime.traffic(mapping)

    def stats_of(self, mapping: Mapping) -> list[MappingStats]:
        """The statistics of a mapping by process: those of this one."""
        return [self._runtime.stats(mapping)]

    @property
    def sweeper(self) -> TimeSlicer:
        """Runs long work in slices in this process."""
        return self._runtime.sweeper

    def set_drained(self, drained: AbstractMapping[Identity, int]) -> None:
        """Set the drained registrations, with their CreateIndex; others serve again."""
        self.registry.set_drained(drained)

    def set_check_results(self, changes: ResultChanges) -> Collection[ServiceQuery]:
        """Apply other results of own checks; the queries whose pools they concern."""
        queries = self.registry.set_check_results(changes)
        for each in queries:  # a mapping may have waited for the first results
            self.listeners.answered(each)
        return queries

    def eject(self, identity: Identity) -> Deferred[str]:
        """Eject an upstream; fires with the reason of a refusal, empty if ejected."""
        return succeed(self.registry.eject(identity))

    def use_certificates(
        self, tls: TLS, material: "Material", server: "TLSServer"
    ) -> None:
        """Serve clients that come from now on with these certificates.

        `server` is made of `material`.
        """
        self._runtime.acceptors.use(tls, server)
        self.listeners.certificates_loaded()

    def use_cookie_keys(self, keys: tuple[bytes, ...]) -> None:
        """Make cookies with the first of these keys, and know those of all."""
        self._runtime.cookie_tokens.use(keys)

    def drop_certificates(self, wanted: Collection[TLS]) -> None:
        """Drop the certificates of all TLS options but these."""
        self._runtime.acceptors.keep_only(wanted)

    def use_passwords(self, path: str, passwords: "Passwords") -> None:
        """Verify the users of mappings with this file by these passwords."""
        self._runtime.authenticators.use(path, passwords)

    def drop_passwords(self, wanted: Collection[str]) -> None:
        """Drop the passwords of all files but these."""
        self._runtime.authenticators.keep_only(wanted)

    def lend(self, mapping: Mapping) -> ProxyFactory:
        """A factory for a mapping whose clients the caller's endpoint accepts."""
        self._index.invalidate()
        return self.listeners.lend(mapping)

    def listen(self, mapping: Mapping) -> None:
        """Add a mapping; its socket is opened at once if the service runs.

        :raises CannotListen: the service runs, and the address cannot be bound.
        """
        sock = self.sockets.add(mapping, at_once=bool(self.running))
        self._index.invalidate()
        self.listeners.serve(mapping, sock)

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
        renew = connection_log != self._runtime.connection_log
        self._runtime.connection_log = connection_log
        yield from self.listeners.replacing(wanted, renew=renew)
        self._index.invalidate()

    def amend(self, changes: RowChanges) -> None:
        """Have rows of a mapping come and go while it is served."""
        self._index.invalidate()
        self.listeners.amend(changes)

    def keep_answers(self, asked: Callable[[], Collection[ServiceQuery]]) -> None:
        """Keep the answers to these queries, whether a mapping needs them or not."""
        self._runtime.asked = asked

    def forget(self, queries: Iterable[ServiceQuery]) -> None:
        """Nothing: the registry drops the answers to unused queries by itself."""

    def startService(self) -> None:
        super().startService()
        for mapping in self.mappings:
            text = in_words(mapping)
            self._log.info("balancing {_text}", mapping=str(mapping), _text=text)

    def drain(self) -> Deferred[None]:
        """Close the listeners and drain; fires when no connection is open."""
        return self.listeners.drain()

    def end(self) -> tuple[int, int, int]:
        """Close all connections, after the service has stopped.

        Returns the number of connections accepted in all, of connections closed here,
        and of leases left.
        """
        accepted, closed = self._runtime.accepted, self._runtime.open
        self.listeners.close_connections()
        self._upstream_log.stop()
        self.extensions.faults.stop()
        return accepted, closed, self.registry.open_connections()

    def release_pools(self) -> None:
        """Drop the pools and answers that no connection needs, new or old."""
        self._runtime.release_pools()

    def _on_change(self, query: ServiceQuery, change: Change) -> None:
        """Called by the registry for each answer of Consul."""
        self.listeners.answered(query)
        self._observer.on_change(query, change)

    def _on_event(self, event: RegistryEvent) -> None:
        """Called by the registry: the standing of an upstream or pool changed."""
        if self._logs_upstreams:
            self._upstream_log.tell(event)
        self._observer.on_event(event)
