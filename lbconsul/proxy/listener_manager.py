"""Adds, updates and drains the listeners of one process (Envoy's ListenerManager)."""

from collections.abc import Callable, Iterable, Sequence

from attrs import Factory, define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred

from lbconsul.balance.pool_spec import FailoverSpec, ServiceQuery
from lbconsul.config.listen import Listen
from lbconsul.config.model import Mapping
from lbconsul.net.listening_socket import ListeningSocket
from lbconsul.proxy.active_listener import ActiveListener
from lbconsul.proxy.connection_drain import ConnectionDrain
from lbconsul.proxy.factory import ProxyFactory
from lbconsul.proxy.first_answer import FirstAnswer
from lbconsul.proxy.listener import ACCEPT_BOUND, Listener
from lbconsul.proxy.live_routes import LiveRoutes, RowChanges
from lbconsul.proxy.mapping_proxy import MappingProxy, ProxyObserver
from lbconsul.proxy.route_table import making_table
from lbconsul.proxy.runtime import ProxyRuntime
from lbconsul.proxy.saturation import (
    DESCRIPTORS,
    MAPPING,
    PROCESS,
    SHEDDING,
    Full,
    Saturation,
)
from lbconsul.proxy.shared_listener import LeftClients, SharedListener
from lbconsul.proxy.split import ProxySplit, joined
from lbconsul.proxy.targets import failover_spec
from lbconsul.stats.termination import Termination
from lbconsul.steps import Steps, finish


