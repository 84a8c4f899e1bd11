"""A listener: the bound socket of one mapping, and when to accept from it."""

import errno
import socket
from collections.abc import Callable
from typing import Any, Protocol

from attrs import Factory, define
from twisted.application.service import Service
from twisted.internet.interfaces import IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.config.model import Mapping
from lbconsul.net.listening_socket import ListeningSocket, OwnedSocket
from lbconsul.net.sockets import STARVED
from lbconsul.proxy.accept_balancer import AcceptBalancer
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.listener_log import ListenerLog

#: Clients accepted in one turn of the reactor, so that a busy listener does
#: not starve the relays.  HAProxy's tune.maxaccept is of this order too.
ACCEPT_BOUND = 64

#: How long to wait when there is no descriptor for another client, unless a
#: connection ends before.  In seconds.
STARVED_PAUSE = 0.5

#: Errors of one connection that was in the queue: the next one is fine.
_ITS_OWN = frozenset(
    {errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR, errno.ECONNRESET}
)


class ListenerOwner(Protocol):
    """Takes what a listener accepts: a `ProxyFactory`."""

    @property
    def mapping(self) -> Mapping:
        """The options of today."""

    @property
    def room(self) -> ConnectionLimit:
        """Shared by all factories of the process."""

    @property
    def open(self) -> int:
        """Connections that are not over."""

    def connected(self, client: socket.socket, address: object) -> None:
        """Take over a client's socket."""


@implementer(IReadDescriptor)
@define(eq=False, repr=False)
class Listener(Service):
    """Accepts clients for its owner, within the limits of the mapping and the process.

    `at_once` is how many it accepts in one turn of the reactor.  Where others
    accept from the same queue, `should_yield` may say that they should go first.
    """

    _reactor: IReactorFDSet
    _clock: IReactorTime
    _factory: ListenerOwner
    _source: ListeningSocket = Factory(
        lambda self: OwnedSocket(self._factory.mapping), takes_self=True
    )
    _at_once: int = ACCEPT_BOUND
    _should_yield: Callable[[], bool] | None = None
    _sock: socket.socket | None = None
    _reading: bool = False
    #: When there was last nothing to serve a client with.
    _starved_at: float | None = None
    #: The call that looks again whether there is something to serve clients with.
    _look_again: Any = None
    _listener_log: ListenerLog = Factory(
        lambda self: ListenerLog(self._clock, lambda: self._factory.mapping),
        takes_self=True,
    )
    _accept_balancer: AcceptBalancer = Factory(
        lambda self: AcceptBalancer(self._clock, self._should_yield, self._resume),
        takes_self=True,
    )

    @property
    def address(self) -> object:
        """Where it listens, as the socket has it; once it is bound."""
        assert self._sock is not None
        return self._sock.getsockname()

    def bind(self) -> None:
        """Open the listening socket, unless it is open.

        :raises CannotListen: it is not to be had.
        """
        self._sock = self._source.open()

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self.bind()

    def startService(self) -> None:
        super().startService()
        self.bind()
        self._resume()

    def stopService(self) -> None:
        super().stopService()
        self._pause()
        self._end_shortage()
        self._accept_balancer.stop()
        self._factory.room.forget(self)
        self._listener_log.stop()
        self.close()

    def close(self) -> None:
        """Give the listening socket back."""
        if self._sock is not None:
            self._sock = None
            self._source.close()

    def connection_ended(self) -> None:
        """There may be room for another one: called at each connection's end."""
        if not self._reading and self.running:
            self._end_shortage()
            self._resume()

    def on_available(self) -> None:
        """Called by the room, for which it waited: the next client may come in."""
        if not self._may_accept():
            return
        if not self._accept() and self._look_again is None:
            self._watch()  # nobody is in its queue
        elif not self._reading:
            self._resume()

    @property
    def is_starved(self) -> bool:
        """Whether there was nothing to serve a client with, a moment ago."""
        at = self._starved_at
        return at is not None and self._clock.seconds() - at < 1.5 * STARVED_PAUSE

    def starved(self) -> None:
        """Leave clients in the queue for a while: there is nothing to serve them."""
        self._starved_at = self._clock.seconds()
        self._listener_log.starved(self._factory.open)
        self._wait()

    def fileno(self) -> int:
        """Called by the reactor."""
        return -1 if self._sock is None else self._sock.fileno()

    def logPrefix(self) -> str:
        """Called by the reactor for each event."""
        return "listener"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gave the listening socket up.

        It has no cause to, unless who bound it has ended it for all: then that is
        about to tell us so.
        """
        self._reading = False
        if self._sock is not None and _listens(self._sock):
            self._listener_log.listener_lost(reason)

    def doRead(self) -> None:
        """Accept what is in the queue.  Called by the reactor."""
        if self._accept_balancer.should_yield():
            self._pause()
            return
        for _ in range(self._at_once):
            if self._is_full() or self._factory.room.must_wait(self):
                self._pause()
                return
            # It does not read any more if there was nothing to serve a client with.
            if not self._accept() or not self._reading:
                return

    def _accept(self) -> bool:
        """Take the next client; false if there is none, or none can be taken."""
        assert self._sock is not None
        try:
            client, address = self._sock.accept()
        except BlockingIOError:
            self._listener_log.relieved()
            return False
        except OSError as error:
            return self._refused(error)
        client.setblocking(False)
        try:
            self._factory.connected(client, address)
        except Exception:
            # Were it to reach the reactor, that would close the listener.
            self._listener_log.client_lost()
            client.close()
        return True

    def _is_full(self) -> bool:
        limit = self._factory.mapping.max_connections
        return bool(limit) and self._factory.open >= limit

    def _may_accept(self) -> bool:
        waits = self._look_again is not None or self._accept_balancer.is_waiting
        return self._sock is not None and not waits and not self._is_full()

    def _resume(self) -> None:
        if self._may_accept() and not self._factory.room.must_wait(self):
            self._watch()

    def _watch(self) -> None:
        self._reading = True
        self._reactor.addReader(self)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._reactor.removeReader(self)

    def _refused(self, error: OSError) -> bool:
        """Whether to go on; else the kernel would wake us without end."""
        if error.errno in _ITS_OWN:
            return True
        if error.errno in STARVED:
            self.starved()
        elif self._sock is not None and not _listens(self._sock):
            self._pause()  # who bound it has ended it for all
        else:
            self._listener_log.accept_failed()
            self._wait()
        return False

    def _wait(self) -> None:
        """Accept nobody for a while, unless a connection ends before."""
        self._pause()
        if self._look_again is None and self.running:
            self._look_again = self._clock.callLater(STARVED_PAUSE, self._waited)

    def _waited(self) -> None:
        self._look_again = None
        self._resume()

    def _end_shortage(self) -> None:
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None


def _listens(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
