"""A mapping's or route's proxy: its settings, counts, wait queue, open sessions."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from attrs import Factory, define, field
from twisted.internet.interfaces import IReactorTime

from lbconsul.balance.failover import Failover
from lbconsul.balance.hash_key import HashKey
from lbconsul.balance.token_index import TokenIndex
from lbconsul.balance.upstream import Upstream
from lbconsul.balance.weighted import Chance
from lbconsul.config.model import Mapping
from lbconsul.config.server_names import ServerNames
from lbconsul.limits.row_limits import Limiting, RowLimits, own_limiting
from lbconsul.net.poller import Poller
from lbconsul.net.sockets import BareSocket, address_text, reset_on_close
from lbconsul.net.splice import Pipes
from lbconsul.net.sweeper import Sweeper, TimeSlicer
from lbconsul.proxy.access_control import AccessControl
from lbconsul.proxy.access_log import ConnectionLog, ConnectionWriter
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.proxy.compression_turns import CompressionTurns
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.dialer import DialAttempt, Dialer
from lbconsul.proxy.drain_manager import DrainManager, Session, least_recently_active
from lbconsul.proxy.handshake_queue import HandshakeQueue
from lbconsul.proxy.handshake_settings import HandshakeSettings, TLSAcceptor
from lbconsul.proxy.hash_keys import hash_by, key_of_peer
from lbconsul.proxy.idle_connections import IdleStores
from lbconsul.proxy.latency_watch import LatencyWatch
from lbconsul.proxy.live_routes import LASTING, Epoch, LiveRoutes
from lbconsul.proxy.relay import Relay, RelaySettings
from lbconsul.proxy.route_table import RouteTable
from lbconsul.proxy.upstream_handshake import UpstreamHandshake
from lbconsul.proxy.wait_queue import WaitQueue
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.termination import Termination
from lbconsul.stats.unhappy import UnhappyConnection

if TYPE_CHECKING:  # it takes memory that mappings of connections do without
    from lbconsul.extensions.hooks import HookChain
    from lbconsul.http.fields import Fields
    from lbconsul.http.router import Router
    from lbconsul.proxy.authenticators import Authenticator
    from lbconsul.proxy.http_settings import HTTPSettings
    from lbconsul.proxy.split import ProxySplit

#: Longest time between checks of a session, in seconds.  It bounds the age of byte
#: counts of open connections, and the time until a relay sees a failed peer while
#: the poller does not watch that side, since nothing is read from it.
_SESSION_ROUND = 1.0

#: The fraction of `max-age` by which a connection's age limit varies either way.
_AGE_JITTER = 0.1

#: Longest time between checks of a dial, in seconds: its client may leave.
_DIAL_ROUND = 0.25


class ProxyObserver(Protocol):
    """What is told of a mapping's connections, such as its listener."""

    #: Whether `on_ended` is to be called: nearly always nothing waits for an end.
    awaits_end: bool

    @property
    def proxies(self) -> "Iterable[MappingProxy]":
        """The proxies of the listening address that may have clients."""

    def on_ended(self, proxy: "MappingProxy") -> None:
        """A connection ended."""

    def on_starved(self) -> None:
        """A dial found no descriptor, port or memory: accept no clients now."""


