"""One listening address that is served; its options may change at a reload."""

import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from attrs import Factory, define, field, frozen
from twisted.internet.interfaces import IDelayedCall

from lbconsul.config.model import Mapping
from lbconsul.net.listening_socket import ListeningSocket
from lbconsul.net.sockets import BareSocket
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.handler import handler_of
from lbconsul.proxy.listener import Listener
from lbconsul.proxy.live_routes import LiveRoutes, RowChanges
from lbconsul.proxy.mapping_proxy import MappingProxy, ProxyObserver
from lbconsul.proxy.route_table import RouteTable, making_table
from lbconsul.proxy.split import ProxySplit, joined
from lbconsul.steps import Steps, finish


@frozen
class Proxies:
    """The proxies of a mapping, and the table of those of its routes."""

    #: By the keys of rows; the mapping's own is the first, under the empty text.
    by_key: dict[str, MappingProxy]
    table: RouteTable[MappingProxy]


@define(eq=False)
class _SharedSocket:
    """A socket that successive listeners share; its owner closes it, not they."""

    _source: ListeningSocket

    def open(self) -> socket.socket:
        return self._source.open()

    def close(self) -> None:
        """Do nothing: the next listener uses the same socket."""


class ActiveListenerOwner(Protocol):
    """Makes the parts of active listeners, and is told of their connections."""

    def proxy_for(self, mapping: Mapping, observer: ProxyObserver) -> MappingProxy:
        """Make the proxy that serves a mapping."""

    def split_of(self, proxies: Sequence[MappingProxy]) -> ProxySplit[MappingProxy]:
        """The split among proxies: that of the rest, then those of the parts."""

    def routes_for(self, mapping: Mapping) -> LiveRoutes[MappingProxy]:
        """Make the routes of a mapping that has them by tags."""

    def listener_for(
        self, active: "ActiveListener", source: ListeningSocket
    ) -> Listener:
        """Make the listener that accepts clients from a socket."""

    def on_ended(self, active: "ActiveListener", proxy: MappingProxy) -> None:
        """A connection of a current or older proxy ended."""


