"""A gateway as a Twisted service: the module where the rooms meet."""

import random
from collections.abc import Callable, Iterable
from collections.abc import Mapping as AbstractMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver
from twisted.logger import Logger

from lbconsul.admin.status_model import WatchStatus
from lbconsul.admin.tag_routes import TagRoutesSource
from lbconsul.balance.events import (
    Change,
    EventKind,
    GatewayEvent,
    QueryEvent,
    RegistryEvent,
    events_of,
)
from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.config.consul import ConsulConfig
from lbconsul.config.diff import Plan
from lbconsul.config.model import Config, Mapping, rows
from lbconsul.consul.addresses import from_state, to_state
from lbconsul.consul.client import ConsulClient, consul_client
from lbconsul.consul.resolver import HostResolver
from lbconsul.errors import ConfigError
from lbconsul.gateway.admin import AdminService
from lbconsul.gateway.availability import Availability, is_answered
from lbconsul.gateway.certificates import Certificates
from lbconsul.gateway.cookie_keys import CookieKeys
from lbconsul.gateway.data_plane import make_data_plane
from lbconsul.gateway.drain_file import from_rows, to_rows
from lbconsul.gateway.graceful_shutdown import GracefulShutdown
from lbconsul.gateway.interfaces import DataPlane, Stage
from lbconsul.gateway.operations import Operations
from lbconsul.gateway.overload import OverloadEvents
from lbconsul.gateway.own_checks import OwnChecks
from lbconsul.gateway.password_files import PasswordFiles
from lbconsul.gateway.registrations import Registrations
from lbconsul.gateway.reload import Reloader
from lbconsul.gateway.screening import Screening
from lbconsul.gateway.tag_listeners import TagListeners
from lbconsul.gateway.tag_mapping import TagMapping
from lbconsul.gateway.tag_routes import TagRoutes
from lbconsul.gateway.tag_status import tag_routes_source
from lbconsul.gateway.tls_files import check_files
from lbconsul.gateway.watches import Watches, queries_of
from lbconsul.logs.connection_lines import ConnectionLines
from lbconsul.logs.writer import LogWriter
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.process.state_dir import Disk, check_directory
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.factory import ProxyFactory
from lbconsul.proxy.own_listeners import Bound, OwnListeners
from lbconsul.takeover.coordinator import TakeoverCoordinator
from lbconsul.takeover.inherited import InheritedSockets

if TYPE_CHECKING:
    from lbconsul.admin.status_model import Event
    from lbconsul.dev.service import DevCatalog
    from lbconsul.gateway.embedding import GatewayCollector


