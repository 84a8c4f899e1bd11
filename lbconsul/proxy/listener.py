"""A listener: accepts clients from the bound socket of one mapping."""

import errno
import socket
from collections.abc import Callable
from typing import Protocol

from attrs import Factory, define
from twisted.application.service import Service
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorFDSet,
    IReactorTime,
    IReadDescriptor,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.config.model import Mapping
from lbconsul.net.listening_socket import ListeningSocket, OwnedSocket
from lbconsul.net.sockets import STARVED, BareSocket
from lbconsul.proxy.connection_limit import ConnectionLimit
from lbconsul.proxy.listener_log import ListenerLog

#: Most clients to accept in one turn of the reactor: a busy listener must not
#: starve the relays.  HAProxy's tune.maxaccept is of this order too.
ACCEPT_BOUND = 64

#: How long to stop accepting after descriptors, ports or memory ran out, in seconds;
#: the end of a connection ends the pause.
STARVED_PAUSE = 0.5

#: accept(2) errors of one pending connection; the next one may be fine.
_ITS_OWN = frozenset(
    {errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR, errno.ECONNRESET}
)


class ListenerOwner(Protocol):
    """Receives accepted clients: an `ActiveListener`."""

    #: The connection limit of the process.
    connection_limit: ConnectionLimit
    #: The mapping's `max-connections`; 0: no limit.
    max_connections: int

    @property
    def mapping(self) -> Mapping:
        """The current options."""

    @property
    def open(self) -> int:
        """Open connections of the mapping."""

    @property
    def connected(self) -> Callable[[BareSocket, object], None]:
        """Takes over the socket of an accepted client, which has this address."""

    def on_reading(self, is_reading: bool) -> None:
        """The listener began or stopped to accept clients.

        While it does not, it needs to know of each connection that ends.
        """


