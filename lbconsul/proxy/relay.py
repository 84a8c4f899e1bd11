"""A relay: two joined sockets and the bytes between them."""

import socket
from math import inf
from typing import NamedTuple, Protocol

from twisted.internet.interfaces import IReactorTime

from lbconsul.balance.upstream import Lease, Outcome
from lbconsul.net.poller import Poller
from lbconsul.net.sockets import reset_on_close
from lbconsul.net.splice import Pipes
from lbconsul.proxy.relay_side import RelaySide
from lbconsul.stats.termination import Termination

#: In seconds.  An upstream that closes a connection sooner, without a byte, counts as
#: an early close; a connection that lives longer counts as a success.
AT_ONCE = 1.0

#: How long a probe may go without a result before another may run, in seconds.
PROBE_TIMEOUT = 10.0


class Downstream(NamedTuple):
    """An accepted client: its socket, its address, and the time of the accept."""

    client: socket.socket
    address: object
    time: float


class RelayOwner(Protocol):
    """What a relay needs of its owner, the `MappingProxy`."""

    poller: Poller
    clock: IReactorTime
    #: Pipes for splice(2), for bulk data.
    pipes: Pipes
    idle_timeout: float
    half_close_timeout: float

    @property
    def is_answered(self) -> bool:
        """Whether upstreams answer on more than a tenth of connections."""

    def first_byte(self, seconds: float) -> None:
        """The upstream's first byte came so many seconds after the accept."""

    def relay_moved(self, relay: "Relay", received: int, sent: int) -> None:
        """So many more bytes came from the client and from the upstream."""

    def relay_over(self, relay: "Relay", ending: Termination) -> None:
        """The relay closed its sockets; bytes since `relay_moved` may be unreported."""


