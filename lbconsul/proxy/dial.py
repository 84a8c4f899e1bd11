"""Find an upstream that accepts: connect without blocking, try the next on failure.

Nothing has been read from the client yet, so trying again is always safe.
"""

import errno
import socket
from collections.abc import Collection
from typing import Protocol

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.balance.upstream import Lease, Outcome, Upstream
from lbconsul.errors import NoUpstream
from lbconsul.proxy.ending import Ending
from lbconsul.proxy.patrol import Patrol
from lbconsul.proxy.poller import Poller
from lbconsul.proxy.relay import Arrival
from lbconsul.proxy.sockets import STARVED, first_own_port

_KIND = socket.SOCK_STREAM | socket.SOCK_NONBLOCK

_IN_PROGRESS = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EINTR})


class DialOwner(Protocol):
    """What a dial needs from whoever made it."""

    poller: Poller
    clock: IReactorTime
    attempts: int
    connect_timeout: float
    dial_patrol: Patrol

    def lease(self, avoiding: Collection[Upstream]) -> Lease:
        """The next upstream to try.  Raises `NoUpstream`."""

    def dial_answered(self, dial: "Dial", upstream: socket.socket) -> None:
        """An upstream accepted: here is the socket, and the lease is `dial.lease`."""

    def dial_failed(self, dial: "Dial", ending: Ending) -> None:
        """No upstream was found; the client's socket is closed."""

    def dial_starved(self) -> None:
        """There is no descriptor or port for a dial: let no more clients in."""


@implementer(IWriteDescriptor)
class Dial:
    """One client's search for an upstream."""

    __slots__ = (
        "_owner",
        "_since",
        "_sock",
        "_waiting",
        "arrival",
        "lease",
        "over",
        "tried",
        "watched",
    )

    def __init__(self, owner: DialOwner, arrival: Arrival) -> None:
        self._owner = owner
        self._sock: socket.socket | None = None
        #: The poller's.
        self.watched = 0
        #: Whether the poller is to tell when the attempt is decided.
        self._waiting = False
        #: When the present attempt began.
        self._since = arrival.time
        self.arrival = arrival
        self.lease: Lease | None = None
        #: Whether it has an upstream, or has given up.
        self.over = False
        #: The upstreams that did not accept.
        self.tried: list[Upstream] = []

    def start(self, failing: Ending = Ending.REFUSED) -> None:
        """Try the next upstream; `failing` is why the last one was not to be had."""
        if len(self.tried) >= self._owner.attempts:
            self.end(failing)
            return
        try:
            self.lease = self._owner.lease(self.tried)
        except NoUpstream:
            self.end(failing)
            return
        if self.tried:
            self._since = self._owner.clock.seconds()
        self._connect(self.lease.upstream)

    def _connect(self, upstream: Upstream) -> None:
        address = upstream.instance.address
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            sock = socket.socket(family, _KIND)
        except OSError as error:
            self._failed(error.errno or 0)
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        peer = (address, upstream.instance.port)
        try:
            code = sock.connect_ex(peer)
            if code == errno.EINPROGRESS:
                # On the same machine the handshake is over by now, and to ask
                # again costs less than to have the reactor tell.
                code = sock.connect_ex(peer)
            if not code and peer[1] >= first_own_port() and _is_own(sock):
                code = errno.ECONNREFUSED
        except OSError as error:
            # No such scope, as in fe80::1%eth9; or reset since it was accepted.
            code = error.errno or errno.EINVAL
        if code in _IN_PROGRESS:
            self._wait()
        elif code:
            self._failed(code)
        else:
            self._answered()

    def _wait(self) -> None:
        """Let the poller tell when the attempt is decided."""
        try:
            self._owner.poller.addWriter(self)
        except OSError as error:
            self._failed(error.errno or 0)
            return
        self._waiting = True
        self._owner.dial_patrol.add(self)

    def fileno(self) -> int:
        """Called by the reactor."""
        return -1 if self._sock is None else self._sock.fileno()

    def logPrefix(self) -> str:
        """Called by the reactor for each event."""
        return "dial"

    def doWrite(self) -> None:
        """The attempt is decided.  Called by the reactor."""
        assert self._sock is not None
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._failed(code)
        else:
            self._answered()

    def connectionLost(self, reason: Failure) -> None:
        """The attempt failed; or the poller is at its end, or we have a bug."""
        if self.over:
            return
        if reason.check(ConnectionLost):
            sock, code = self._sock, errno.ECONNREFUSED
            if sock is not None:
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or code
            self._failed(code)
        else:
            ended = reason.check(ConnectionDone)
            self.end(Ending.KILLED if ended else Ending.INTERNAL)

    def inspect(self, now: float) -> None:
        """Look at the time and at the client.  Called by the patrol."""
        if self._client_left():
            self.end(Ending.CLIENT_LEFT)
        elif now - self._since >= self._owner.connect_timeout:
            if self._sock is None:
                self.end(Ending.STARVED)
            else:
                self._next(Ending.CONNECT_TIMEOUT)
        elif self._sock is None and self.lease is not None:
            self._connect(self.lease.upstream)

    def _client_left(self) -> bool:
        """Whether the client reset, or closed without having said anything.

        One that said something and then closed its sending side waits for an
        answer, so it is still there as far as anybody can tell.
        """
        client = self.arrival.client
        if client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return True  # a reset, which does not show before what was said is read
        try:
            return not client.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _answered(self) -> None:
        sock = self._sock
        assert sock is not None
        self._forget()
        self.over = True
        assert self.lease is not None
        self.lease.showed(Outcome.CONNECTED)
        self._owner.dial_answered(self, sock)

    def _failed(self, code: int) -> None:
        if code in STARVED:
            # No upstream is to be had with it: the patrol tries again, until the
            # time for one attempt is over.
            self._hang_up()
            self._owner.dial_patrol.add(self)
            self._owner.dial_starved()
        elif code == errno.EADDRNOTAVAIL:
            # No local port is left for this upstream, or no address of its
            # family: another one may be had.
            self._next(Ending.STARVED)
        else:
            self._next(Ending.REFUSED)

    def _next(self, failing: Ending) -> None:
        self._hang_up()
        assert self.lease is not None
        self.tried.append(self.lease.upstream)
        if failing is not Ending.STARVED:
            self.lease.showed(Outcome.REFUSED)
        self.lease.end()
        try:
            self.start(failing)
        except Exception:
            # A bug of ours: let it be known, but leak nothing.
            self.end(Ending.INTERNAL)
            raise

    def _hang_up(self) -> None:
        sock = self._sock
        self._forget()
        if sock is not None:
            sock.close()

    def _forget(self) -> None:
        """Leave the reactor and the patrol, before the socket goes elsewhere."""
        if self._waiting:
            self._waiting = False
            self._owner.poller.removeWriter(self)
        self._owner.dial_patrol.discard(self)
        self._sock = None

    def end(self, ending: Ending) -> None:
        """Give up, once: close all there is."""
        if self.over:
            return
        self.over = True
        if self.lease is not None:
            self.lease.end()
        self.arrival.client.close()
        self._hang_up()
        self._owner.dial_failed(self, ending)


def _is_own(sock: socket.socket) -> bool:
    """Whether a socket is connected to itself, and nobody else is there.

    Where nobody listens on a port of this machine from which outgoing
    connections are served as well, the kernel may choose just that one, and
    then completes the handshake with itself (RFC 9293, 3.5).
    """
    return bool(sock.getsockname() == sock.getpeername())