@define(eq=False, repr=False)
class MappingProxy:
    """Balances the clients of one mapping or route over the upstreams of its pools."""

    _poller: Poller
    clock: IReactorTime
    _failover: Failover
    #: Without its routes: each has a proxy of its own.
    mapping: Mapping
    observer: ProxyObserver
    _log_connections: bool = True
    #: Writes the lines of connections; None: they are log events.
    _connection_writer: ConnectionWriter | None = None
    #: Connections accepted since the start.
    accepted: int = 0
    #: Those that are open; `handle` adds to them, and `closed` discards.
    sessions: set[Session] = field(factory=set)
    #: Which clients go to the proxies of routes; None: there are none.
    routes: "ServerNames[MappingProxy] | None" = None
    #: Which part gets each of its clients or requests; None: it has no parts.
    split: "ProxySplit[MappingProxy] | None" = field(init=False, default=None)
    #: Whether clients or requests come by another proxy: to a route, or to a part.
    is_routed: bool = field(init=False)
    _pipes: Pipes = field(factory=Pipes)
    #: Shared by all proxies of one listening address.
    stats: MappingStats = field(factory=MappingStats)
    #: Shared by all proxies of the process, like the queue and the slicer.
    connection_limit: ConnectionLimit = field(
        default=Factory(lambda self: ConnectionLimit(self.clock), takes_self=True)
    )
    handshake_queue: HandshakeQueue = Factory(
        lambda self: HandshakeQueue(self.clock, self._poller.serve_ready),
        takes_self=True,
    )
    _slicer: TimeSlicer = Factory(lambda self: TimeSlicer(self.clock), takes_self=True)
    #: Shared by all proxies of the process.
    _idle_stores: IdleStores = Factory(
        lambda self: IdleStores(self.clock, self._slicer), takes_self=True
    )
    #: Shared likewise.
    _compression_turns: CompressionTurns = Factory(
        lambda self: CompressionTurns(self.clock), takes_self=True
    )
    _chance: Chance = random.random
    #: The wall clock, for dates that clients read.
    _now: Callable[[], float] = time.time  # noqa: TID251
    #: Whether it is known which upstreams its pools have.
    _is_answered: Callable[[], bool] = lambda: True
    #: How late the reactor is, in seconds.
    _lag: Callable[[], float] = lambda: 0.0
    #: Serves clients with TLS; None: the mapping has none.
    _acceptor: TLSAcceptor | None = None
    #: Code of the operator's own that is asked about clients; None: there is none.
    hooks: "HookChain | None" = None
    #: Gives what names instances in cookies.
    _tokens: "Callable[[], TokenIndex]" = lambda: TokenIndex(lambda *words: ())
    #: Says who its clients are, in HTTP mode; None: they need not tell.
    _authenticator: "Authenticator | None" = None
    #: What counts clients and requests over all processes.
    _limiting: Limiting = Factory(own_limiting)
    #: Limits of requests, or of new connections; None if there are none.
    limits: RowLimits | None = field(init=False)
    #: None if the mapping admits every client.
    access_control: AccessControl | None = field(init=False)
    log: ConnectionLog = field(init=False)
    wait_queue: WaitQueue = field(init=False)
    dialer: Dialer = field(init=False)
    relaying: RelaySettings = field(init=False)
    relay_type: type[Relay] = field(init=False)
    #: What connections to upstreams begin with; None: with the client's bytes.
    upstream_handshake: UpstreamHandshake | None = field(init=False)
    #: The key of a client by its address, if connections are balanced by it.
    key_of: Callable[[object], HashKey | None] | None = field(init=False)
    #: What clients need before they get an upstream; None: nothing.
    handshaking: HandshakeSettings | None = field(init=False)
    _router: "Router[MappingProxy] | LiveRoutes[MappingProxy] | None" = field(
        init=False, default=None
    )
    #: What its HTTP sessions share; None: it balances connections.
    http: "HTTPSettings | None" = field(init=False, default=None)
    #: Until when what was planned for its clients' requests is good.
    epoch: Epoch = LASTING
    #: Whether there is no route but those that it has.
    knows_routes: bool = True
    #: Whether its route has other proxies beside it, one of which each request gets.
    shares_route: bool = False
    #: Whether it serves what no route takes.
    _serves: bool = field(init=False)
    #: Whether connections have limits beyond those of their relays.
    limits_sessions: bool = field(init=False)
    _drain_manager: DrainManager = field(init=False)
    #: Ejects slow upstreams; None: the mapping does not want that, or gets no clients.
    _latency_watch: LatencyWatch | None = field(init=False, default=None)
    #: Since when the mapping drains, and the termination of connections that it closes.
    _draining_since: float | None = None
    _overdue: Termination = Termination.SOFT_STOP
    #: Checks what relays, and `dial_sweeper` handshakes, and sessions whose dial takes
    #: time.
    session_sweeper: Sweeper = field(init=False)
    dial_sweeper: Sweeper = field(init=False)

    def __attrs_post_init__(self) -> None:
        mapping, clock = self.mapping, self.clock
        self._serves = bool(mapping.service)
        self.limits = RowLimits.of(mapping, *self._limiting, self.stats.exceeded)
        is_http = mapping.mode == "http"
        self.access_control = AccessControl.of(
            mapping, None if is_http else self.limits, clock.seconds
        )
        self.is_routed = bool(mapping.key)
        self.handshaking = HandshakeSettings.of(mapping, self._acceptor)
        timeouts = mapping.timeouts
        self.limits_sessions = bool(timeouts.max_age or timeouts.first_byte)
        self.log = ConnectionLog(
            clock, mapping, self._log_connections, self._connection_writer
        )
        self.wait_queue = WaitQueue(clock, mapping.limits.queue_length)
        self.dialer = Dialer(
            self._poller,
            clock,
            self._failover,
            self.wait_queue,
            self.stats,
            attempts=mapping.attempts,
            connect_timeout=mapping.timeouts.connect,
            queue_timeout=mapping.timeouts.queue or mapping.timeouts.connect,
            empty_timeout=mapping.when_empty.wait,
            is_answered=self._is_answered,
            answer_due=clock.seconds() + mapping.timeouts.connect,
        )
        self.upstream_handshake = UpstreamHandshake.of(
            clock, mapping, self.handshake_queue
        )
        self.dialer.has_handshake = self.upstream_handshake is not None
        self.key_of = key_of_peer if hash_by(mapping) == "source" else None
        self.relay_type = _relay_type(mapping)
        self.relaying = RelaySettings(
            self._poller,
            clock,
            self._pipes,
            idle_timeout=mapping.timeouts.idle,
            half_close_timeout=mapping.timeouts.half_close,
        )
        self._drain_manager = DrainManager(self._failover, mapping, clock.seconds)
        self._make_sweepers()
        if mapping.ejection.slow is not None:
            self._latency_watch = LatencyWatch(
                mapping.ejection.slow,
                self._failover,
                self.stats,
                mapping.mode == "http",
            )
        if mapping.mode == "http":
            from lbconsul.proxy.http_settings import HTTPSettings
            from lbconsul.proxy.request_log import RequestLog

            log = RequestLog(
                mapping,
                self.stats.use_http(),
                self._log_connections,
                self._poller.later,
                self._connection_writer,
            )
            control, denies = self.access_control, None
            # Of the other clients it is known at their accept.
            if control and (mapping.route or mapping.http.trusted_proxies):
                denies = control.denies
            from lbconsul.proxy.http_sticky import Sticky

            self.http = HTTPSettings.of(
                mapping,
                self._idle_stores,
                log,
                self._now,
                denies,
                self._authenticator,
                self._compression_turns,
                self.limits,
                Sticky.of(mapping, self._tokens, self.stats.use_http()),
            )
            self._serves = self._serves or self.http.redirecting is not None

    def _make_sweepers(self) -> None:
        interval = Sweeper.interval_for(min(self._waits()), _DIAL_ROUND)
        self.dial_sweeper = Sweeper(self.clock, interval, self._slicer)
        interval = self._session_interval()
        self.session_sweeper = Sweeper(self.clock, interval, self._slicer)

    def _waits(self) -> list[float]:
        """The time limits of a dial."""
        dialer = self.dialer
        waits = (
            dialer.connect_timeout,
            dialer.queue_timeout,
            dialer.empty_timeout,
            self.mapping.timeouts.first_byte,
        )
        return [each for each in waits if each]

    def _session_interval(self) -> float:
        """How often its sessions, or its requests, are to be checked, in seconds."""
        mapping = self.mapping
        limits = [mapping.timeouts.idle, mapping.timeouts.half_close]
        if mapping.timeouts.max_age:
            limits.append(2 * _AGE_JITTER * mapping.timeouts.max_age)
        if mapping.timeouts.first_byte:
            limits.append(mapping.timeouts.first_byte)
        if mapping.mode == "http":
            http = mapping.http
            # They check their dials as well.
            limits += filter(
                None,
                (
                    *self._waits(),
                    http.head_timeout,
                    http.keepalive_timeout,
                    http.response_timeout,
                    http.request_timeout,
                ),
            )
        return Sweeper.interval_for(min(limits), _SESSION_ROUND)

    @property
    def open(self) -> int:
        """Open connections, with an upstream or still dialing."""
        return len(self.sessions)

    def serving_upstreams(self) -> tuple[Upstream, ...]:
        """The upstreams that serve in the pool that is in use; for hooks."""
        pool = self._failover.current
        return () if pool is None else pool.serving

    @property
    def has_routes(self) -> bool:
        """Whether proxies of routes serve a part of its clients or requests."""
        return self.routes is not None or self._router is not None

    @property
    def is_in_use(self) -> bool:
        """Whether it has clients or, in HTTP mode, requests of its mapping's."""
        return bool(self.sessions) or (self.http is not None and self.http.active > 0)

    @property
    def is_usable(self) -> bool:
        """Whether it gets its share of a split."""
        pool = self._failover.only
        if pool is not None and pool.choose is not None:
            return pool.is_usable  # nothing is to be probed
        return self._failover.takes_share

    def route_by(
        self, table: RouteTable["MappingProxy"], newer: "MappingProxy | None" = None
    ) -> None:
        """Hand a part of the clients or requests over to the proxies of routes.

        `newer` has replaced this one: it serves what no route takes of the requests
        that still come on connections of this one, if this one has no service.
        """
        if table.router is None:
            self.routes = table.by_name
            return
        rest = self if self._serves else newer
        has_rest = rest is not None and rest.http is not None and rest._serves
        self._router = table.router.with_default(rest if has_rest else None)
        # Requests of routes are checked with the sessions that they are of.
        self.session_sweeper.interval = min(self._session_interval(), table.interval)

    def route_live(self, routes: "LiveRoutes[MappingProxy]") -> None:
        """Hand all requests over to the proxies of routes that come and go.

        Called again after each change of them.
        """
        self._router, self.epoch = routes, routes.epoch
        self.knows_routes = routes.is_complete
        if self.http is not None:
            self.http.plans.clear()

    def further_rows(
        self, host: str | None, path: bytes, method: bytes, fields: "Fields"
    ) -> "Iterator[MappingProxy]":
        """Proxies that a request may have after its own, of routes that are tags."""
        if isinstance(self._router, LiveRoutes):
            yield from self._router.further(host, path, method, fields)

    def row_for(
        self, host: str | None, path: bytes, method: bytes, fields: "Fields"
    ) -> "MappingProxy | None":
        """The proxy of a request: a route's, or this one; None if it has none.

        The parameters are those of `Router.find`.
        """
        if self._router is None:
            return self if self._serves else None
        return self._router.find(host, path, method, fields)

    def route_for(self, server_name: str | None) -> "MappingProxy | None":
        """The proxy for a client that sends this name, as `canonical_name` has it.

        That of a route, or this one; None if no route takes the client, and the
        mapping has no service.
        """
        found = None if self.routes is None else self.routes.find(server_name)
        if found is None and self.mapping.service:
            return self
        return found

    def turn_away(
        self, client: BareSocket, address: object, now: float, refused: Termination
    ) -> None:
        """Reset, count and log a client that access control refused."""
        # After a reset the kernel keeps no TIME-WAIT state, however many come.
        reset_on_close(client)
        client.close()
        self.not_served(address, now, refused)

    def not_served(
        self,
        address: object,
        accepted_at: float,
        termination: Termination,
        info: ClientInfo | None = None,
        dial: DialAttempt | None = None,
    ) -> None:
        """Count and log a client that was closed without an upstream.

        `dial` is what looked for one; None: it did not come to that.
        """
        self.stats.turned_away(termination.code)
        tried = [] if dial is None else dial.tried
        if termination.went_wrong:
            now = self.clock.seconds()
            error = dial.error if dial is not None else ""
            self.stats.unhappy.note(
                UnhappyConnection(
                    now,
                    address_text(address),
                    tried[-1].instance.identity if tried else None,
                    termination.code,
                    error or (info.error if info is not None else ""),
                    len(tried),
                    now - accepted_at,
                )
            )
        self.log.tell(address, accepted_at, None, 0, 0, len(tried), termination, info)

    def closed(self, session: Session) -> None:
        """Free the places of a session that ended."""
        self.sessions.discard(session)
        if self.access_control is not None and session.is_admitted:
            self.access_control.release(session.address)
        limit = self.connection_limit
        limit.taken -= 1
        if limit.queue:
            limit.serve()
        if self.wait_queue.queues:
            self.wait_queue.dispatch()
        if self.observer.awaits_end:
            self.observer.on_ended(self)

    def age_limit(self) -> float:
        """A connection's age limit in seconds, random to spread the ends."""
        shortest = self.mapping.timeouts.max_age * (1 - _AGE_JITTER)
        latitude = 2 * _AGE_JITTER * self.mapping.timeouts.max_age
        # The sweeper is late by up to its interval.
        late = self.session_sweeper.interval
        return shortest + self._chance() * max(0, latitude - late)

    def tick(self) -> Iterable[object]:
        """Close what is due, step by step; `Periodic` calls it each `EVERY` seconds."""
        if self.http is not None:
            self.http.plans.clear()
        if self.limits is not None and self.limits.shedder is not None:
            self.limits.shedder.measured(self._lag())
        is_draining = self._draining_since is not None
        steps: Iterable[object] = ()
        if self.is_in_use and (is_draining or self._drain_manager.is_due):
            steps = self._end_due()
        if self._latency_watch is not None:
            now = self.clock.seconds()
            if self._latency_watch.is_due(now):
                steps = chain(steps, self._latency_watch.looking(now))
        return steps

    def _end_due(self) -> Iterator[None]:
        if self._draining_since is not None:
            yield from self._end_overdue(self._draining_since)
        for found in self._drain_manager.due(self._relaying):
            if found is not None:
                session, termination = found
                session.end(termination)
            yield

    def retire(self) -> None:
        """Note that it gets no new clients; kept-alive ones are to connect again."""
        self._latency_watch = None
        if self.http is not None:
            self.http.is_draining = True

    def drain(self, overdue: Termination = Termination.SOFT_STOP) -> None:
        """Drain: let open connections end, and close the rest by the drain timeout.

        Those that are closed end as `overdue`.  Only the first call has an effect.
        """
        if self._draining_since is None:
            self._draining_since, self._overdue = self.clock.seconds(), overdue
            self.retire()

    def _end_overdue(self, since: float) -> Iterator[None]:
        """Close connections that are due since the drain began, least active first."""
        count = self._drain_manager.count(self.open, since)
        if not count:
            return
        if count == self.open:
            self.wait_queue.stop()  # queued dials must not take the freed slots
        relaying, dialing = list[Session](), list[Session]()
        for each in tuple(self.sessions):
            (relaying if each.is_relaying else dialing).append(each)
            yield
        for found in chain(least_recently_active(relaying), dialing):
            if not count:
                return
            if found is not None and not found.is_over:
                count -= 1
                found.end(self._overdue)
            yield

    def _relaying(self) -> Iterator[Session]:
        """Those with an upstream of this row, as they are when it is their turn.

        In HTTP mode the requests of a route are those of other proxies' clients.
        """
        is_of_others = self.is_routed and self.http is not None
        for proxy in tuple(self.observer.proxies) if is_of_others else (self,):
            rest = list(proxy.sessions)
            while rest:
                each = rest.pop()  # what ends is not kept
                if each.is_relaying and each.row is self:
                    yield each

    def close_connections(
        self, termination: Termination = Termination.HARD_STOP
    ) -> None:
        """Close all open connections at once, and stop the sweepers."""
        self.wait_queue.stop()  # queued dials must not take the freed slots
        for _ in range(2):  # those that are answered first do not end at once
            for each in tuple(self.sessions):
                each.end(termination)
        for sweeper in (self.dial_sweeper, self.session_sweeper):
            sweeper.stop()
        self.log.stop()
        if self.upstream_handshake is not None:
            self.upstream_handshake.stop()
        if self.http is not None:
            self.http.idle.close()
        self._pipes.close()


def _relay_type(mapping: Mapping) -> type[Relay]:
    if mapping.tls.certificates or mapping.upstream_tls.is_on:
        # Imported here: OpenSSL takes memory that other mappings do without.
        from lbconsul.proxy.tls_relay import TLSRelay

        return TLSRelay
    return Relay