class Relay:
    """Moves bytes between two joined sockets, until both directions are over.

    The owner calls `inspect` about once a second, more often if limits are short.
    """

    __slots__ = (
        "_expires",
        "_half_closed",
        "_is_by_upstream",
        "_owner",
        "_progress",
        "_since",
        "arrival",
        "client",
        "lease",
        "moved_at",
        "over",
        "pipes",
        "retries",
        "told_received",
        "told_sent",
        "upstream",
    )

    def __init__(
        self,
        owner: RelayOwner,
        upstream: socket.socket,
        lease: Lease,
        arrival: Downstream,
        retries: int,
        expires: float = inf,
    ) -> None:
        self._owner = owner
        #: When the connection reaches its age limit.
        self._expires = expires
        self.pipes = owner.pipes
        self.lease = lease
        self.arrival = arrival
        #: Connect attempts that failed before this one.
        self.retries = retries
        one, other = (
            RelaySide(self, owner.poller, arrival.client),
            RelaySide(self, owner.poller, upstream),
        )
        one.other, other.other = other, one
        self.client, self.upstream = one, other
        self.over = False
        self._half_closed = False
        #: Whether the upstream ended the connection.
        self._is_by_upstream = False
        #: Bytes that have arrived at either peer, as the last inspection found.
        self._progress: int | None = None  # the limit counts from the first inspection
        #: Bytes reported to the owner: from the client, and from the upstream.
        self.told_received = self.told_sent = 0
        #: When the two were joined.
        self._since = owner.clock.seconds()
        #: When bytes last moved, by the latest inspections.
        self.moved_at = self._since

    def start(self) -> None:
        """Begin to move bytes."""
        poller = self._owner.poller
        if self.lease.on_trial:
            self._owner.clock.callLater(AT_ONCE, self._lives)
        poller.addReader(self.upstream)
        poller.addReader(self.client)

    def begun(self, end: RelaySide) -> None:
        """The first bytes came from the peer of `end`."""
        if end is self.upstream:
            self._owner.first_byte(self._owner.clock.seconds() - self.arrival.time)
            if self.lease.on_trial:
                self.lease.showed(Outcome.SUCCESS)

    def done(self, last: RelaySide) -> None:
        """Close: both directions are over, the one from `last` later."""
        self._is_by_upstream = last is self.client
        self.end(Termination.DONE)

    def _lives(self) -> None:
        """Judge a probe of an ejected upstream that is open after `AT_ONCE`.

        The kernel accepts and buffers bytes for a hung upstream as well: if upstreams
        of this mapping answer, only an answer counts as a success.
        """
        if self.over:
            return
        if not (self._half_closed or self._owner.is_answered):
            self.lease.showed(Outcome.SUCCESS)
        else:
            self._owner.clock.callLater(PROBE_TIMEOUT - AT_ONCE, self._lives_long)

    def _lives_long(self) -> None:
        if self.over:
            return
        if self._half_closed or self.client.moved:
            self.lease.put_off()  # no result: half-closed or no answer
        else:
            self.lease.showed(Outcome.SUCCESS)

    def _tell(self, ending: Termination) -> None:
        """Report the upstream's outcome to its lease, if the connection shows one."""
        lease = self.lease
        if self.upstream.moved:
            lease.showed(Outcome.SUCCESS)
            return
        lived = self._owner.clock.seconds() - self._since >= AT_ONCE
        if self._is_by_upstream and not lived:
            lease.showed(Outcome.EARLY_CLOSE)
        elif lived and not lease.on_trial:
            lease.showed(Outcome.SUCCESS)
        elif ending is Termination.DONE and lease.upstream.record is not None:
            self._tell_of_silence()

    def _tell_of_silence(self) -> None:
        """Report an orderly close without a byte from the upstream."""
        if not self.client.moved:
            if self.lease.on_trial:
                self.lease.showed(Outcome.EMPTY)
        elif not self._owner.is_answered:
            self.lease.showed(Outcome.SUCCESS)

    def half_over(self) -> None:
        """One direction is over, and its end was passed on."""
        self._half_closed = True
        self._progress = None  # the limit counts from the next inspection

    def lost(self, end: RelaySide) -> None:
        """Reset the other peer: the peer of `end` sent a reset or is gone."""
        self._is_by_upstream = end is self.upstream
        mine = end is self.client
        self.end(
            Termination.CLIENT_RESET if mine else Termination.UPSTREAM_RESET, reset=True
        )

    def inspect(self, now: float) -> None:
        """Report bytes; close on a failed peer, the age limit or an idle timeout.

        The sweeper calls this for every connection each round, hence no system call
        for an idle one.
        """
        if now >= self._expires:
            self.end(Termination.AGED)
        elif (
            self._half_closed
            or self.client.moved + self.upstream.moved != self._progress
        ):
            self._look_closer(now)
        # Nothing was read since the last inspection, and all had arrived by then.
        elif now - self.moved_at >= self._owner.idle_timeout:
            self.end(Termination.IDLE)

    def _look_closer(self, now: float) -> None:
        client, upstream = self.client, self.upstream
        # The poller does not watch a side while nothing is to be read from it.
        for end in (client, upstream):
            if (end.at_end or end.other.owed()) and end.has_failed():
                self.lost(end)
                return
        self._tell_moved()
        progress = client.progress() + upstream.progress()
        if progress != self._progress:
            self._progress, self.moved_at = progress, now
        elif now - self.moved_at >= self._limit():
            self.end(Termination.HALF_CLOSED if self._half_closed else Termination.IDLE)

    def _tell_moved(self) -> None:
        """Report bytes since the last report to the owner."""
        received, sent = self.client.moved, self.upstream.moved
        more_received = received - self.told_received
        more_sent = sent - self.told_sent
        if more_received or more_sent:
            self.told_received, self.told_sent = received, sent
            self._owner.relay_moved(self, more_received, more_sent)

    def _limit(self) -> float:
        if self._half_closed:
            return self._owner.half_close_timeout
        return self._owner.idle_timeout

    def end(self, ending: Termination, *, reset: bool = False) -> None:
        """Close both sockets, with a reset if `reset`.  Later calls do nothing.

        Both peers also see a reset if bytes were not sent on: a truncated stream
        must not look complete.
        """
        if self.over:
            return
        self.over = True
        owner, client, upstream = self._owner, self.client, self.upstream
        owner.poller.forget(client)
        owner.poller.forget(upstream)
        if reset or client.owed() or upstream.owed():
            self._cut_off(client)
            self._cut_off(upstream)
        else:
            client.sock.close()
            upstream.sock.close()
        self._tell(ending)
        owner.relay_over(self, ending)
        # Leave no reference cycle to the garbage collector.
        del client.other, upstream.other, self.client, self.upstream

    def _cut_off(self, end: RelaySide) -> None:
        end.drop()
        # Closed in the next turn: the poller may hold an event for the other side's
        # descriptor, and would deliver it to the next socket of that number.  If the
        # process exits first, the kernel closes the socket, with a reset too.
        reset_on_close(end.sock)
        self._owner.clock.callLater(0, end.sock.close)
