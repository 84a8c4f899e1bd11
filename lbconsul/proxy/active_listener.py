"""One listening address that is served, under options that may be altered."""

import socket
from collections.abc import Callable

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall

from lbconsul.config.model import Mapping
from lbconsul.net.listening_socket import ListeningSocket
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.factory import ProxyFactory
from lbconsul.proxy.listener import Listener


@define(eq=False)
class _Kept:
    """A socket that one listener has after the other; none of them closes it."""

    _source: ListeningSocket

    def open(self) -> socket.socket:
        return self._source.open()

    def close(self) -> None:
        """The next one goes on with it."""


@define(eq=False, repr=False)
class ActiveListener:
    """A listening socket, and the factory that its clients go to.

    If the options are altered the same socket goes on with another factory; the
    `older` ones keep their connections.  `listener_of` makes a listener.
    """

    source: ListeningSocket
    factory: ProxyFactory
    _listener_of: Callable[["ActiveListener", ListeningSocket], Listener]
    older: list[ProxyFactory] = Factory(list)
    #: None while clients wait in the kernel's queue.
    listener: Listener | None = None
    #: The call that ends the waiting for Consul's first answer.
    waiting: IDelayedCall | None = None

    @property
    def mapping(self) -> Mapping:
        """Its options of today."""
        return self.factory.mapping

    @property
    def room(self) -> ConnectionLimit:
        """Asked for by the listener."""
        return self.factory.room

    @property
    def factories(self) -> list[ProxyFactory]:
        """Today's, and those whose connections live on."""
        return [self.factory, *self.older]

    @property
    def open(self) -> int:
        """Connections that are not over, whatever options they came under."""
        if not self.older:
            return self.factory.open
        return sum(factory.open for factory in self.factories)

    @property
    def is_full(self) -> bool:
        """Whether it has as many connections as its mapping may have."""
        limit = self.mapping.max_connections
        return bool(limit) and self.open >= limit

    @property
    def is_starved(self) -> bool:
        """Whether there was nothing to serve a client with, a moment ago."""
        return self.listener is not None and self.listener.is_starved

    def connected(self, client: socket.socket, address: object) -> None:
        """Called by the listener."""
        self.factory.connected(client, address)

    def accept(self) -> None:
        """Accept clients from now on."""
        self._end_waiting()
        if self.listener is None:
            self.listener = self._listener_of(self, _Kept(self.source))
            self.listener.startService()

    def pause(self) -> None:
        """Accept nobody; the socket stays open, and clients wait in its queue."""
        self._end_waiting()
        listener, self.listener = self.listener, None
        if listener is not None:
            listener.stopService()

    def close(self) -> None:
        """Accept nobody, and give the socket back."""
        self.pause()
        self.source.close()

    def turn_to(self, factory: ProxyFactory) -> ProxyFactory:
        """Clients go to this factory from now on; the one that they went to."""
        before, self.factory = self.factory, factory
        self.older.append(before)
        return before

    def ended(self) -> None:
        """A connection is over: there may be room for another one."""
        if self.listener is not None:
            self.listener.connection_ended()

    def starved(self) -> None:
        """Nothing is left to serve a client with."""
        if self.listener is not None:
            self.listener.starved()

    def _end_waiting(self) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is not None and waiting.active():
            waiting.cancel()
