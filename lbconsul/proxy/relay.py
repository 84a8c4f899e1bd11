"""A relay: two joined sockets and the bytes between them.

Each of the two is registered with the reactor itself.  No protocol, no
transport and no Deferred stands between `recv` on the one and `send` on the
other: that halves the cost of a request.
"""

import socket
from typing import NamedTuple, Protocol

from twisted.internet.interfaces import (
    IReactorFDSet,
    IReactorTime,
    IReadWriteDescriptor,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.balance.upstream import Lease
from lbconsul.proxy.ending import Ending
from lbconsul.proxy.patrol import Patrol
from lbconsul.proxy.sockets import queued, reset_on_close

#: What one read takes at most, in bytes, and so all that we ever hold of one
#: direction: with what is round it, less than 64 KiB.  HAProxy holds 16 KiB;
#: this needs a quarter of the system calls.
READ_SIZE = 61440

# All relays read into the same memory: what cannot be sent on at once is
# copied out of it before anything else is read.
_BUFFER = bytearray(READ_SIZE)
_VIEW = memoryview(_BUFFER)


class Arrival(NamedTuple):
    """A client that was accepted: its socket, its address, and when that was."""

    client: socket.socket
    address: object
    time: float


class RelayOwner(Protocol):
    """What a relay needs from whoever made it."""

    reactor: IReactorFDSet
    clock: IReactorTime
    idle_timeout: float
    half_close_timeout: float
    #: Inspects every relay, for its time limit.
    idle_patrol: Patrol
    #: Inspects, more often, relays with an end that the reactor does not watch.
    unwatched_patrol: Patrol

    def relay_over(self, relay: "Relay", ending: Ending) -> None:
        """The relay's sockets are closed."""


@implementer(IReadWriteDescriptor)
class End:
    """One socket of a relay: what is read from it goes to the other one."""

    __slots__ = (
        "at_end",
        "fileno",
        "moved",
        "other",
        "pending",
        "reactor",
        "recv_into",
        "relay",
        "send",
        "sock",
    )

    relay: "Relay"
    other: "End"

    def __init__(
        self, relay: "Relay", reactor: IReactorFDSet, sock: socket.socket
    ) -> None:
        self.relay = relay
        self.reactor = reactor
        self.sock = sock
        # Looked up once, since every byte passes them.
        self.fileno = sock.fileno
        self.recv_into = sock.recv_into
        self.send = sock.send
        #: Bytes read from this socket.
        self.moved = 0
        #: What is still to be sent to this socket; while there is something,
        #: nothing is read from the other one.
        self.pending = b""
        #: Whether this side has said all it will.
        self.at_end = False

    def doRead(self) -> None:
        """Pass on what there is.  Called by the reactor."""
        try:
            count = self.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError:
            self.relay.lost(self)
            return
        if not count:
            self._finish()
            return
        self.moved += count
        try:
            sent = self.other.send(_VIEW[:count])
        except BlockingIOError:
            sent = 0
        except OSError:
            self.relay.lost(self.other)
            return
        if sent != count:
            self.other.pending = bytes(_VIEW[sent:count])
            self.reactor.removeReader(self)
            self.reactor.addWriter(self.other)
            self.relay.unwatched()

    def doWrite(self) -> None:
        """Send what is pending, then read on.  Called by the reactor."""
        if not self.pending:
            return  # the relay ended in this turn of the reactor, by a doRead
        try:
            sent = self.send(self.pending)
        except BlockingIOError:
            return
        except OSError:
            self.relay.lost(self)
            return
        self.pending = self.pending[sent:]
        if not self.pending:
            self.reactor.removeWriter(self)
            self.reactor.addReader(self.other)
            self.relay.flowing()

    def _finish(self) -> None:
        """This side has said all; the other is told, and may still answer."""
        self.reactor.removeReader(self)
        self.at_end = True
        if self.other.at_end:
            self.relay.end(Ending.DONE)  # closing tells it just as well
            return
        try:
            self.other.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.relay.lost(self.other)
            return
        self.relay.half_over()

    def progress(self) -> int:
        """A number that changes whenever something is read from it or arrives at it."""
        return self.moved - len(self.pending) - queued(self.sock)

    def has_failed(self) -> bool:
        """Whether the peer is gone, though nothing is read or written."""
        return bool(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def connectionLost(self, reason: Failure) -> None:
        """The reactor saw an error on the socket, and has forgotten it."""
        relay = getattr(self, "relay", None)
        if relay is not None:  # at its own end the reactor tells both ends
            relay.lost(self)

    def logPrefix(self) -> str:
        """Called by the reactor for each event."""
        return "relay"


class Relay:
    """Two joined sockets, until both directions are over."""

    __slots__ = (
        "_half_closed",
        "_moved_at",
        "_owner",
        "_progress",
        "arrival",
        "client",
        "lease",
        "over",
        "retries",
        "upstream",
    )

    def __init__(
        self,
        owner: RelayOwner,
        upstream: socket.socket,
        lease: Lease,
        arrival: Arrival,
        retries: int,
    ) -> None:
        self._owner = owner
        self.lease = lease
        self.arrival = arrival
        #: Upstreams that were tried before this one.
        self.retries = retries
        self.client = End(self, owner.reactor, arrival.client)
        self.upstream = End(self, owner.reactor, upstream)
        self.client.other = self.upstream
        self.upstream.other = self.client
        self.over = False
        self._half_closed = False
        self._progress: int | None = None  # the limit counts from the first inspection
        self._moved_at = arrival.time

    def start(self) -> None:
        """Let the bytes flow."""
        self._owner.idle_patrol.add(self)
        reactor = self._owner.reactor
        reactor.addReader(self.upstream)
        reactor.addReader(self.client)

    def half_over(self) -> None:
        """One direction is over and passed on as such."""
        self._half_closed = True
        self._progress = None  # the limit counts from the next inspection
        self.unwatched()

    def unwatched(self) -> None:
        """The reactor does not watch one of the ends, which may fail all the same."""
        self._owner.unwatched_patrol.add(self)

    def flowing(self) -> None:
        """An end is read from again that was not while the other one was full."""
        if not (self._half_closed or self.client.pending or self.upstream.pending):
            self._owner.unwatched_patrol.discard(self)

    def lost(self, end: End) -> None:
        """The peer at `end` reset the connection or is gone: tell the other one so."""
        mine = end is self.client
        self.end(Ending.CLIENT_RESET if mine else Ending.UPSTREAM_RESET, reset=True)

    def inspect(self, now: float) -> None:
        """End it if an end failed, or nothing moved for too long.  By the patrols."""
        for end in (self.client, self.upstream):
            if (end.at_end or end.other.pending) and end.has_failed():
                self.lost(end)
                return
        progress = self.client.progress() + self.upstream.progress()
        if progress != self._progress:
            self._progress, self._moved_at = progress, now
        elif now - self._moved_at >= self._limit():
            self.end(Ending.HALF_CLOSED if self._half_closed else Ending.IDLE)

    def _limit(self) -> float:
        if self._half_closed:
            return self._owner.half_close_timeout
        return self._owner.idle_timeout

    def end(self, ending: Ending, *, reset: bool = False) -> None:
        """Close both sockets, once; their peers see a reset if `reset`.

        They do as well if something was not sent on: what is cut short must not
        look whole.
        """
        if self.over:
            return
        self.over = True
        reset = reset or bool(self.client.pending or self.upstream.pending)
        reactor = self._owner.reactor
        for end in (self.client, self.upstream):
            if not end.at_end:
                reactor.removeReader(end)
            if end.pending:
                reactor.removeWriter(end)
            end.pending = b""
            if reset:
                # Closed in the next turn: the reactor may hold an event for the
                # other one's descriptor, and would give it to whoever got that
                # next.  If it ends before, the kernel closes it, as a reset too.
                reset_on_close(end.sock)
                self._owner.clock.callLater(0, end.sock.close)
            else:
                end.sock.close()
        self._owner.idle_patrol.discard(self)
        self._owner.unwatched_patrol.discard(self)
        self._owner.relay_over(self, ending)
        # No circle is left for the garbage collector.
        for end in (self.client, self.upstream):
            del end.relay, end.other
