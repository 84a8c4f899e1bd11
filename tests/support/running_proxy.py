"""A proxy that runs: its reactor turns in a thread, and the test plays the rest."""

import socket
import threading
from collections.abc import Callable, Sequence
from collections.abc import Mapping as AbstractMapping
from concurrent.futures import Future
from contextlib import ExitStack
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from attrs import define, evolve
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.balance.failover import Failover
from lbconsul.balance.instance import Instance
from lbconsul.balance.pool_spec import FailoverSpec
from lbconsul.balance.registry import Registry
from lbconsul.balance.split import LocalCredits
from lbconsul.config.listen import TCPListen
from lbconsul.config.model import Mapping
from lbconsul.extensions.extensions import Extensions
from lbconsul.net.listening_socket import ListeningSocket, OwnedSocket
from lbconsul.net.poller import Poller, open_poller
from lbconsul.proxy.active_listener import ActiveListener
from lbconsul.proxy.cookie_tokens import CookieTokens
from lbconsul.proxy.listener import Listener
from lbconsul.proxy.live_routes import LiveRoutes
from lbconsul.proxy.mapping_proxy import MappingProxy, ProxyObserver
from lbconsul.proxy.split import ProxySplit
from lbconsul.steps import finish
from tests.support import loopback
from tests.support.mappings import altered
from tests.support.passwords import authenticator_of
from tests.support.tls import acceptor_of
from tests.support.upstreams import WEB, opens, registry_of
from tests.support.waiting import eventually

P = ParamSpec("P")
T = TypeVar("T")

MAPPING = Mapping("web", TCPListen("127.0.0.1", 0))


@implementer(ILogObserver)
class _Tracebacks:
    """Collects what the log has tracebacks of."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if "log_failure" in event:
            trace = event["log_failure"].getTraceback()
            self.found.append(f"{formatEvent(event)}\n{trace}")


class ReactorThread:
    """A reactor of its own in a thread of its own.

    Leaving it as a context manager fails if anything in the log has a traceback.
    """

    def __init__(self) -> None:
        self._observer = _Tracebacks()
        self.reactor = EPollReactor()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        globalLogPublisher.addObserver(self._observer)
        self._thread.start()
        self.call(lambda: None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.call(self.reactor.stop)
        self._thread.join(loopback.PATIENCE)
        globalLogPublisher.removeObserver(self._observer)
        assert not self._thread.is_alive()
        self.reactor.waker.connectionLost(None)
        self.reactor._poller.close()
        found = self._observer.found
        assert kind is not None or not found, "\n".join(found)

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a function returns that is called between two turns."""
        outcome: Future[T] = Future()

        def run() -> None:
            try:
                outcome.set_result(function(*args, **kwargs))
            except BaseException as error:
                outcome.set_exception(error)

        self.reactor.callFromThread(run)
        return outcome.result(loopback.PATIENCE)

    def outcome(self, function: Callable[[], Deferred[T]]) -> T:
        """What the Deferred of a function comes to, which is called likewise."""
        outcome: Future[T] = Future()

        def failed(failure: Failure) -> None:
            outcome.set_exception(failure.value)

        def run() -> None:
            function().addCallbacks(outcome.set_result, failed)

        self.call(run)
        return outcome.result(loopback.PATIENCE)

    def _run(self) -> None:
        self.reactor.run(installSignalHandlers=False)


@define(eq=False)
class _Owner:
    """The owner of one active listener, which does nothing as connections end."""

    _reactor: Any
    _poller: Poller
    _chain: Failover
    _tokens: CookieTokens

    def proxy_for(self, mapping: Mapping, observer: ProxyObserver) -> MappingProxy:
        return MappingProxy(
            self._poller,
            self._reactor,
            self._chain,
            mapping,
            observer,
            acceptor=acceptor_of(mapping),
            hooks=Extensions(self._reactor).hooks(mapping),
            authenticator=authenticator_of(self._reactor, mapping),
            tokens=self._tokens.index,
        )

    def routes_for(self, mapping: Mapping) -> LiveRoutes[MappingProxy]:
        raise AssertionError("its routes are no tags")

    def listener_for(self, active: ActiveListener, source: ListeningSocket) -> Listener:
        return Listener(self._reactor, self._reactor, active, source)

    def split_of(self, proxies: Sequence[MappingProxy]) -> ProxySplit[MappingProxy]:
        return ProxySplit.of(proxies, LocalCredits.of(len(proxies)))

    def on_ended(self, active: ActiveListener, proxy: MappingProxy) -> None:
        """Do nothing: no drain waits for it."""


def active_listener(
    reactor: Any, poller: Poller, registry: Registry, mapping: Mapping = MAPPING
) -> ActiveListener:
    """A listener for a mapping of the service web."""
    tokens, failover = CookieTokens(registry), registry.failover(_route_of(mapping))
    owner = _Owner(reactor, poller, failover, tokens)
    return ActiveListener(OwnedSocket(mapping), mapping, owner)


def _route_of(mapping: Mapping) -> FailoverSpec:
    """A pool of the service web, with what the mapping says of its upstreams."""
    patience = evolve(WEB.patience, errors=mapping.http.eject_5xx)
    limit = mapping.limits.connections_per_upstream
    return FailoverSpec((evolve(WEB, patience=patience, limit=limit),))


class RunningProxy(ReactorThread):
    """A mapping of the service web, over these instances."""

    def __init__(
        self,
        *instances: Instance,
        routes: AbstractMapping[str, AbstractMapping[str, Any]] | None = None,
        service: str = "web",
        **options: Any,
    ) -> None:
        """`routes` are options of routes, by their patterns; all have the instances."""
        super().__init__()
        self.registry = registry_of(*instances)
        self._poller = open_poller(self.reactor)
        mapping = altered(evolve(MAPPING, service=service), **options)
        rows = [
            altered(evolve(mapping, service="web", route=pattern), **each)
            for pattern, each in (routes or {}).items()
        ]
        mapping = evolve(mapping, routes=tuple(rows))
        self._active = active_listener(
            self.reactor, self._poller, self.registry, mapping
        )
        self.mapped = self._active.proxy
        self._clients = ExitStack()

    def __enter__(self) -> Self:
        super().__enter__()
        self.call(self._active.accept)
        assert self._active.listener is not None
        self.address = self._active.listener.address
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clients.close()
        self.call(self._active.close)
        self.call(self.mapped.close_connections)
        assert self.call(self.registry.open_connections) == 0
        super().__exit__(kind, error, trace)

    @property
    def mapping(self) -> Mapping:
        """The mapping, with its routes."""
        return self._active.mapping

    @property
    def proxies(self) -> tuple[MappingProxy, ...]:
        """Those of the mapping and of its routes."""
        return tuple(self._active.current)

    def alter(self, **changes: Any) -> None:
        """Serve new clients with these fields of the mapping."""
        self.call(self._alter, evolve(self.mapping, **changes))

    def _alter(self, mapping: Mapping) -> None:
        self._active.use(mapping, finish(self._active.making(mapping)))

    def connect(self) -> socket.socket:
        """A client."""
        return self._clients.enter_context(loopback.connect(self.address))

    def open(self) -> int:
        """Connections that are not over."""
        return self.call(lambda: self.mapped.open)

    def opens(self) -> dict[str, int]:
        """The open connections of each upstream, by service id."""
        return self.call(opens, self.registry)

    def wait_until_open(self, count: int) -> None:
        """Return once so many connections are open, and no more in the queue."""
        eventually(lambda: self.open() == count, f"{count} open connections")
