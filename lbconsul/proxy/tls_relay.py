"""A relay in which a stream is TLS: how such streams end."""

from lbconsul.net.sockets import queued, reset_on_close
from lbconsul.net.splice import Pipes
from lbconsul.net.stream import Stream
from lbconsul.proxy.relay import Relay, RelaySettings, RelayUser
from lbconsul.proxy.relay_side import RelaySide
from lbconsul.proxy.tls_side import TLSSide
from lbconsul.stats.termination import Termination
from lbconsul.tls.stream import TLSStream

#: Bytes that OpenSSL is to encrypt or decrypt cannot be spliced.
_NO_PIPES = Pipes(0)


class TLSRelay(Relay):
    """Moves bytes between two streams of which at least one is TLS.

    A peer that ends TCP without close_notify may have been cut off (RFC 8446, section
    6.1).  What it sent must not look complete: the other peer gets it, then a reset.
    """

    __slots__ = ("_cut", "_ends_by_upstream", "_received_at_end")

    side_type = TLSSide
    client: TLSSide
    upstream: TLSSide

    def __init__(
        self,
        settings: RelaySettings,
        user: RelayUser,
        client: Stream,
        upstream: Stream,
        now: float,
    ) -> None:
        super().__init__(settings, user, client, upstream, now)
        self.pipes = _NO_PIPES
        #: The side that was cut off, while the other one still gets what it sent.
        self._cut: TLSSide | None = None
        #: How many bytes the upstream had sent when the client ended its direction.
        self._received_at_end: int | None = None
        #: While the last close_notify has no room: whether the upstream ended first.
        self._ends_by_upstream: bool | None = None
        for side in (self.client, self.upstream):
            side.tls = side.stream if isinstance(side.stream, TLSStream) else None
            side.read_wants_write = side.write_wants_read = False
            side.is_ending = side.stops_reading = False

    def on_half_closed(self) -> None:
        super().on_half_closed()
        if self.client.at_end and self._received_at_end is None:
            self._received_at_end = self.upstream.moved
        is_ending = self.client.is_ending or self.upstream.is_ending
        if self._ends_by_upstream is not None and not is_ending:
            super().end(Termination.DONE, by_upstream=self._ends_by_upstream)

    def on_lost(self, end: RelaySide) -> None:
        """The peer of `end` reset or cut the connection, or is gone."""
        assert isinstance(end, TLSSide)
        if self._cut is not None or end.tls is None or not end.tls.is_truncated:
            super().on_lost(end)
        elif end is self.client and self.upstream.at_end:
            # The client got all: many close without a word then.  What it sent may
            # have been cut none the less.
            reset_on_close(self.upstream.stream)
            super().end(Termination.DONE, by_upstream=True)
        elif queued(end.other.stream):
            self._on_cut(end)
        elif end is self.upstream and self.upstream.moved == self._received_at_end:
            # It answers the client's close_notify by closing, as nginx does.  The
            # client is reset nevertheless, in case it waits for an answer.
            reset_on_close(self.client.stream)
            super().end(Termination.DONE)
        elif end is self.client and self._is_answered:
            # Many close so between two exchanges, and HAProxy logs it as an end in
            # order.  Both are reset nevertheless: a question or an answer may be cut.
            super().end(Termination.DONE, reset=True)
        else:
            super().on_lost(end)

    @property
    def _is_answered(self) -> bool:
        """Whether the upstream has answered, and nothing of it waits for the client.

        A client that has not read all that arrived would have sent a reset.
        """
        return bool(self.upstream.moved) and not self.client.pending

    def _on_cut(self, end: TLSSide) -> None:
        """Have the other peer get what this one sent, before it is reset."""
        self._cut = end
        for side in (self.client, self.upstream):
            side.stops_reading = True
            side.watch()
        self.on_half_closed()

    def check(self, now: float) -> None:
        if self._cut is not None and not queued(self._cut.other.stream):
            super().on_lost(self._cut)
        else:
            super().check(now)

    def end(
        self,
        termination: Termination,
        *,
        reset: bool = False,
        by_upstream: bool = False,
    ) -> None:
        if self.over:
            return
        if termination is Termination.DONE and not self._ends_are_sent(by_upstream):
            return
        is_cut, self._cut = self._cut is not None, None
        super().end(termination, reset=reset or is_cut, by_upstream=by_upstream)

    def _ends_are_sent(self, by_upstream: bool) -> bool:
        """Whether each close_notify is sent, or has room when the stream is closed."""
        for side in (self.client, self.upstream):
            if side.tls is not None and queued(side.stream) and not self.over:
                side.send_end()
        if self.over:
            return False
        if self.client.is_ending or self.upstream.is_ending:
            self._ends_by_upstream = by_upstream
            return False
        return True
