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

#: A connection that an upstream ends sooner, without having said a word, is
#: ended at once; one that lives so long has proved it, if that can be.  In seconds.
AT_ONCE = 1.0

#: A probe that has shown nothing for so long gives others their turn, in seconds.
PROBE_TIMEOUT = 10.0


class Downstream(NamedTuple):
    """A client that was accepted: its socket, its address, and when that was."""

    client: socket.socket
    address: object
    time: float


class RelayOwner(Protocol):
    """What a relay needs from whoever made it."""

    poller: Poller
    clock: IReactorTime
    #: For what comes in bulk.
    pipes: Pipes
    idle_timeout: float
    half_close_timeout: float

    @property
    def is_answered(self) -> bool:
        """Whether upstreams of this mapping say something on most connections."""

    def first_byte(self, seconds: float) -> None:
        """An upstream spoke first, so long after its client was accepted."""

    def relay_moved(self, relay: "Relay", received: int, sent: int) -> None:
        """So many bytes more came from the client, and from the upstream."""

    def relay_over(self, relay: "Relay", ending: Termination) -> None:
        """The relay's sockets are closed; bytes may have moved that were not told."""


class Relay:
    """Two joined sockets, until both directions are over.

    Its owner inspects it about once a second, or more often where limits are short.
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
        #: When it is as old as a connection may be.
        self._expires = expires
        self.pipes = owner.pipes
        self.lease = lease
        self.arrival = arrival
        #: Upstreams that were tried before this one.
        self.retries = retries
        one, other = (
            RelaySide(self, owner.poller, arrival.client),
            RelaySide(self, owner.poller, upstream),
        )
        one.other, other.other = other, one
        self.client, self.upstream = one, other
        self.over = False
        self._half_closed = False
        #: Whether it was the upstream that ended it.
        self._is_by_upstream = False
        #: Bytes that have arrived at either peer, as the last inspection found.
        self._progress: int | None = None  # the limit counts from the first inspection
        #: What the owner was told of: bytes from the client, and from the upstream.
        self.told_received = self.told_sent = 0
        #: When the two were joined.
        self._since = owner.clock.seconds()
        #: When something moved last, as far as inspections have seen.
        self.moved_at = self._since

    def start(self) -> None:
        """Let the bytes flow."""
        poller = self._owner.poller
        if self.lease.on_trial:
            self._owner.clock.callLater(AT_ONCE, self._lives)
        poller.addReader(self.upstream)
        poller.addReader(self.client)

    def begun(self, end: RelaySide) -> None:
        """The first bytes came from the peer at `end`."""
        if end is self.upstream:
            self._owner.first_byte(self._owner.clock.seconds() - self.arrival.time)
            if self.lease.on_trial:
                self.lease.showed(Outcome.SUCCESS)

    def done(self, last: RelaySide) -> None:
        """Both directions are over, the one from `last` after the other."""
        self._is_by_upstream = last is self.client
        self.end(Termination.DONE)

    def _lives(self) -> None:
        """A connection that may show that an ejected upstream is well lives on.

        Its kernel accepts, and takes bytes, for one that hangs, too: where upstreams
        answer, only that counts.
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
            self.lease.put_off()  # there is no end to it, or no answer
        else:
            self.lease.showed(Outcome.SUCCESS)

    def _tell(self, ending: Termination) -> None:
        """What it has shown of its upstream, if that can be said."""
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
        """Both sides ended it in order, and the upstream has said nothing."""
        if not self.client.moved:
            if self.lease.on_trial:
                self.lease.showed(Outcome.EMPTY)
        elif not self._owner.is_answered:
            self.lease.showed(Outcome.SUCCESS)

    def half_over(self) -> None:
        """One direction is over and passed on as such."""
        self._half_closed = True
        self._progress = None  # the limit counts from the next inspection

    def lost(self, end: RelaySide) -> None:
        """The peer at `end` reset the connection or is gone: tell the other one so."""
        self._is_by_upstream = end is self.upstream
        mine = end is self.client
        self.end(
            Termination.CLIENT_RESET if mine else Termination.UPSTREAM_RESET, reset=True
        )

    def inspect(self, now: float) -> None:
        """Tell what has moved; end it if an end failed, or nothing moved for too long.

        This is done for every connection again and again: of one that is idle the
        kernel is not asked.
        """
        if now >= self._expires:
            self.end(Termination.AGED)
        elif (
            self._half_closed
            or self.client.moved + self.upstream.moved != self._progress
        ):
            self._look_closer(now)
        # Nothing has come since the last inspection, and all had arrived by then.
        elif now - self.moved_at >= self._owner.idle_timeout:
            self.end(Termination.IDLE)

    def _look_closer(self, now: float) -> None:
        client, upstream = self.client, self.upstream
        # The reactor does not watch an end while nothing is to be read from it.
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
        """Let the owner know of the bytes that it was not told of."""
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
        """Close both sockets, once; their peers see a reset if `reset`.

        They do as well if something was not sent on: what is cut short must not
        look whole.
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
        # No circle is left for the garbage collector.
        del client.other, upstream.other, self.client, self.upstream

    def _cut_off(self, end: RelaySide) -> None:
        end.drop()
        # Closed in the next turn: the reactor may hold an event for the other
        # one's descriptor, and would give it to whoever got that next.  If it
        # ends before, the kernel closes it, as a reset too.
        reset_on_close(end.sock)
        self._owner.clock.callLater(0, end.sock.close)
