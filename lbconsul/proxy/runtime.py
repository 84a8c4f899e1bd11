"""The proxy runtime: makes the proxies of one process, and ticks them."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field

from lbconsul.balance.pool_spec import FailoverSpec, ServiceQuery
from lbconsul.balance.registry import Registry
from lbconsul.balance.split import Credits, LocalCredits
from lbconsul.config.model import Mapping, Place
from lbconsul.limits.row_limits import Limiting, own_limiting
from lbconsul.net.periodic import Periodic, Tickable
from lbconsul.net.poller import Poller, open_poller
from lbconsul.net.splice import Pipes
from lbconsul.net.sweeper import TimeSlicer
from lbconsul.process.reactor_lag import Lag
from lbconsul.proxy.access_log import ConnectionWriter
from lbconsul.proxy.authenticators import Authenticators
from lbconsul.proxy.compression_turns import CompressionTurns
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.cookie_tokens import CookieTokens
from lbconsul.proxy.handshake_queue import HandshakeQueue
from lbconsul.proxy.idle_connections import IdleStores
from lbconsul.proxy.mapping_proxy import MappingProxy, ProxyObserver
from lbconsul.proxy.split import ProxySplit
from lbconsul.proxy.targets import failover_spec
from lbconsul.proxy.tls_acceptors import TLSAcceptors
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.termination import Termination
from lbconsul.stats.traffic import MappingTraffic

if TYPE_CHECKING:
    from lbconsul.extensions.hooks import HookChain
    from lbconsul.proxy.http_settings import HTTPSettings


#: The most counts that are kept of places where nothing is served any more.
_MOST_UNUSED = 1000


@define(eq=False)
class ProxyRuntime:
    """What all proxies of a process share, and the proxies themselves."""

    reactor: Any
    registry: Registry
    #: Whether proxies made from now on write the access log.
    connection_log: bool = True
    #: Writes the lines of connections; None: they are log events.
    _connection_writer: ConnectionWriter | None = field(default=None, kw_only=True)
    connection_limit: ConnectionLimit = field(
        default=Factory(lambda self: ConnectionLimit(self.reactor), True)
    )
    #: Gives the hooks of a mapping; None if it has none.
    _hooks: "Callable[[Mapping], HookChain | None]" = field(
        default=lambda mapping: None, kw_only=True
    )
    #: Gives what else is balanced over than by these proxies: pools that are kept.
    _needed_elsewhere: Callable[[], Iterable[FailoverSpec]] = tuple
    #: Gives the credits of the parts of a split, the rest first.
    _credits: Callable[[Sequence[Mapping]], Credits] = field(
        default=lambda rows: LocalCredits.of(len(rows)), kw_only=True
    )
    #: Gives the queries whose answers are kept even if nothing is balanced over them.
    asked: Callable[[], Collection[ServiceQuery]] = tuple
    _proxies: dict[MappingProxy, None] = Factory(dict)
    #: How many of them balance over each spec.
    _specs: Counter[FailoverSpec] = Factory(Counter)
    #: The same by their mappings' places.
    _at: defaultdict[Place, list[MappingProxy]] = Factory(lambda: defaultdict(list))
    _poller: Poller = field(
        init=False, default=Factory(lambda self: open_poller(self.reactor), True)
    )
    #: Runs all periodic work of this process.
    sweeper: TimeSlicer = field(
        init=False, default=Factory(lambda self: TimeSlicer(self.reactor), True)
    )
    _periodic: Periodic = field(
        init=False,
        default=Factory(lambda self: Periodic(self.reactor, self.sweeper), True),
    )
    #: What counts for limits of clients and requests.
    _limiting: Limiting = field(
        factory=lambda: own_limiting(os.urandom(16)), kw_only=True
    )
    #: The proxies that shed load by how late the reactor is, and what measures that.
    _shedders: list[MappingProxy] = Factory(list)
    _lag: Lag = field(init=False, default=Factory(lambda self: Lag(self.reactor), True))
    _pipes: Pipes = Factory(Pipes)
    _handshake_queue: HandshakeQueue = field(
        init=False,
        default=Factory(
            lambda self: HandshakeQueue(self.reactor, self._poller.serve_ready), True
        ),
    )
    _idle_stores: IdleStores = field(
        init=False,
        default=Factory(lambda self: IdleStores(self.reactor, self.sweeper), True),
    )
    _compression_turns: CompressionTurns = field(
        init=False, default=Factory(lambda self: CompressionTurns(self.reactor), True)
    )
    #: Serve clients with TLS.
    acceptors: TLSAcceptors = Factory(TLSAcceptors)
    #: Say who clients are.
    authenticators: Authenticators = field(
        init=False, default=Factory(lambda self: Authenticators(self.reactor), True)
    )
    #: By a mapping's place, over all options it had.
    _stats: dict[Place, MappingStats] = Factory(dict)
    #: What instances are called in cookies.
    cookie_tokens: CookieTokens = field(
        init=False,
        default=Factory(lambda self: CookieTokens(self.registry), takes_self=True),
    )
    #: Connections accepted by proxies that are gone.
    _accepted: int = 0

    def __attrs_post_init__(self) -> None:
        self._periodic.add(self.registry)
        self._periodic.add(self)

    @property
    def accepted(self) -> int:
        """Connections accepted since the start."""
        return self._accepted + sum(each.accepted for each in self._proxies)

    @property
    def open(self) -> int:
        """Open connections."""
        return self.connection_limit.taken

    @property
    def specs(self) -> set[FailoverSpec]:
        """What connections may be balanced over, new ones and old ones."""
        return set(self._specs)

    def release_pools(self) -> None:
        """Drop the pools and answers that no connection needs, new or old."""
        needed = self.specs.union(self._needed_elsewhere())
        self.registry.keep_only(needed, self.asked())

    @property
    def longest_drain(self) -> float:
        """The longest drain timeout of all proxies, in seconds."""
        timeouts = [each.mapping.drain.timeout for each in self._proxies]
        return max(timeouts, default=0.0)

    def make(self, mapping: Mapping, observer: ProxyObserver) -> MappingProxy:
        """Make a proxy for a mapping, and start its periodic work."""
        stats = self.stats(mapping)
        if mapping.mode == "http":
            stats.use_http()
        proxy = MappingProxy(
            self._poller,
            self.reactor,
            self.registry.failover(failover_spec(mapping)),
            mapping,
            observer,
            self.connection_log,
            self._connection_writer,
            pipes=self._pipes,
            stats=stats,
            connection_limit=self.connection_limit,
            handshake_queue=self._handshake_queue,
            slicer=self.sweeper,
            idle_stores=self._idle_stores,
            compression_turns=self._compression_turns,
            is_answered=partial(self._is_answered, failover_spec(mapping)),
            acceptor=self.acceptors.of(mapping.tls),
            hooks=self._hooks(mapping),
            tokens=self.cookie_tokens.index,
            authenticator=self.authenticators.of(mapping.http.basic_auth),
            limiting=self._limiting,
            lag=self._latest_lag,
        )
        if mapping.limits.shed_lag:
            self._shedders.append(proxy)
            self._lag.start()
        self._proxies[proxy] = None
        self._specs[failover_spec(mapping)] += 1
        self._at[mapping.place].append(proxy)
        self._periodic.add(proxy)
        return proxy

    def shedding(self) -> Iterator[Mapping]:
        """The mappings that turn away a part of their load now."""
        for each in self._shedders:
            limits = each.limits
            if limits is not None and limits.shedder and limits.shedder.share:
                yield each.mapping

    def _latest_lag(self) -> float:
        return self._lag.latest

    def split_of(self, proxies: Sequence[MappingProxy]) -> ProxySplit[MappingProxy]:
        """The split among proxies: that of the rest, then those of the parts."""
        return ProxySplit.of(
            proxies,
            self._credits([each.mapping for each in proxies]),
            self.cookie_tokens.of_parts,
        )

    def stats(self, mapping: Mapping) -> MappingStats:
        """The counts of a mapping in this process, over all options it had."""
        return self._stats.setdefault(mapping.place, MappingStats())

    def traffic(self, mapping: Mapping) -> MappingTraffic:
        """A snapshot of a mapping's counts, queue and ejections in this process."""
        told = MappingTraffic(self.stats(mapping))
        told.queued = self._queued(mapping)
        told.used = self.used(mapping)
        for http in self._http(mapping):
            told.active_requests += http.active
            told.idle_connections += http.idle.count
        for number, pool in enumerate(
            self.registry.failover(failover_spec(mapping)).all
        ):
            for upstream in pool.ejected:
                key = number, upstream.instance.identity
                told.ejected[key] = pool.ejection(upstream), upstream.since
        return told

    def has_news(self, mapping: Mapping) -> bool:
        """Whether a mapping's counts changed since the last report.

        Also true while clients wait, connections are idle, or upstreams are ejected.
        """
        if self.stats(mapping).has_news or self._queued(mapping):
            return True
        if any(each.active or each.idle.count for each in self._http(mapping)):
            return True
        pools = self.registry.failover(failover_spec(mapping)).all
        return any(pool.ejected for pool in pools)

    def used(self, mapping: Mapping) -> set[int]:
        """The index of the pool that gets new connections; empty if there is none."""
        failover = self.registry.failover(failover_spec(mapping))
        used = failover.current
        return set() if used is None else {failover.all.index(used)}

    def _queued(self, mapping: Mapping) -> int:
        return sum(len(each.wait_queue) for each in self._at.get(mapping.place, ()))

    def _http(self, mapping: Mapping) -> "Iterator[HTTPSettings]":
        """Those of the mapping's proxies in HTTP mode."""
        for each in self._at.get(mapping.place, ()):
            if each.http is not None:
                yield each.http

    def tick(self) -> Iterator[None]:
        """Drop counts of instances that are gone, if there are many."""
        for each in tuple(self._stats.values()):
            each.tidy(self.registry.has)
            yield
        unused = [each for each in self._stats if each not in self._at]
        for place in unused[:-_MOST_UNUSED]:
            del self._stats[place]

    def drop(self, proxy: MappingProxy) -> None:
        """Forget a proxy that has no connection and gets no more clients."""
        del self._proxies[proxy]
        spec = failover_spec(proxy.mapping)
        self._specs[spec] -= 1
        if not self._specs[spec]:
            del self._specs[spec]
        place = proxy.mapping.place
        self._at[place].remove(proxy)
        if not self._at[place]:
            del self._at[place]
        self._accepted += proxy.accepted
        self._periodic.discard(proxy)
        if proxy in self._shedders:
            self._shedders.remove(proxy)
        proxy.close_connections()

    def is_known(self, mapping: Mapping) -> bool:
        """Whether it is known which pool serves a mapping, or that none does.

        And, with TLS, the certificates.
        """
        is_ready = self.acceptors.is_ready(mapping.tls)
        return is_ready and self._is_answered(failover_spec(mapping))

    def _is_answered(self, spec: FailoverSpec) -> bool:
        """Whether it is known which pool serves connections, or that none does."""
        for selection in spec.all():
            pool = self.registry.pool(selection)
            if pool.candidates:
                return True
            if pool.awaits_checks:
                return False
            if not self.registry.answered(selection.query):
                return False
        return True

    def is_pending(self, mapping: Mapping) -> bool:
        """Whether a mapping must wait: for certificates, or for host names.

        The resolver bounds how long the latter takes.
        """
        if not self.acceptors.is_ready(mapping.tls):
            return True
        asked = (each.query for each in failover_spec(mapping).all())
        return any(map(self.registry.pending, asked))

    def add_tickable(self, tickable: Tickable) -> None:
        """Call `tick` of this periodically as well."""
        self._periodic.add(tickable)

    def start(self) -> None:
        """Start the periodic work of the proxies and the registry."""
        self._periodic.start()

    def drain(self) -> None:
        """Drain all proxies."""
        for proxy in tuple(self._proxies):
            proxy.drain()

    def close_connections(
        self, termination: Termination = Termination.HARD_STOP
    ) -> None:
        """Close all open connections at once."""
        for proxy in tuple(self._proxies):
            proxy.close_connections(termination)

    def stop(self) -> None:
        """Stop periodic work and the poller."""
        self._periodic.stop()
        self._lag.stop()
        self.sweeper.stop()
        self.authenticators.stop()
        self._compression_turns.stop()
        self._poller.stop()