@define(eq=False, repr=False)
class ActiveListener:
    """A listening socket, and the proxies that serve its clients.

    They are the mapping's and one for each of its routes and parts.  When options
    change there are new proxies; the `older` ones keep their connections.
    """

    source: ListeningSocket
    #: The current options.
    mapping: Mapping
    _owner: ActiveListenerOwner
    #: The mapping's current proxy, which gets every client first.
    proxy: MappingProxy = field(init=False)
    #: All current proxies, by the keys of rows; the mapping's own is the first.
    _current: dict[str, MappingProxy] = Factory(dict)
    older: list[MappingProxy] = Factory(list)
    #: The routes that come and go; None: they change by a reload only.
    live: LiveRoutes[MappingProxy] | None = None
    #: The connection limit of the process, and the mapping's `max-connections`: the
    #: listener asks for them in each turn.
    connection_limit: ConnectionLimit = field(init=False)
    max_connections: int = field(init=False)
    #: Hands a client that the listener accepted to the current proxy.
    connected: Callable[[BareSocket, object], None] = field(init=False)
    #: Whether proxies call `on_ended`: not while the listener accepts, and there are
    #: no older proxies.
    awaits_end: bool = True
    _is_reading: bool = False
    #: None while clients wait in the kernel's queue.
    listener: Listener | None = None
    #: The call that ends the wait for Consul's first answer.
    waiting: IDelayedCall | None = None

    def __attrs_post_init__(self) -> None:
        proxies = finish(self.making(self.mapping))
        self._current = proxies.by_key
        self._turn_to(self.mapping, proxies.table)

    @property
    def current(self) -> Collection[MappingProxy]:
        """The proxies that get clients: the mapping's, then those of its routes."""
        return self._current.values()

    def is_current(self, proxy: MappingProxy) -> bool:
        """Whether a proxy gets clients."""
        return self._current.get(proxy.mapping.key) is proxy

    def has(self, row: Mapping) -> bool:
        """Whether this is the mapping or one of its routes, with its options."""
        proxy = self._current.get(row.key)
        return proxy is not None and proxy.mapping == row

    @property
    def proxies(self) -> list[MappingProxy]:
        """The current proxies, then older ones that still have connections."""
        return [*self.current, *self.older]

    @property
    def open(self) -> int:
        """Open connections of all proxies, current and older."""
        if not self.older and len(self._current) == 1:
            return self.proxy.open
        return sum(proxy.open for proxy in self.proxies)

    @property
    def is_full(self) -> bool:
        """Whether the mapping's `max-connections` are reached."""
        limit = self.max_connections
        return bool(limit) and self.open >= limit

    @property
    def is_starved(self) -> bool:
        """Whether the listener recently ran out of descriptors, ports or memory."""
        return self.listener is not None and self.listener.is_starved

    def accept(self) -> None:
        """Accept clients from now on."""
        self._end_waiting()
        if self.listener is None:
            self.listener = self._owner.listener_for(self, _SharedSocket(self.source))
            self.listener.startService()

    def pause(self) -> None:
        """Stop accepting; the socket stays open, and clients wait in its queue."""
        self._end_waiting()
        listener, self.listener = self.listener, None
        if listener is not None:
            listener.stopService()

    def close(self) -> None:
        """Stop accepting, and close the socket."""
        self.pause()
        self.source.close()

    def making(self, mapping: Mapping, *, renew: bool = False) -> Steps[Proxies]:
        """Make the proxies for these options, in steps; they are for `use`.

        What is unchanged keeps its proxy, unless with `renew`.
        """
        if mapping.tags.is_on:
            return (yield from self._making_live(mapping, renew=renew))
        kept = {} if renew else dict(self._current)
        if bool(mapping.routes) != bool(self.mapping.routes):
            kept.pop("", None)  # with routes it counts its clients otherwise
        proxies = dict[str, MappingProxy]()
        for row in mapping.rows:
            proxy = kept.get(row.key)
            if proxy is None or proxy.mapping != row:
                proxy = self._owner.proxy_for(row, self)
                yield False
            proxies[row.key] = proxy
        _, *routes = joined(proxies.values(), self._owner)
        table = yield from making_table(mapping.mode, routes)
        return Proxies(proxies, table)

    def _making_live(self, mapping: Mapping, *, renew: bool) -> Steps[Proxies]:
        """As `making`, for a mapping whose rows come and go: they stay as they are."""
        proxy = self._current.get("")
        if proxy is None or renew or proxy.mapping != mapping:
            proxy = self._owner.proxy_for(mapping, self)
            yield False
        rows = dict[str, MappingProxy]()
        for route, row in self._current.items() if self.live is not None else ():
            if route:
                rows[route] = self._owner.proxy_for(row.mapping, self) if renew else row
                yield renew
        table = RouteTable[MappingProxy]((), None, None)
        return Proxies({"": proxy, **rows}, table)

    def amend(self, changes: RowChanges) -> list[MappingProxy]:
        """Have rows come and go; returns the proxies that are replaced, or gone."""
        live, current = self.live, self._current
        assert live is not None
        dropped = set(changes.drop)
        if changes.present is not None:
            dropped |= current.keys() - changes.present.rows - {""}
        replaced = [current.pop(route) for route in dropped if route in current]
        for row in changes.put:
            before = current.get(row.route)
            if before is None or before.mapping != row:
                current[row.route] = self._owner.proxy_for(row, self)
                if before is not None:
                    replaced.append(before)
        live.amend(changes, current)
        # Their clients are those of the mapping, and stay: nothing is retired.
        self.older += replaced
        self.awaits_end = self.awaits_end or bool(replaced)
        self._route_live(live)
        return replaced

    def _route_live(self, live: LiveRoutes[MappingProxy]) -> None:
        for each in (self.proxy, *self.older):
            if not each.mapping.route and each.mapping.tags.is_on:
                each.route_live(live)

    def use(self, mapping: Mapping, proxies: Proxies) -> list[MappingProxy]:
        """Serve new clients by these proxies; returns those that get none now."""
        before, self._current = self._current, proxies.by_key
        replaced = [each for each in before.values() if not self.is_current(each)]
        self._retire(replaced)
        self._turn_to(mapping, proxies.table)
        return replaced

    def retire(self) -> None:
        """Note that no proxy gets clients any more, but from handshakes in progress."""
        current, self._current = self._current, {}
        self._retire(current.values())

    def _retire(self, proxies: Iterable[MappingProxy]) -> None:
        for each in proxies:
            each.retire()
            self.older.append(each)
        self.awaits_end = True

    def _turn_to(self, mapping: Mapping, table: RouteTable[MappingProxy]) -> None:
        """Have the current proxies get the clients."""
        self.mapping = mapping
        self.proxy = self._current[""]
        if mapping.tags.is_on:
            self._turn_to_live(mapping)
        else:
            self.live = None
        if table.routes:
            self.proxy.route_by(table)
        for each in () if mapping.tags.is_on else self.older:
            # Its handshakes may be in progress, and HTTP clients send more requests.
            if each.has_routes and each.mapping.mode == mapping.mode:
                each.route_by(table, self.proxy)
            if each.split is not None and each.mapping.mode == mapping.mode:
                self._renew_split(each)
        self.connection_limit = self.proxy.connection_limit
        self.max_connections = mapping.limits.connections
        # No call of ours stands between the listener and the handler.
        self.connected = handler_of(self.proxy)

    def _renew_split(self, older: MappingProxy) -> None:
        """Have an older proxy split its further requests as the current one does."""
        newer = self._current.get(older.mapping.key)
        if newer is not None:
            older.split = newer.split or self._owner.split_of([newer])

    def _turn_to_live(self, mapping: Mapping) -> None:
        if self.live is None:
            self.live = self._owner.routes_for(mapping)
        else:
            self.live.renew(self._current)
        self._route_live(self.live)

    def drop_idle(self) -> list[MappingProxy]:
        """Forget older proxies that have no connection and get none; returns them."""
        # After `retire`, handshakes in progress still lead to routes.
        keeps_routes = not self._current and any(
            each.is_in_use for each in self.older if not each.is_routed
        )
        gone, older = list[MappingProxy](), list[MappingProxy]()
        for each in self.older:
            stays = each.is_in_use or (keeps_routes and each.is_routed)
            (older if stays else gone).append(each)
        if gone:
            self.older = older
            self.on_reading(self._is_reading)
        return gone

    def on_reading(self, is_reading: bool) -> None:
        """The listener began or stopped to accept clients."""
        self._is_reading = is_reading
        self.awaits_end = not is_reading or bool(self.older)

    # The observer of its proxies.

    def on_ended(self, proxy: MappingProxy) -> None:
        """Let the listener accept again, since a connection has ended."""
        if self.listener is not None:
            self.listener.connection_ended()
        self._owner.on_ended(self, proxy)

    def on_starved(self) -> None:
        """Pause the listener, since descriptors, ports or memory ran out."""
        if self.listener is not None:
            self.listener.starved()

    def _end_waiting(self) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is not None and waiting.active():
            waiting.cancel()
