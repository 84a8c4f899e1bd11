"""How a request of HTTP mode comes to a connection: bound, idle, or new."""

from abc import abstractmethod

from lbconsul.balance.upstream import Lease, Upstream
from lbconsul.errors import AllFull
from lbconsul.net.stream import Stream
from lbconsul.proxy.dialer import DialAttempt, OwnInstance
from lbconsul.proxy.http_bound import BoundUpstream
from lbconsul.proxy.http_request import ForwardedRequest
from lbconsul.proxy.http_side import Part
from lbconsul.proxy.http_upstream import UpstreamConnection
from lbconsul.proxy.upstream_handshake import HandshakeDial
from lbconsul.proxy.upstream_header import upstream_header
from lbconsul.stats.termination import Termination

#: A connection for a request that cannot be sent twice must not have been idle for
#: longer, in seconds: its server may be about to end it.
FRESH = 1.0


class DialedRequest(ForwardedRequest):
    """Finds a connection for one request, and sends it there."""

    #: The instance that its client comes to.
    _own: OwnInstance | None = None

    def begin(self, body: Part) -> None:
        """Find an upstream, and send it the request with this beginning of the body.

        :raises Refused: the body is too large.
        """
        fields = self.head.fields
        if fields.body:
            self._body, self.received = bytes(body), len(body)
            self.awaits_continue = fields.expects_continue
            self._check_size(max(len(body), fields.length))
        budget = self._settings.retry_budget
        if budget is not None:
            budget.add_request()
        bound = self._session.bound
        if bound is not None and self._takes(bound):
            return
        lease, prefers = None, self._session.prefers
        if prefers is not None:
            lease = self._row.dialer.failover.lease_instance(prefers)
        if lease is None and self._settings.sticky is not None:
            own = self._own = self._settings.sticky.own(
                self._row.dialer.failover, self.plan.tokens, self.begun_at
            )
            if own is not None:
                self._connect_or_wait(own)
                return
        if lease is None:
            lease = self._row.dialer.lease(self.plan.key)
        if lease is None:
            self._connect(None, self.begun_at)
        else:
            self._go_to(lease, self.begun_at)

    def _connect_or_wait(self, own: OwnInstance) -> None:
        """Send the request to its client's instance, once that is not full."""
        try:
            lease = own.lease(self.begun_at)
        except AllFull:
            lease = None
        if lease is None:
            self._connect(None, self.begun_at)
        else:
            self._go_to(lease, self.begun_at)

    def connect(self, lease: Lease, body: bytes) -> None:
        """Connect to the upstream of the lease, which has no idle connection.

        `body` is all of it.
        """
        self._body, self.received = body, len(body)
        budget = self._settings.retry_budget
        if budget is not None:
            budget.add_request()
        self._connect(lease, self.begun_at)

    def _takes(self, bound: BoundUpstream) -> bool:
        """Whether the request goes to the upstream that knows its client."""
        if bound.settings is not self._settings:
            return False
        if not bound.is_usable:
            self._session.unbind()
            return False
        self._session.bound = None
        self.lease, self.connecting_at = bound.lease, self.begun_at
        self._send(bound.connection, self.begun_at)
        return True

    def _go_to(self, lease: Lease, now: float) -> None:
        """Send it to the upstream of the lease, on an idle connection or a new one."""
        newer = 0.0 if self.plan.is_idempotent else FRESH
        kept = self._settings.idle.take(lease.upstream, now, newer)
        if kept is None:
            self._connect(lease, now)
        else:
            self.lease, self.connecting_at = lease, now
            self._send(kept, now)

    def _connect(self, lease: Lease | None, now: float) -> None:
        """Connect to an upstream, that of the lease first."""
        row, handshake = self._row, self._row.upstream_handshake
        if handshake is None:
            dial = self._dial = DialAttempt(row.dialer, self, now)
        else:
            header, session = b"", self._session
            if handshake.header != "off":
                server = session.sock.getsockname()
                header = upstream_header(
                    handshake.header, session.address, server, session.info
                )
            dial = self._dial = HandshakeDial(row.dialer, handshake, self, now, header)
        dial.tried = list(self._tried)
        dial.key = self.plan.key
        if not self._tried:
            dial.own = self._own
        if lease is not None:
            dial.connect_to(lease)
        else:
            if self.plan.is_idempotent:
                dial.reuse = self._reuse
            dial.start()
        if self._dial is not None:
            self._session.pause_body()

    def _reuse(self, upstream: Upstream) -> Stream | None:
        """An idle connection's stream, for a dial that had to wait."""
        kept = self._settings.idle.take(upstream, self._row.clock.seconds())
        if kept is None:
            return None
        kept.poller.removeReader(kept)
        return kept.stream

    # Called by the dial.

    def on_connected(self, upstream: Stream) -> None:
        """Send the request to the upstream that accepted."""
        dial, row, settings = self._dial, self._row, self._settings
        assert dial is not None and dial.lease is not None
        self._dial = None
        now = row.clock.seconds()
        lease = self.lease = dial.lease
        self.retries += len(dial.tried) - len(self._tried)
        self.connecting_at = dial.since
        connection = self.upstream = UpstreamConnection(
            upstream,
            row.relaying,
            settings.responses,
            lease.upstream,
            settings.idle,
        )
        if dial.is_reused:
            connection.is_reused = True
        else:
            row.stats.connected(lease.instance.identity, now - dial.since)
        try:
            connection.resume()
        except OSError:  # the kernel watches no more sockets
            self.on_upstream_failed(Termination.STARVED)
            return
        self._send(connection, now)
        if self.upstream is not None and not connection.is_full:
            self._session.resume_body()

    @abstractmethod
    def on_failed(self, termination: Termination) -> None:
        """There is no upstream."""

    def on_starved(self) -> None:
        """Let the listener pause: descriptors or memory ran out."""
        self._row.observer.on_starved()