@implementer(IReadDescriptor)
@define(eq=False, repr=False)
class Listener(Service):
    """Accepts clients for its owner, within the limits of the mapping and the process.

    `at_once` bounds the clients accepted in one turn of the reactor.
    """

    _reactor: IReactorFDSet
    _clock: IReactorTime
    _owner: ListenerOwner
    _source: ListeningSocket = Factory(
        lambda self: OwnedSocket(self._owner.mapping), takes_self=True
    )
    _at_once: int = ACCEPT_BOUND
    _sock: socket.socket | None = None
    #: Family, type and protocol of the clients' sockets.
    _kind: tuple[int, int, int] = (0, 0, 0)
    _reading: bool = False
    #: When descriptors, ports or memory last ran out.
    _starved_at: float | None = None
    #: The call that ends the pause after descriptors, ports or memory ran out.
    _shortage: IDelayedCall | None = None
    _listener_log: ListenerLog = Factory(
        lambda self: ListenerLog(self._clock, lambda: self._owner.mapping),
        takes_self=True,
    )

    @property
    def address(self) -> object:
        """The bound address, as getsockname(2) gives it; only after `bind`."""
        assert self._sock is not None
        return self._sock.getsockname()

    def bind(self) -> None:
        """Open the listening socket, unless it is open.

        :raises CannotListen: the socket cannot be opened.
        """
        sock = self._sock = self._source.open()
        self._kind = int(sock.family), int(sock.type), sock.proto

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
        self._owner.connection_limit.forget(self)
        self._listener_log.stop()
        self.close()

    def close(self) -> None:
        """Close the listening socket, or return it to its owner."""
        if self._sock is not None:
            self._sock = None
            self._source.close()

    def connection_ended(self) -> None:
        """Resume accepting after the end of a connection, if paused."""
        if not self._reading and self.running:
            self._end_shortage()
            self._resume()

    def on_available(self) -> None:
        """Accept one client: the connection limit has a free slot for it."""
        if not self._may_accept():
            return
        if not self._accept(1) and self._shortage is None:
            self._watch()  # no client is pending
        elif not self._reading:
            self._resume()

    @property
    def is_starved(self) -> bool:
        """Whether descriptors, ports or memory ran out recently."""
        at = self._starved_at
        return at is not None and self._clock.seconds() - at < 1.5 * STARVED_PAUSE

    def starved(self) -> None:
        """Pause accepting: descriptors, ports or memory ran out."""
        self._starved_at = self._clock.seconds()
        self._listener_log.starved(self._owner.open)
        self._wait()

    def fileno(self) -> int:
        """The listening socket's descriptor, for the reactor; -1 once closed."""
        return -1 if self._sock is None else self._sock.fileno()

    def logPrefix(self) -> str:
        """The prefix of log lines, for the reactor."""
        return "listener"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor dropped the listening socket.

        That is a fault, unless the process that bound the socket has shut it down: its
        order to stop listening then follows.
        """
        self._reading = False
        self._owner.on_reading(False)
        if self._sock is not None and _listens(self._sock):
            self._listener_log.listener_lost(reason)

    def doRead(self) -> None:
        """Accept pending clients.  Called by the reactor."""
        at_once, limit = self._at_once, self._owner.connection_limit
        if not self._owner.max_connections and (
            not limit.limit or (limit.taken + at_once < limit.limit and not limit.queue)
        ):
            self._accept(at_once)
            return
        # As many in this turn as the limits let in.
        self._accept(min(self._room(), at_once))
        # `starved` may have stopped the reading meanwhile.
        if self._reading and not self._room():
            self._pause()

    def _room(self) -> int:
        """How many clients the limits let in; waits for its turn if that is none."""
        limit, owner = self._owner.max_connections, self._owner
        room = limit - owner.open if limit else self._at_once
        if room <= 0 or owner.connection_limit.must_wait(self):
            return 0
        return min(room, owner.connection_limit.free)

    def _accept(self, count: int) -> bool:
        """Accept so many clients; false if fewer are pending or accept(2) fails."""
        assert self._sock is not None
        # What `socket.accept` calls, which makes an object of Python's more.
        accept = self._sock._accept  # type: ignore[attr-defined]
        connected = self._owner.connected
        family, kind, protocol = self._kind
        for _ in range(count):
            try:
                descriptor, address = accept()
            except BlockingIOError:
                if self._listener_log.is_starved:
                    self._listener_log.relieved()
                return False
            except OSError as error:
                if not self._refused(error):
                    return False
                continue
            client = BareSocket(family, kind, protocol, descriptor)
            client.setblocking(False)
            try:
                connected(client, address)
            except Exception:
                # The reactor would close the listener on an exception.
                self._listener_log.client_lost()
                client.close()
            if not self._reading:
                break
        return True

    def _is_full(self) -> bool:
        limit = self._owner.max_connections
        return bool(limit) and self._owner.open >= limit

    def _may_accept(self) -> bool:
        is_short = self._shortage is not None
        return self._sock is not None and not is_short and not self._is_full()

    def _resume(self) -> None:
        if self._may_accept() and not self._owner.connection_limit.must_wait(self):
            self._watch()

    def _watch(self) -> None:
        self._reading = True
        self._reactor.addReader(self)
        self._owner.on_reading(True)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._reactor.removeReader(self)
            self._owner.on_reading(False)

    def _refused(self, error: OSError) -> bool:
        """Whether to continue after an error; else pause, or the reactor would spin."""
        if error.errno in _ITS_OWN:
            return True
        if error.errno in STARVED:
            self.starved()
        elif self._sock is not None and not _listens(self._sock):
            self._pause()  # the process that bound it has shut it down
        else:
            self._listener_log.accept_failed()
            self._wait()
        return False

    def _wait(self) -> None:
        """Stop accepting for `STARVED_PAUSE`, or until a connection ends."""
        self._pause()
        if self._shortage is None and self.running:
            self._shortage = self._clock.callLater(STARVED_PAUSE, self._waited)

    def _waited(self) -> None:
        self._shortage = None
        self._resume()

    def _end_shortage(self) -> None:
        if self._shortage is not None:
            self._shortage.cancel()
            self._shortage = None


def _listens(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
