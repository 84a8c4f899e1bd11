"""A relay: two joined streams and the bytes between them."""

from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IReactorTime

from lbconsul.net.poller import Poller
from lbconsul.net.sockets import reset_on_close
from lbconsul.net.splice import Pipes
from lbconsul.net.stream import Stream
from lbconsul.proxy.relay_side import RelaySide
from lbconsul.stats.termination import Termination


class RelayUser(Protocol):
    """What joins two streams, such as a session."""

    def on_first_byte(self) -> None:
        """The upstream's first byte arrived."""

    def on_moved(self, received: int, sent: int) -> None:
        """So many more bytes came from the client and from the upstream."""

    def on_closed(self, termination: Termination, *, by_upstream: bool) -> None:
        """The relay closed its streams; the upstream ended them if `by_upstream`.

        Bytes since `on_moved` are not reported.
        """


@define(eq=False)
class RelaySettings:
    """What the relays of one mapping share.  Times are in seconds."""

    poller: Poller
    clock: IReactorTime
    #: Pipes for splice(2), for bulk data.
    pipes: Pipes
    idle_timeout: float
    half_close_timeout: float


class Relay:
    """Moves bytes between two joined streams, until both directions are over.

    It begins once its user has the poller read both sides.  The user calls `check`
    about once a second, more often if limits are short.
    """

    __slots__ = (
        "_progress",
        "_settings",
        "client",
        "is_half_closed",
        "moved_at",
        "over",
        "pipes",
        "reported_received",
        "reported_sent",
        "upstream",
        "user",
    )

    #: What the sides are made of.
    side_type = RelaySide

    def __init__(
        self,
        settings: RelaySettings,
        user: RelayUser,
        client: Stream,
        upstream: Stream,
        now: float,
    ) -> None:
        self._settings = settings
        self.user = user
        self.pipes = settings.pipes
        # The sides are made here, and not by a method: each connection pays for a call.
        one, other = self.client, self.upstream = self.side_type(), self.side_type()
        one.other, other.other = other, one
        one.stream, other.stream = client, upstream
        for side in (one, other):
            side.relay = self
            side.poller = settings.poller
            side.watched = side.moved = side.credit = 0
            side.pending = b""
            side.pipe = None
            side.at_end = False
        self.over = False
        #: Whether one direction is over.
        self.is_half_closed = False
        #: Bytes that have arrived at either peer, as the last check found.
        self._progress: int | None = None  # the limit counts from the first check
        #: Bytes reported to the user: from the client, and from the upstream.
        self.reported_received = self.reported_sent = 0
        #: When bytes last moved, by the latest checks.
        self.moved_at = now

    def begin_with(self, to_client: bytes, to_upstream: bytes) -> None:
        """Begin, and first send what was read of the streams before they were joined.

        :raises OSError: the kernel watches no more sockets.
        """
        poller = self._settings.poller
        for side, data in ((self.client, to_client), (self.upstream, to_upstream)):
            side.pending = data
            if data:
                poller.addWriter(side)
            else:
                poller.addReader(side.other)

    def on_half_closed(self) -> None:
        """One direction is over, and its end was passed on."""
        self.is_half_closed = True
        self._progress = None  # the limit counts from the next check

    def on_lost(self, end: RelaySide) -> None:
        """Reset the other peer: the peer of `end` sent a reset or is gone.

        What had arrived from it is passed on before: a server may refuse a request, and
        close, while the client still sends it.
        """
        if not self.over:
            end.pass_on_rest()
        if end is self.client:
            self.end(Termination.CLIENT_RESET, reset=True)
        else:
            self.end(Termination.UPSTREAM_RESET, reset=True, by_upstream=True)

    def check(self, now: float) -> None:
        """Report bytes; close on a failed peer or an idle timeout.

        It is called for every connection each round, hence no system call for an idle
        one.
        """
        if (
            self.is_half_closed
            or self.client.moved + self.upstream.moved != self._progress
        ):
            self._look_closer(now)
        # Nothing was read since the last check, and all had arrived by then.
        elif now - self.moved_at >= self._settings.idle_timeout:
            self.end(Termination.IDLE)

    def _look_closer(self, now: float) -> None:
        client, upstream = self.client, self.upstream
        # The poller does not watch a side while nothing is to be read from it.
        for end in (client, upstream):
            if (end.at_end or end.other.owed()) and end.has_failed():
                self.on_lost(end)
                return
        self._report_moved()
        progress = client.progress() + upstream.progress()
        if progress != self._progress:
            self._progress, self.moved_at = progress, now
        elif now - self.moved_at >= self._limit():
            self.end(
                Termination.HALF_CLOSED if self.is_half_closed else Termination.IDLE
            )

    def _report_moved(self) -> None:
        """Report bytes that moved since the last report."""
        received, sent = self.client.moved, self.upstream.moved
        more_received = received - self.reported_received
        more_sent = sent - self.reported_sent
        if more_received or more_sent:
            self.reported_received, self.reported_sent = received, sent
            self.user.on_moved(more_received, more_sent)

    def _limit(self) -> float:
        if self.is_half_closed:
            return self._settings.half_close_timeout
        return self._settings.idle_timeout

    def end(
        self,
        termination: Termination,
        *,
        reset: bool = False,
        by_upstream: bool = False,
    ) -> None:
        """Close both streams, with a reset if `reset`.  Later calls do nothing.

        `by_upstream` says that the upstream ended them.
        Both peers also see a reset if bytes were not sent on: a truncated stream
        must not look complete.
        """
        if self.over:
            return
        self.over = True
        client, upstream = self.client, self.upstream
        self._settings.poller.forget(client, upstream)
        is_owed = client.pending or client.pipe or upstream.pending or upstream.pipe
        if reset or is_owed:
            self._cut_off(client)
            self._cut_off(upstream)
        else:
            client.stream.close()
            upstream.stream.close()
        self.user.on_closed(termination, by_upstream=by_upstream)
        # Leave no reference cycle to the garbage collector.
        del client.other, upstream.other, self.client, self.upstream, self.user

    def _cut_off(self, end: RelaySide) -> None:
        end.drop()
        # Closed in the next turn: the poller may hold an event for the other side's
        # descriptor, and would deliver it to the next socket of that number.  If the
        # process exits first, the kernel closes the socket, with a reset too.
        reset_on_close(end.stream)
        self._settings.clock.callLater(0, end.stream.close)
