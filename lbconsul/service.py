"""A whole gateway as a Twisted service: the one place where the rooms meet."""

import random
from collections.abc import Callable, Generator, Iterable, Iterator
from collections.abc import Mapping as AbstractMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHostnameResolver
from twisted.logger import Logger

from lbconsul.admin.status_model import WatchStatus
from lbconsul.balance.events import (
    Change,
    EventKind,
    GatewayEvent,
    QueryEvent,
    RegistryEvent,
    events_of,
)
from lbconsul.balance.instance import Instance
from lbconsul.balance.pool_spec import ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.config.diff import Plan, applicable, finish, planning
from lbconsul.config.model import Config, Mapping
from lbconsul.consul.addresses import from_state, to_state
from lbconsul.consul.client import consul_client
from lbconsul.consul.resolver import HostResolver
from lbconsul.errors import CannotReload
from lbconsul.gateway.admin import AdminService
from lbconsul.gateway.availability import Availability, is_answered
from lbconsul.gateway.data_plane import make_data_plane
from lbconsul.gateway.drain_file import from_rows, to_rows
from lbconsul.gateway.graceful_shutdown import GracefulShutdown
from lbconsul.gateway.interfaces import DataPlane
from lbconsul.gateway.operations import Operations
from lbconsul.gateway.watches import Watches
from lbconsul.logs.writer import LogWriter
from lbconsul.net.listening_socket import OwnedSocket
from lbconsul.process.state_dir import check_directory
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.factory import ProxyFactory
from lbconsul.proxy.own_listeners import MAX_AGE, Bound, OwnListeners, bound_to
from lbconsul.proxy.targets import failover_spec
from lbconsul.takeover.coordinator import TakeoverCoordinator
from lbconsul.takeover.inherited import InheritedSockets

if TYPE_CHECKING:
    from lbconsul.dev.service import DevCatalog


def balancer(
    reactor: Any,
    config: Config,
    *,
    chance: Callable[[], float] = random.random,
    inherited: AbstractMapping[str, int] | None = None,
    max_connections: int = 0,
    predecessor: InheritedSockets | None = None,
    log: LogWriter | None = None,
    resolver: IHostnameResolver | None = None,
) -> "Gateway":
    """A gateway that does what `config` says once it is started.

    `reactor` is any with `IReactorFDSet`, `IReactorTime` and `IReactorTCP`.  Host names
    are looked up in the hosts file and by DNS, or by `resolver`.  `inherited` are
    the listening descriptors that systemd passed in, by name and by number.  Beyond
    `max_connections`, over all mappings, clients wait in the kernel's queue; 0 is
    no limit.  Worker processes each find their own limit, by their descriptors.
    With a `predecessor` it begins to serve when it can take the place of that one,
    whose sockets are among the inherited ones, by listening address.  `log` is what
    writes the log, if it is ours to show how many lines it dropped.

    :raises ConfigError: a token or certificate file cannot be read, or the state
        directory is not only ours.
    :raises NoWorkers: worker processes cannot be had here.
    """
    gateway = Gateway(
        reactor, config, chance, inherited or {}, predecessor, log, resolver
    )
    gateway.room.limit = max_connections
    for mapping in config.mappings:
        gateway.listen(mapping)
    return gateway