@define(eq=False, repr=False)
class ListenerManager(Service):
    """Listens for mappings; the runtime makes the proxies that serve clients.

    `at_once` and `is_overloaded` are for listeners that share their accept queue with
    other processes.
    """

    _runtime: ProxyRuntime
    _at_once: int = ACCEPT_BOUND
    _is_overloaded: Callable[[], bool] | None = None
    _served: dict[ListeningSocket, ActiveListener] = Factory(dict)
    _by_listen: dict[Listen | None, ActiveListener] = Factory(dict)
    _first_answer: FirstAnswer = Factory(
        lambda self: FirstAnswer(self._runtime), takes_self=True
    )
    #: Whether pools may have become unused.
    _has_unused_pools: bool = False
    #: Proxies whose clients an endpoint outside this service accepts.
    _lent: list[MappingProxy] = Factory(list)
    _drain: ConnectionDrain = Factory(
        lambda self: ConnectionDrain(self._runtime), takes_self=True
    )
    _saturation: Saturation = field(init=False)
    _left_clients: LeftClients = Factory(LeftClients)

    def __attrs_post_init__(self) -> None:
        self._saturation = Saturation(self._runtime.reactor, self._look_for_full)
        self._runtime.add_tickable(self._saturation)
        self._runtime.add_tickable(self)
        if self._is_overloaded is not None:
            self._runtime.add_tickable(self._left_clients)

    @property
    def full(self) -> tuple[Full, ...]:
        """Limits reached for a second or more: new clients wait."""
        return self._saturation.full

    @property
    def mappings(self) -> list[Mapping]:
        """The rows served, by own listeners and by `lend`: mappings and routes."""
        current = [proxy for each in self._served.values() for proxy in each.current]
        return [each.mapping for each in (*current, *self._lent)]

    @property
    def served(self) -> list[ActiveListener]:
        """Own listeners, in the order in which they were added."""
        return list(self._served.values())

    def is_listening(self, mapping: Mapping) -> bool:
        """Whether clients of a mapping or route are accepted, or it is lent."""
        served = self._by_listen.get(mapping.listen)
        if served is not None and served.has(mapping):
            return served.listener is not None
        return mapping in [each.mapping for each in self._lent]

    def lend(self, mapping: Mapping) -> ProxyFactory:
        """A factory for clients that the caller's own endpoint accepts."""
        observer = _LentObserver(self)
        proxies = [self._runtime.make(row, observer) for row in mapping.rows]
        observer.proxies = tuple(proxies)
        proxy, *routes = joined(proxies, self._runtime)
        if routes:
            proxy.route_by(finish(making_table(mapping.mode, routes)))
        self._lent += proxies
        return ProxyFactory(proxy, proxies[1:])

    def serve(self, mapping: Mapping, source: ListeningSocket) -> None:
        """Add a listener: serve a mapping on this socket."""
        finish(self._serving(mapping, source))

    def _serving(self, mapping: Mapping, source: ListeningSocket) -> Steps[None]:
        served = ActiveListener(source, mapping.rows[0], self)
        if mapping.routes or mapping.parts:
            yield from self._altering(served, mapping)
        self._served[source] = self._by_listen[mapping.listen] = served
        if self.running:
            self._first_answer.begin(served)

    def replacing(
        self, wanted: Iterable[tuple[Mapping, ListeningSocket]], *, renew: bool = False
    ) -> Steps[None]:
        """Serve exactly these mappings; unchanged ones are not touched.

        With `renew` unchanged mappings get new proxies for new clients, too.  Serves
        one mapping or route a step; each step says whether it was long.
        """
        mappings = {source: mapping for mapping, source in wanted}
        is_less = False  # whether there may be pools that nothing needs any longer
        yield True
        for source in [each for each in self._served if each not in mappings]:
            gone = self._served.pop(source)
            self._by_listen.pop(gone.mapping.listen, None)
            self._remove(gone)
            is_less = True
            yield False
        for source, mapping in mappings.items():
            served = self._served.get(source)
            if served is None:
                yield from self._serving(mapping, source)
            elif renew or served.mapping != mapping:
                is_less |= not _specs(served.mapping) <= _specs(mapping)
                yield from self._altering(served, mapping, renew=renew)
                if self.running:
                    self._first_answer.begin(served)
            yield False
        yield True
        self._first_answer.tidy()
        yield True
        if is_less:
            self._runtime.release_pools()
            yield True

    def amend(self, changes: RowChanges) -> None:
        """Have rows of a mapping come and go; nothing if it is not served."""
        served = self._by_listen.get(changes.listen)
        if served is None or served.live is None:
            return
        if served.amend(changes):
            self._drop_idle(served)
            self._has_unused_pools = True
        if served.waiting is not None:
            self._first_answer.begin(served)

    def answered(self, query: ServiceQuery) -> None:
        """Accept clients of mappings that waited for Consul's answer to this query."""
        self._first_answer.answered(query)

    def certificates_loaded(self) -> None:
        """Accept clients of mappings that waited for their certificates."""
        self._first_answer.certificates_loaded()

    def tick(self) -> Iterable[None]:
        """Drop unused pools, in one go for all proxies that ended."""
        if self._has_unused_pools:
            self._has_unused_pools = False
            self._runtime.release_pools()
        return ()

    def bind(self) -> None:
        """Open every listening socket.

        :raises CannotListen: one cannot be opened.
        """
        for source in self._served:
            source.open()

    def close(self) -> None:
        """Close the sockets that `bind` opened."""
        for source in self._served:
            source.close()

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self.bind()

    def startService(self) -> None:
        super().startService()
        self.bind()
        self._runtime.start()
        for each in self.served:
            self._first_answer.begin(each)

    def stopService(self) -> None:
        """Stop accepting; open connections stay until they are closed."""
        super().stopService()
        for each in self._served.values():
            each.close()

    def drain(self) -> Deferred[None]:
        """Drain: stop accepting, and let open connections end.

        The Deferred fires when no connection is open, as `ConnectionDrain.begin` says.
        """
        for served in self.served:
            served.close()
        return self._drain.begin()

    def close_connections(
        self, termination: Termination = Termination.HARD_STOP
    ) -> None:
        """Close all open connections at once, and stop all periodic work."""
        self._runtime.close_connections(termination)
        self._runtime.stop()
        self._saturation.stop()
        self._drain.stop()

    def _look_for_full(self) -> dict[Full, float]:
        """What is full now, each with its limit."""
        limit, found = self._runtime.connection_limit, dict[Full, float]()
        if limit.is_full:
            found[Full(PROCESS)] = limit.limit
        for served in self._served.values():
            if served.is_full:
                mapping = served.mapping
                found[Full(MAPPING, str(mapping))] = mapping.limits.connections
            if served.is_starved:
                found[Full(DESCRIPTORS)] = 0
        for mapping in self._runtime.shedding():
            found[Full(SHEDDING, str(mapping))] = mapping.limits.shed_lag
        return found

    # The owner of its active listeners.

    def proxy_for(self, mapping: Mapping, observer: ProxyObserver) -> MappingProxy:
        """Make the proxy that serves a mapping."""
        return self._runtime.make(mapping, observer)

    def split_of(self, proxies: Sequence[MappingProxy]) -> ProxySplit[MappingProxy]:
        """The split among proxies: that of the rest, then those of the parts."""
        return self._runtime.split_of(proxies)

    def listener_for(self, active: ActiveListener, source: ListeningSocket) -> Listener:
        """Make the listener that accepts clients from a socket."""
        reactor = self._runtime.reactor
        # Each process has its share of `max-connections`: a process with many
        # connections has no reason to wait.
        if self._is_overloaded is None or active.mapping.limits.connections:
            return Listener(reactor, reactor, active, source, self._at_once)
        return SharedListener(
            reactor,
            reactor,
            active,
            source,
            self._at_once,
            is_overloaded=self._is_overloaded,
            left_clients=self._left_clients,
        )

    def routes_for(self, mapping: Mapping) -> LiveRoutes[MappingProxy]:
        """Make the routes of a mapping that has them by tags."""
        from lbconsul.tags.router import TagRouter  # here: few mappings have tags

        is_tls = bool(mapping.tls.certificates)
        return LiveRoutes(TagRouter(is_tls=is_tls, matcher=mapping.tags.matcher))

    def on_ended(self, active: ActiveListener, proxy: MappingProxy) -> None:
        """Drop a proxy that is drained, after one of its connections ended."""
        if not active.is_current(proxy) and self._drop_idle(active):
            self._has_unused_pools = True
        self.check_drained()

    def _altering(
        self, served: ActiveListener, mapping: Mapping, *, renew: bool = False
    ) -> Steps[None]:
        """Serve a mapping on; its listener accepts again once that is begun."""
        proxies = yield from served.making(mapping, renew=renew)
        served.pause()
        for before in served.use(mapping, proxies):
            if before.mapping.key not in proxies.by_key:
                before.drain(Termination.UNMAPPED)
        self._drop_idle(served)

    def _remove(self, served: ActiveListener) -> None:
        served.close()
        served.retire()
        for proxy in served.older:
            proxy.drain(Termination.UNMAPPED)
        self._drop_idle(served)

    def _drop_idle(self, served: ActiveListener) -> bool:
        gone = served.drop_idle()
        for proxy in gone:
            self._runtime.drop(proxy)
        return bool(gone)

    def check_drained(self) -> None:
        """End the drain if it was the last connection that ended."""
        self._drain.check()


def _specs(mapping: Mapping) -> set[FailoverSpec]:
    return set(map(failover_spec, mapping.rows))


@define(eq=False)
class _LentObserver:
    """Observes a proxy whose clients an endpoint accepts, which no shortage pauses."""

    _manager: ListenerManager
    #: The manager may drain.
    awaits_end: bool = True
    #: Those of a mapping that is lent, and of its routes.
    proxies: tuple[MappingProxy, ...] = ()

    def on_ended(self, proxy: MappingProxy) -> None:
        self._manager.check_drained()

    def on_starved(self) -> None:
        """Do nothing: the dial tries again, and the endpoint goes on."""
