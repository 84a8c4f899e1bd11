"""A listener: the bound socket of one mapping, and when to accept from it."""

import errno
import socket
from collections.abc import Callable
from typing import Any, Protocol

from attrs import Factory, define
from twisted.application.service import Service
from twisted.internet.interfaces import IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.config.model import Mapping
from lbconsul.proxy.bind import ListeningSocket, OwnSocket
from lbconsul.proxy.sockets import STARVED

#: Clients accepted in one turn of the reactor, so that a busy listener does
#: not starve the relays.  HAProxy's tune.maxaccept is of this order too.
ACCEPT_BOUND = 64

#: How long to wait when there is no descriptor for another client, unless a
#: connection ends before.  In seconds.
STARVED_PAUSE = 0.5

#: How long to let others go first, in seconds: enough for an idle process to
#: wake up.  Whoever is still in the queue then is taken.
GIVE_WAY = 0.001

#: For how long after that it is our turn, in seconds: a busy reactor may not come
#: round to the queue at once, and whoever comes later is another client.
OUR_TURN = 0.02

#: Errors of one connection that was in the queue: the next one is fine.
_ITS_OWN = frozenset(
    {errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR, errno.ECONNRESET}
)


class ListenerOwner(Protocol):
    """Takes what a listener accepts: a `ProxyFactory`."""

    mapping: Mapping

    @property
    def open(self) -> int:
        """Connections that are not over."""

    def connected(self, client: socket.socket, address: object) -> None:
        """Take over a client's socket."""


@implementer(IReadDescriptor)
@define(eq=False, repr=False)
class Listener(Service):
    """Accepts clients for a factory, no more than its mapping allows at a time.

    `at_once` is how many it accepts in one turn of the reactor.  Where others
    accept from the same queue, `gives_way` may say that they should go first.
    """

    _log = Logger()
    _reactor: IReactorFDSet
    _clock: IReactorTime
    _factory: ListenerOwner
    _source: ListeningSocket = Factory(
        lambda self: OwnSocket(self._factory.mapping), takes_self=True
    )
    _at_once: int = ACCEPT_BOUND
    _gives_way: Callable[[], bool] | None = None
    _sock: socket.socket | None = None
    _reading: bool = False
    #: The call that looks again whether there is something to serve clients with.
    _look_again: Any = None
    _starvation_told: bool = False
    #: The call that ends the others' turn, and until when then ours is.
    _others_turn: Any = None
    _our_turn: float = 0.0

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
        self._end_others_turn()
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

    def starved(self) -> None:
        """Leave clients in the queue for a while: there is nothing to serve them."""
        if not self._starvation_told:
            self._starvation_told = True
            self._log.warn(
                "{mapping}: out of descriptors, ports or memory: new clients wait;"
                " {open} are open",
                mapping=str(self._factory.mapping),
                open=self._factory.open,
            )
        self._wait()

    def fileno(self) -> int:
        """Called by the reactor."""
        return -1 if self._sock is None else self._sock.fileno()

    def logPrefix(self) -> str:
        """Called by the reactor for each event."""
        return "listener"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gave the listening socket up, which it has no cause to."""
        self._reading = False
        self._log.failure(
            "{mapping}: the listener is lost", reason, mapping=self._factory.mapping
        )

    def doRead(self) -> None:
        """Accept what is in the queue.  Called by the reactor."""
        sock = self._sock
        assert sock is not None
        if self._gives_way is not None and self._are_others_first():
            return
        for _ in range(self._at_once):
            if self._is_full():
                self._pause()
                return
            try:
                client, address = sock.accept()
            except BlockingIOError:
                self._starvation_told = False
                return
            except OSError as error:
                if error.errno in _ITS_OWN:
                    continue
                self._refused(error)
                return
            client.setblocking(False)
            self._hand_over(client, address)
            if not self._reading:  # there was nothing to serve it with
                return

    def _hand_over(self, client: socket.socket, address: object) -> None:
        try:
            self._factory.connected(client, address)
        except Exception:
            # Were it to reach the reactor, that would close the listener.
            self._log.failure("{mapping}: client lost", mapping=self._factory.mapping)
            client.close()

    def _is_full(self) -> bool:
        limit = self._factory.mapping.max_connections
        return bool(limit) and self._factory.open >= limit

    def _resume(self) -> None:
        waits = self._look_again is not None or self._others_turn is not None
        if self._sock is not None and not waits and not self._is_full():
            self._reading = True
            self._reactor.addReader(self)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._reactor.removeReader(self)

    def _refused(self, error: OSError) -> None:
        """The kernel would not accept for us, and would wake us without end."""
        if error.errno in STARVED:
            self.starved()
        else:
            mapping = str(self._factory.mapping)
            self._log.failure("{mapping}: accept failed", mapping=mapping)
            self._wait()

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

    def _are_others_first(self) -> bool:
        """Let the others go first, where they should; after them it is our turn."""
        assert self._gives_way is not None
        is_ours = self._clock.seconds() < self._our_turn
        self._our_turn = 0.0
        if is_ours or not self._gives_way():
            return False
        self._pause()
        self._others_turn = self._clock.callLater(GIVE_WAY, self._gave_way)
        return True

    def _gave_way(self) -> None:
        self._others_turn = None
        self._our_turn = self._clock.seconds() + OUR_TURN
        self._resume()

    def _end_others_turn(self) -> None:
        if self._others_turn is not None:
            self._others_turn.cancel()
            self._others_turn = None