@define(eq=False, repr=False)
class Gateway(MultiService):
    """Watches, a data plane, and the registry between them."""

    _log = Logger()
    _reactor: Any
    #: What it does.
    config: Config
    _chance: Callable[[], float]
    _inherited: AbstractMapping[str, int]
    _predecessor: InheritedSockets | None = None
    _log_writer: LogWriter | None = None
    #: Of host names; None for ours.
    _resolver: IHostnameResolver | None = None
    #: Called with 0 when another gateway has taken over and all that was open is over,
    #: with 1 when the predecessor goes on after all: there is only the end left.
    finished: Callable[[int], None] = lambda status: None
    data_plane: DataPlane = field(init=False)
    #: Which mappings have had an instance.
    availability: Availability = field(init=False)
    _admin: AdminService = field(init=False)
    _own: OwnListeners = field(init=False)
    _watches: Watches = field(init=False)
    _dev: "DevCatalog | None" = None
    _shutdown: GracefulShutdown | None = None
    _takeover: TakeoverCoordinator = field(init=False)
    #: A reload that is under way.
    _reloading: Iterator[object] | None = None
    operations: Operations = field(init=False)

    def __attrs_post_init__(self) -> None:
        super().__init__()
        config, reactor = self.config, self._reactor
        _check_directory(config)
        self._admin = AdminService(reactor, config, self, self._predecessor is not None)
        state = self._predecessor.state if self._predecessor else {}
        self.data_plane = make_data_plane(
            reactor, config, self._chance, self._inherited, self
        )
        client = consul_client(reactor, config.consul, self._resolver)
        self._own = OwnListeners(reactor.seconds)
        self._watches = Watches(
            reactor,
            client,
            self.registry,
            self._chance,
            config.state_dir,
            self.on_query_event,
            self._resolver or HostResolver(reactor),
            self._own.why,
            from_state(state.get("addresses")),
        )
        self.availability = Availability(
            reactor, self.registry, self._watches, self._admin
        )
        self.availability.setServiceParent(self)
        self.operations = Operations(reactor, self.data_plane, self._admin, self._busy)
        self.operations.setServiceParent(self)
        self._inherit(state)
        if config.dev:
            self._add_dev_catalog()
        # Watches know the last answers before clients come.
        self._watches.setServiceParent(self)
        if self._predecessor is None:
            self.data_plane.setServiceParent(self)
        self._admin.setServiceParent(self)
        # A virtual address may come to this host while nothing else changes.
        moving = TimerService(MAX_AGE, self._look_for_moved)
        moving.clock = reactor
        moving.setServiceParent(self)
        self._takeover = TakeoverCoordinator(reactor, self, self._predecessor)
        if config.takeover:
            self._takeover.setServiceParent(self)

    @property
    def registry(self) -> Registry:
        """All pools."""
        return self.data_plane.registry

    @property
    def room(self) -> ConnectionLimit:
        """How many connections this process may have open."""
        return self.data_plane.room

    @property
    def sockets(self) -> dict[str, OwnedSocket]:
        """What it listens on, by address."""
        return {str(each.mapping.listen): each for each in self.data_plane.sockets}

    @property
    def admin_address(self) -> str:
        """Where a browser sees it; empty for nowhere."""
        return self._admin.address

    @property
    def demo_token(self) -> str:
        """With which a demo can be ordered about; empty for any other gateway."""
        return self._admin.demo_token

    @property
    def watch_states(self) -> Iterable[WatchStatus]:
        """What Consul is asked, and how that goes."""
        return self._watches.states()

    @property
    def log_lines_dropped(self) -> int:
        """Lines of the log that were dropped since the start."""
        return self._log_writer.dropped if self._log_writer is not None else 0

    @property
    def is_draining(self) -> bool:
        """Whether it accepts nobody any more, or is about to."""
        return self._shutdown is not None

    def shut_down(self) -> None:
        """Drain, and then report the end to `finished`."""
        self.drain(self.config.shutdown_grace).addCallback(lambda _: self.finished(0))

    @property
    def is_settled(self) -> bool:
        """Whether it is not about to take another one's place."""
        return self._shutdown is not None or not self._takeover.is_pending

    def listen(self, mapping: Mapping) -> None:
        """Serve one mapping; at once, if it runs.

        :raises CannotListen: it runs, and the mapping's address is not to be had.
        """
        self._finish_reload()
        self.data_plane.listen(mapping)
        if self.running:
            self._learn_listeners()
        self._watches.ask(_queries([mapping]))
        self.availability.add(mapping)

    def proxy_factory(self, mapping: Mapping) -> ProxyFactory:
        """A factory for a mapping that somebody else listens for.

        Its service is watched from now on, or from the gateway's start.
        """
        self._finish_reload()
        factory = self.data_plane.lend(mapping)
        self._watches.ask(_queries([mapping]))
        self.availability.add(mapping)
        return factory

    def bind(self) -> None:
        """Open every listening socket now, before the start.

        :raises CannotListen: one is not to be had; none is left open.
        """
        try:
            if self._dev is not None:
                self._dev.bind()
            self.data_plane.sockets.bind()
            self._admin.bind()
        except Exception:
            self.close()
            raise
        self._learn_listeners()

    def startService(self) -> None:
        self._learn_listeners()
        super().startService()
        self._learn_listeners()  # systemd's sockets may not have been open before

    def bind_files(self) -> None:
        """Open the UNIX sockets only: their files belong to the user who does so.

        :raises CannotListen: one is not to be had; none is left open.
        """
        try:
            self.data_plane.sockets.bind_files()
            self._admin.bind_files()
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Give back what `bind` opened, if there is to be no start."""
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
            for each in self.data_plane.mappings
        )

    @property
    def is_serving(self) -> bool:
        """Whether clients of every mapping are accepted."""
        return self.data_plane.is_serving

    def start_serving(self) -> None:
        """Serve: called when the predecessor's place can be taken."""
        self.data_plane.setServiceParent(self)

    def drain(self, grace: float = 0.0) -> Deferred[None]:
        """Accept nobody any more, and let what is open end.

        Before that it goes on accepting for `grace` seconds.  What is still open when
        the drain timeout of its mapping is over is closed.  The Deferred fires when
        nothing is open; then there is nothing left to do but to stop.
        """
        self._finish_reload()
        if self._shutdown is None:
            self._takeover.give_up()
            self._takeover.leave_files()
            self._shutdown = GracefulShutdown(self._reactor, self.data_plane)
            self._shutdown.begin(grace)
            self._note(EventKind.DRAINING, "no new clients are accepted")
        return self._shutdown.when_done()

    def reload(self, config: Config) -> Plan:
        """Do what `config` says from now on, and say what has become of mappings.

        Connections of mappings that stay are not touched, be these altered or not;
        those of removed ones have their drain timeout to end.  A mapping that was
        added by `listen` stays only if it is one of `config`.

        :raises LBConsulError: something is not to be had: nothing has changed.
        """
        self._finish_reload()
        return finish(self._reload(config))

    def reload_gradually(self, config: Config) -> Deferred[Plan]:
        """The same in slices, between which clients are served."""
        self._finish_reload()
        done: Deferred[Plan] = Deferred()
        self._reloading = self._gradually(config, done)
        self.data_plane.sweeper.begin(self._reloading)
        return done

    def _gradually(self, config: Config, done: Deferred[Plan]) -> Iterator[object]:
        try:
            change = yield from self._reload(config)
        except Exception:
            self._reloading = None
            done.errback()
        else:
            self._reloading = None
            done.callback(change)

    def _finish_reload(self) -> None:
        """What a reload has left to do is done at once, before anything else is."""
        steps = self._reloading
        if steps is not None:
            self.data_plane.sweeper.drop(steps)
            for _ in steps:
                pass

    def _reload(self, config: Config) -> Generator[object, None, Plan]:
        if not self.running or self._shutdown is not None:
            raise CannotReload(
                f"the gateway {'is shutting down' if self.running else 'does not run'}"
            )
        config, refused = applicable(self.config, config)
        anew = config.connection_log != self.config.connection_log
        before = [each.mapping for each in self.data_plane.sockets]
        change = yield from planning(before, config.mappings, anew=anew)
        _check_directory(config)
        client = consul_client(self._reactor, config.consul, self._resolver)
        yield True
        added = yield from self.data_plane.sockets.binding(change.added)
        # From here on nothing can fail.
        self._takeover.leave_files()
        self.config = config
        if added:
            yield from self._know_listeners(added)
        yield from self.data_plane.replacing(
            config.mappings, added, config.connection_log
        )
        self._watches.keep_in(config.state_dir)
        self.operations.keep_in(config.state_dir)
        asked = _queries(self.data_plane.mappings)
        yield True
        self.data_plane.forget((yield from self._watches.asking_only(asked)))
        if change.added or change.removed:
            yield from self._know_listeners()
        asks_anew = self._watches.turn_to(client)
        yield True
        yield from self.availability.replacing(self.data_plane.mappings)
        self._tell(change, refused, asks_anew=asks_anew)
        return change

    def _know_listeners(self, added: Iterable[OwnedSocket] = ()) -> Iterator[object]:
        """What is listened on has changed: never connect to any of it."""
        sockets = [*self.data_plane.sockets, *added]
        bounds = [bound_to(each.mapping.listen, each.sock) for each in sockets]
        bounds.append(bound_to(self._admin.listen))
        if self.config.takeover:
            bounds.append(Bound(path=self.config.takeover))
        if self._dev is not None:
            bounds.append(Bound(self._dev.address, self._dev.port))
        yield True
        if self._own.replace(bounds):
            yield from self._watches.screening()

    def _look_for_moved(self) -> None:
        """Other addresses of this host may be, or be no more, ours to listen at."""
        if self._own.has_moved():
            self.data_plane.sweeper.begin(self._watches.screening())

    def _learn_listeners(self) -> None:
        for _ in self._know_listeners():
            pass

    async def _stop(self) -> None:
        self._finish_reload()
        if self._shutdown is not None:
            self._shutdown.stop()
        self._takeover.leave_files()
        await MultiService.stopService(self)
        self.data_plane.sockets.close()  # it may not have come to its start
        accepted, closed, leases = self.data_plane.end()
        self._log.info(
            "stopped: {accepted} connections accepted, {open} closed at the end,"
            " {leases} leases left",
            accepted=accepted,
            open=closed,
            leases=leases,
        )

    def stopService(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stop())

    def _tell(self, change: Plan, refused: list[str], *, asks_anew: bool) -> None:
        for option in refused:
            self._log.warn(
                "{option} cannot be changed by a reload: restart the gateway",
                option=option,
            )
        if asks_anew:
            self._log.info(
                "Consul's address, the wait, the token or the certificate changed: all"
                " watches restarted"
            )
        self._log.info("reloaded: {change}", change=str(change))
        self._note(EventKind.RELOADED, str(change))

    def _note(self, kind: EventKind, reason: str) -> None:
        self._admin.on_event(GatewayEvent(kind=kind, reason=reason))

    def state(self) -> dict[str, object]:
        """What a successor should know of it, as JSON can hold it."""
        return {
            "drained": to_rows(self.registry.drained),
            "ready": self.availability.was_complete,
            "addresses": to_state(self._watches.addresses),
        }

    def _inherit(self, state: AbstractMapping[str, Any]) -> None:
        """Begin with what the predecessor says; an older one does not say all of it."""
        self.availability.was_complete = state.get("ready") is True
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
        self.availability.look(query)

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

    def _add_dev_catalog(self) -> None:
        # It takes time to load, and few need it.
        from lbconsul.dev.service import DevCatalog

        address = self.config.consul.addresses[0]
        services = dict.fromkeys(each.service for each in self.config.mappings)
        self._dev = DevCatalog(
            self._reactor, address.host, address.port, list(services)
        )
        self._dev.setServiceParent(self)


def _queries(mappings: Iterable[Mapping]) -> list[ServiceQuery]:
    """What Consul is to be asked for these."""
    routes = [failover_spec(each) for each in mappings]
    return [selection.question for route in routes for selection in route.all()]


def _check_directory(config: Config) -> None:
    if config.state_dir:
        check_directory(config.state_dir)