@define(eq=False, repr=False)
class Gateway(MultiService):
    """Watches, a data plane, and the registry between them: a Twisted service.

    `reactor` is any with `IReactorFDSet`, `IReactorTime` and `IReactorTCP`.  The
    mappings of `config` are served once the service is started.

    :raises ConfigError: a token or certificate file or a policy cannot be used, or
        another user can write to the state directory.
    :raises NoWorkers: worker processes cannot be used on this system.
    """

    _log = Logger()
    _reactor: Any
    #: The present configuration.
    config: Config
    #: Yields numbers from 0 up to but without 1, like `random.random`.
    _chance: Callable[[], float] = field(default=random.random, kw_only=True)
    #: The listening descriptors that systemd passed in, by name and by number.
    _inherited: AbstractMapping[str, int] = field(factory=dict, kw_only=True)
    #: Beyond so many connections over all mappings, clients wait in the kernel's queue;
    #: 0: no limit.  Each worker process finds its own limit, by its descriptors.
    _max_connections: int = field(default=0, kw_only=True)
    #: The gateway to take over from: its sockets are among the inherited ones, by
    #: listening address, and mappings are served once it lets go.
    _predecessor: InheritedSockets | None = field(default=None, kw_only=True)
    #: Writes the log; the status shows how many lines it dropped.
    _log_writer: LogWriter | None = field(default=None, kw_only=True)
    #: Writes the access log, to that same log; None: each connection is a log event.
    _connection_lines: ConnectionLines | None = field(default=None, kw_only=True)
    #: Resolves host names; None: by the hosts file and DNS.
    _resolver: IHostnameResolver | None = field(default=None, kw_only=True)
    #: Called with the exit status when there is nothing left to do but to end: 0 after
    #: a shutdown or a takeover by another gateway, 1 if the predecessor goes on.
    finished: Callable[[int], None] = field(default=lambda status: None, kw_only=True)
    #: Called when `stage` has changed by a takeover or a drain.
    on_stage: Callable[[], None] = field(default=lambda: None, kw_only=True)
    data_plane: DataPlane = field(init=False)
    #: Which mappings have had an instance.
    availability: Availability = field(init=False)
    #: What clients are served TLS with.
    certificates: Certificates = field(init=False)
    #: Whom mappings with `basic-auth` serve.
    passwords: PasswordFiles = field(init=False)
    _admin: AdminService = field(init=False)
    _watches: Watches = field(init=False)
    _dev: "DevCatalog | None" = field(init=False, default=None)
    _shutdown: GracefulShutdown | None = field(init=False, default=None)
    _takeover: TakeoverCoordinator = field(init=False)
    #: The gateway in Consul.
    registrations: Registrations = field(init=False)
    operations: Operations = field(init=False)
    #: The keys of the cookies that it sets.
    cookie_keys: CookieKeys = field(init=False)
    #: The routes that are tags in Consul.
    tag_routes: TagRoutes = field(init=False)
    own_checks: OwnChecks = field(init=False)
    _screening: Screening = field(init=False)
    _reloader: Reloader = field(init=False)

    def __attrs_post_init__(self) -> None:
        super().__init__()
        config, reactor = self.config, self._reactor
        if config.state_dir:
            check_directory(config.state_dir)
        check_files(config.mappings)
        state = self._predecessor.state if self._predecessor else {}
        self._admin = AdminService(reactor, config, self, self._predecessor is not None)
        self.data_plane = make_data_plane(
            reactor, config, self._chance, self._inherited, self, self._connection_lines
        )
        own = OwnListeners(reactor.seconds)
        client = self._new_client(config.consul)
        self._watches = self._make_watches(client, own, state)
        self.tag_routes = TagRoutes(
            reactor,
            client,
            self._chance,
            self._watches,
            self.data_plane,
            self._admin,
            lambda: self.registrations.learn(),
        )
        self.tag_routes.listeners = TagListeners(
            reactor, self.data_plane, self._admin, self._listens_otherwise, self._logs
        )
        self.certificates = Certificates(reactor, self.data_plane, client, self._chance)
        self.passwords = PasswordFiles(reactor, self.data_plane)
        self._admin.load_certificates(client, self._chance)
        self.availability = Availability(
            reactor, self.registry, self._watches, self._admin
        )
        self.operations = Operations(reactor, self.data_plane, self._admin, self._busy)
        self.own_checks = OwnChecks(
            reactor,
            self.data_plane,
            self._admin,
            self.availability,
            self._chance,
            config.check_rate,
        )
        self.registrations = Registrations(
            reactor,
            self,
            client,
            self._chance,
            lambda: self._takeover.is_pending,
            lambda: self._takeover.is_handing_over,
            self._resolver,
        )
        self.cookie_keys = CookieKeys(Disk(reactor))
        self._inherit(state)
        self.data_plane.use_cookie_keys(self.cookie_keys.read(config))
        self._dev = self._make_dev_catalog() if config.dev else None
        self._screening = self._make_screening(own)
        self._takeover = TakeoverCoordinator(reactor, self, self._predecessor)
        self._reloader = Reloader(
            self,
            self._watches,
            self.certificates,
            self.passwords,
            self.operations,
            self.own_checks,
            self.availability,
            self._screening,
            self.registrations,
            self.tag_routes,
            self._admin,
            self.cookie_keys,
            self._new_client,
        )
        self._add_services()
        self.connection_limit.limit = self._max_connections
        for mapping in config.mappings:
            self.listen(mapping)

    def _new_client(self, consul: ConsulConfig) -> ConsulClient:
        return consul_client(self._reactor, consul, self._resolver)

    def _make_watches(
        self, client: ConsulClient, own: OwnListeners, state: AbstractMapping[str, Any]
    ) -> Watches:
        return Watches(
            self._reactor,
            client,
            self.registry,
            self._chance,
            self.config.state_dir,
            self.on_query_event,
            self._resolver or HostResolver(self._reactor),
            own.why,
            from_state(state.get("addresses")),
        )

    def _make_screening(self, own: OwnListeners) -> Screening:
        fixed = [Bound(path=self.config.takeover)] if self.config.takeover else []
        if self._dev is not None:
            fixed.append(Bound(self._dev.address, self._dev.port))
        return Screening(
            self._reactor, own, self.data_plane, self._admin, self._watches, fixed
        )

    def _make_dev_catalog(self) -> "DevCatalog":
        # It takes time to load, and few need it.
        from lbconsul.dev.service import DevCatalog

        address = self.config.consul.addresses[0]
        services = dict.fromkeys(
            each.service for each in rows(self.config.mappings) if each.service
        )
        return DevCatalog(self._reactor, address.host, address.port, list(services))

    def _add_services(self) -> None:
        """Add the parts in the order in which they start."""
        overload = OverloadEvents(
            self._reactor, lambda: self.data_plane.full, self._admin
        )
        services: list[Any] = [self.availability, self.operations, overload]
        if self._dev is not None:
            services.append(self._dev)
        services.append(self._watches)  # they know the last answers before clients come
        services += [self.tag_routes, self.certificates, self.passwords]
        if self._predecessor is None:
            services.append(self.data_plane)
        services += [self._admin, self._screening, self.registrations, self.own_checks]
        if self.config.takeover:
            services.append(self._takeover)
        for each in services:
            each.setServiceParent(self)

    @property
    def registry(self) -> Registry:
        """All pools."""
        return self.data_plane.registry

    @property
    def connection_limit(self) -> ConnectionLimit:
        """The limit of open connections in this process."""
        return self.data_plane.connection_limit

    @property
    def sockets(self) -> dict[str, OwnedSocket]:
        """The listening sockets, by address."""
        return {str(each.mapping.listen): each for each in self.data_plane.sockets}

    @property
    def admin_address(self) -> str:
        """The URL of the admin listener; empty if there is none."""
        return self._admin.address

    @property
    def demo_token(self) -> str:
        """The token for changes in a demo (``--dev``); empty for any other gateway."""
        return self._admin.demo_token

    @property
    def watch_states(self) -> Iterable[WatchStatus]:
        """The queries to Consul, and how each goes."""
        return self._watches.states()

    def tag_mapping(self, mapping: Mapping) -> TagMapping | None:
        """The tags that are the routes of a mapping; None if they are no tags."""
        return self.tag_routes.of(mapping)

    def why_closed(self, row: Mapping) -> str:
        """Why requests for a row get 503 whatever instances there are, if they do."""
        return self.tag_routes.why_closed(row)

    @property
    def tag_routes_source(self) -> TagRoutesSource:
        """The routes that are tags in Consul, as they are shown."""
        return tag_routes_source(self.tag_routes)

    @property
    def registered_as(self) -> list[tuple[Mapping, str]]:
        """The names as which tags have mappings registered in Consul."""
        return self.tag_routes.registered_as

    @property
    def log_lines_dropped(self) -> int:
        """Lines of the log that were dropped since the start."""
        return self._log_writer.dropped if self._log_writer is not None else 0

    @property
    def is_draining(self) -> bool:
        """Whether the listeners are closed, or about to be."""
        return self._shutdown is not None

    def shut_down(self) -> None:
        """Drain, and then report the end to `finished`."""
        self.drain(self.config.shutdown_grace).addCallback(lambda _: self.finished(0))

    @property
    def is_settled(self) -> bool:
        """Whether no takeover from another gateway is in progress."""
        return self._shutdown is not None or not self._takeover.is_pending

    @property
    def shutdown(self) -> GracefulShutdown | None:
        """How it drains; None: it does not."""
        return self._shutdown

    @property
    def stage(self) -> Stage:
        """How far the gateway is."""
        if self._takeover.is_replaced:
            return Stage.REPLACED
        if self._takeover.is_pending or not self.data_plane.running:
            return Stage.STARTING
        if self._shutdown is not None:
            return Stage.DRAINING
        return Stage.SERVING if self.is_serving else Stage.STARTING

    def listen(self, mapping: Mapping) -> None:
        """Serve one more mapping; at once if the gateway runs.

        :raises ConfigError: its certificates, passwords or policy cannot be used.
        :raises CannotListen: the gateway runs, and the address cannot be bound.
        """
        self._reloader.finish()
        self._load(mapping)
        self.certificates.add(mapping)
        self.passwords.add(mapping)
        self.data_plane.listen(mapping)
        if self.running:
            self._screening.learn()
            self.registrations.learn()
        self._know(mapping)

    def unlisten(self, mapping: Mapping) -> None:
        """Serve no new clients at the address of a mapping, and close its socket.

        Open connections have the drain timeout to end.  The configuration is, from now
        on, that of the mappings that are left.

        :raises CannotReload: the gateway does not run yet, or is shutting down.
        :raises ConfigError: nothing is served at this address.
        """
        self._reloader.finish()
        served = [each.mapping for each in self.data_plane.sockets]
        left = [each for each in served if each.listen != mapping.listen]
        if len(left) == len(served):
            raise ConfigError(f"{mapping}: its address is not one that is listened on")
        self.reload(evolve(self.config, mappings=tuple(left)))

    def proxy_factory(self, mapping: Mapping) -> ProxyFactory:
        """A factory for a mapping whose clients the caller's endpoint accepts.

        Its service is watched from now on, or from the gateway's start.

        :raises ConfigError: its certificates, passwords or policy cannot be used.
        """
        self._reloader.finish()
        self._load(mapping)
        self.certificates.add(mapping)
        self.passwords.add(mapping)
        factory = self.data_plane.lend(mapping)
        self._know(mapping)
        return factory

    def _load(self, mapping: Mapping) -> None:
        """Load the policies that a mapping and its routes name, and keys of cookies."""
        if not self.cookie_keys.keys:
            alone = evolve(self.config, mappings=(mapping,))
            self.data_plane.use_cookie_keys(self.cookie_keys.read(alone))
            if self.running:
                self.cookie_keys.keep(self.config.state_dir)
        for row in mapping.rows:
            self.data_plane.extensions.load(row)

    def _know(self, mapping: Mapping) -> None:
        """Watch the services of a mapping and its routes."""
        self._watches.ask(queries_of([mapping]))
        for row in mapping.rows:
            self.availability.add(row)
        self.tag_routes.add(mapping)
        if self.running:
            self.own_checks.learn()

    def bind(self) -> None:
        """Open every listening socket now, before the start.

        :raises CannotListen: an address cannot be bound; no socket is left open.
        """
        try:
            if self._dev is not None:
                self._dev.bind()
            self.data_plane.sockets.bind()
            self._admin.bind()
        except Exception:
            self.close()
            raise
        self._screening.learn()

    def startService(self) -> None:
        self._screening.learn()
        super().startService()
        self.cookie_keys.keep(self.config.state_dir)
        self._screening.learn()  # systemd's sockets may not have been open before
        self.registrations.learn()

    def bind_files(self) -> None:
        """Open the UNIX sockets only: their files belong to the process's user.

        :raises CannotListen: an address cannot be bound; no socket is left open.
        """
        try:
            self.data_plane.sockets.bind_files()
            self._admin.bind_files()
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Close what `bind` opened, if the gateway is not going to be started."""
        if self._dev is not None:
            self._dev.close()
        self.data_plane.sockets.close()
        self._admin.close()

    def knows(self, *, wholly: bool) -> bool:
        """Whether Consul has answered enough to serve each mapping.

        With `wholly`, whether it has answered all queries, fallbacks included.
        """
        return all(
            is_answered(self.registry, each, wholly=wholly)
            and not self.certificates.blocks(each)
            and self.tag_routes.is_known(each)
            for each in self.data_plane.mappings
        )

    def _listens_otherwise(self) -> None:
        """Called by the listeners of tags: addresses were added or removed."""
        self._screening.learn()
        self.registrations.learn()

    def _logs(self) -> bool | None:
        """Whether connections are logged; None: listeners stay as they are now."""
        if self.is_draining or self._takeover.is_handing_over:
            return None
        return self.config.connection_log

    @property
    def is_serving(self) -> bool:
        """Whether clients of every mapping are accepted."""
        return self.data_plane.is_serving

    def start_serving(self) -> None:
        """Called by the takeover coordinator: start to serve."""
        self.data_plane.setServiceParent(self)

    def status(self) -> dict[str, Any]:
        """The document that ``/status`` is, as a dictionary."""
        from lbconsul.gateway.embedding import status_document

        return status_document(self._admin.source())

    def subscribe(self, observer: "Callable[[Event], object]") -> Callable[[], None]:
        """Call `observer` with each event from now on; the result ends that."""
        from lbconsul.gateway.embedding import subscribe

        return subscribe(self._admin.events, observer)

    @property
    def collector(self) -> "GatewayCollector":
        """The metrics, to be registered with a registry of prometheus_client."""
        from lbconsul.gateway.embedding import GatewayCollector

        return GatewayCollector(self._reactor, self._admin.source())

    def drain_upstream(self, upstream: str) -> bool:
        """Give an upstream, by its id in the status, no new connections.

        Returns whether it exists.

        :raises CannotOrder: a takeover is in progress, or too many are drained.
        :raises ValueError: the text is no id.
        """
        return self.operations.drain(Identity.parse(upstream))

    def undrain(self, upstream: str) -> bool:
        """End that; returns whether the upstream exists, or existed.

        :raises CannotOrder: a takeover is in progress.
        :raises ValueError: the text is no id.
        """
        return self.operations.undrain(Identity.parse(upstream))

    def eject(self, upstream: str) -> Deferred[bool]:
        """Eject an upstream as if it had failed.

        Fires with whether it exists, or fails with `CannotOrder` if it cannot be.

        :raises ValueError: the text is no id.
        """
        return self._admin.source().eject(Identity.parse(upstream).id)

    def drain(self, grace: float = 0.0) -> Deferred[None]:
        """Accept for `grace` more seconds, then close the listeners and drain.

        Before that it deregisters from Consul, unless another gateway takes over.
        Connections that outlive the drain timeout of their mapping are closed.  The
        Deferred fires when no connection is open; then the service can be stopped.
        """
        self._reloader.finish()
        if self._shutdown is None:
            self._takeover.give_up()
            self._takeover.leave_files()
            if self._takeover.is_replaced:
                self._admin.leave()
            shutdown = GracefulShutdown(self._reactor, self.data_plane)
            self._shutdown = shutdown
            left = self.registrations.leave()
            left.addCallback(lambda _: shutdown.begin(grace))
            reason = "no new clients are accepted"
            self._admin.on_event(GatewayEvent(kind=EventKind.DRAINING, reason=reason))
            self.on_stage()
        return self._shutdown.when_done()

    def reload(self, config: Config) -> Plan:
        """Apply a configuration; returns what became of the mappings.

        Mappings that stay, altered or not, keep their connections; those of removed
        mappings have the drain timeout to end.  A mapping that was added by `listen`
        stays only if it is one of `config`.

        :raises LBConsulError: something that `config` needs fails; nothing has changed.
        """
        return self._reloader.reload(config)

    def reload_gradually(self, config: Config) -> Deferred[Plan]:
        """Do as `reload`, in slices between which clients are served."""
        return self._reloader.begin(config)

    def use(self, config: Config) -> None:
        """Called by the reloader: have this configuration from now on."""
        self._takeover.leave_files()
        self.config = config

    async def _stop(self) -> None:
        self._reloader.finish()
        if self._shutdown is not None:
            self._shutdown.stop()
        self._takeover.leave_files()
        await self.registrations.leave()
        await MultiService.stopService(self)
        self.data_plane.sockets.close()  # the data plane may not have been started
        accepted, closed, leases = self.data_plane.end()
        self._log.info(
            "stopped: {accepted} connections accepted, {open} closed at the end{_bug}",
            accepted=accepted,
            open=closed,
            leases=leases,
            _bug=f", {leases} leases left" if leases else "",
        )

    def stopService(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    def state(self) -> dict[str, object]:
        """The state for a successor, as JSON can hold it."""
        return {
            "drained": to_rows(self.registry.drained),
            "ready": self.availability.was_complete,
            "addresses": to_state(self._watches.addresses),
            "history": self._admin.history_state(),
            "registrations": dict(self.registrations.state()),
            "cookie_key": self.cookie_keys.state(),
            "own_checks": self.own_checks.state(),
        }

    def _inherit(self, state: AbstractMapping[str, Any]) -> None:
        """Begin with the predecessor's state; an older version gives less of it."""
        self.availability.was_complete = state.get("ready") is True
        self._admin.inherit_history(state.get("history"))
        self.registrations.inherit(state.get("registrations"))
        self.cookie_keys.inherit(state.get("cookie_key"))
        self.own_checks.inherit(state.get("own_checks"))
        drained = None
        if "drained" in state:
            with suppress(ValueError):
                drained = from_rows(state["drained"])
        self.operations.begin(self.config.state_dir, drained)

    def _busy(self) -> str:
        """Why an upstream cannot be drained or undrained now; empty if it can."""
        if not self._takeover.is_handing_over:
            return ""
        return (
            "a takeover is in progress: repeat the order when the new gateway answers"
        )

    def on_change(self, query: ServiceQuery, change: Change) -> None:
        """Called by the data plane: Consul has answered."""
        for event in events_of(query, change):
            self._admin.on_event(event)
        self.own_checks.on_change(query, change)
        self.availability.look(query)
        self.tag_routes.on_change(query)

    def on_event(self, event: RegistryEvent) -> None:
        """Called by the data plane: an upstream's or pool's standing changed."""
        self._admin.on_event(event)

    def on_reregistered(self, instances: tuple[Instance, ...]) -> None:
        """Called by the data plane: a new registration of these ended their drain."""
        self.operations.on_reregistered(instances)

    def on_query_event(self, event: QueryEvent) -> None:
        """Called by a watch: Consul begins to fail, or answers again."""
        self._admin.on_event(event)
        self.availability.look(event.query)
