"""A TCP session: one client's connection, from accept to end."""

from bisect import bisect_left
from enum import Enum, auto
from math import inf
from typing import cast

from lbconsul.balance.upstream import Lease, Outcome
from lbconsul.net.connect import has_left
from lbconsul.net.sockets import BareSocket, address_text, unread
from lbconsul.net.stream import Stream
from lbconsul.net.sweeper import Checkable
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.proxy.dialer import DialAttempt
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.relay import Relay
from lbconsul.proxy.upstream_handshake import HandshakeDial, UpstreamHandshake
from lbconsul.proxy.upstream_header import upstream_header
from lbconsul.stats.causes import cause_of
from lbconsul.stats.termination import Termination
from lbconsul.stats.unhappy import UnhappyConnection
from lbconsul.stats.upstream import FIRST_BYTE, RECENT, UpstreamStats, halves

#: In seconds.  An upstream that closes a connection sooner, without a byte, counts as
#: an early close; a connection that lives longer counts as a success.
AT_ONCE = 1.0

#: How long a probe may go without a result before another may run, in seconds.
PROBE_TIMEOUT = 10.0


class SessionState(Enum):
    """How far a session has come."""

    #: The dial has begun, and may be decided at once.
    STARTING = auto()
    #: The dial takes time: the sweeper checks it.
    DIALING = auto()
    #: The client is joined to an upstream.
    RELAYING = auto()
    #: Closed, counted and logged.
    OVER = auto()


# Bound once: to read a member from its class takes 0.2 us in Python 3.11.
_STARTING, _DIALING, _RELAYING, _OVER = SessionState
_DONE, _UPSTREAM_RESET = Termination.DONE, Termination.UPSTREAM_RESET


class TcpSession:
    """Dials for an accepted client, then relays between it and the upstream.

    Judges what the connection shows of the upstream, counts it and logs its end.
    """

    __slots__ = (
        "_account",
        "_dial",
        "_expires",
        "_first_byte_by",
        "_joined_at",
        "_proxy",
        "_relay",
        "_retries",
        "accepted_at",
        "address",
        "begun_at",
        "client",
        "lease",
        "state",
    )

    #: Since RELAYING: the relay, when it began, when the connection reaches its age
    #: limit and when its client must have sent a byte (if there are such limits),
    #: connect attempts that failed before, and the use of the upstream.
    _relay: Relay
    _joined_at: float
    _expires: float
    _first_byte_by: float
    _retries: int
    lease: Lease
    #: The statistics of the upstream.
    _account: UpstreamStats

    #: What is known from the handshake; None: there was none.
    info: ClientInfo | None = None
    is_admitted = True

    def __init__(
        self,
        proxy: MappingProxy,
        client: Stream,
        address: object,
        accepted_at: float,
    ) -> None:
        self._proxy = proxy
        self.client = client
        self.address = address
        #: When the client was accepted, and when the search for an upstream began.
        self.accepted_at = self.begun_at = accepted_at
        self.state = _STARTING
        #: The dial, if the first connect was not over at once.
        self._dial: DialAttempt | None = None

    @property
    def row(self) -> MappingProxy:
        """The proxy that serves the client."""
        return self._proxy

    @property
    def is_over(self) -> bool:
        """Whether the session has ended."""
        return self.state is _OVER

    @property
    def is_relaying(self) -> bool:
        """Whether the client is joined to the upstream of `lease`."""
        return self.state is _RELAYING

    @property
    def moved_at(self) -> float:
        """When bytes last moved, once the client was joined to an upstream."""
        return self._relay.moved_at

    def start(self) -> None:
        """Dial an upstream for the client."""
        proxy = self._proxy
        try:
            key = None if proxy.key_of is None else proxy.key_of(self.address)
            begun = proxy.dialer.begin(key)
            if begun is not None:
                lease, sock, code = begun
                if sock is not None and not code:
                    self._join(lease, sock, self.begun_at, 0)
                    return
            if proxy.upstream_handshake is None:
                dial = self._dial = DialAttempt(proxy.dialer, self, self.begun_at)
            else:
                dial = self._dial = self._handshake_dial(proxy.upstream_handshake)
            dial.key = key
            if begun is None:
                dial.start()
            else:
                dial.go_on(*begun)
        except Exception:
            # A bug in lbconsul: report it, but leak nothing.
            self.end(Termination.INTERNAL)
            raise
        if self.state is _STARTING:
            self.state = _DIALING
            proxy.dial_sweeper.add(self)

    def check(self, now: float) -> None:
        """Check time limits, and whether the client of a dial left.

        Called by the sweepers.
        """
        if self.state is _RELAYING:
            if now >= self._expires:
                self._relay.end(Termination.AGED)
            elif now >= self._first_byte_by and self._is_silent():
                self._relay.end(Termination.FIRST_BYTE_TIMEOUT)
            else:
                self._relay.check(now)
        elif self.state is _DIALING:
            assert self._dial is not None
            if has_left(self._client_socket()):
                waits = self._dial.is_waiting
                self.end(Termination.QUEUE_LEFT if waits else Termination.CLIENT_LEFT)
            else:
                self._dial.check(now)

    def _handshake_dial(self, handshake: UpstreamHandshake) -> HandshakeDial:
        header, dialer = b"", self._proxy.dialer
        if handshake.header != "off":
            server = self._client_socket().getsockname()
            header = upstream_header(handshake.header, self.address, server, self.info)
        return HandshakeDial(dialer, handshake, self, self.begun_at, header)

    def _client_socket(self) -> BareSocket:
        # Without a handshake the stream is the socket itself.
        return cast(BareSocket, self.client)

    def _is_silent(self) -> bool:
        """Whether the client has sent no byte; if it has, that is not asked again."""
        if self._relay.client.moved:
            self._first_byte_by = inf
            return False
        return not unread(self.client)

    def end(self, termination: Termination) -> None:
        """Close the connection.  Later calls do nothing."""
        if self.state is _RELAYING:
            self._relay.end(termination)
        elif self.state is not _OVER:
            if self._dial is not None:
                self._dial.cancel()
            self.on_failed(termination)

    # Called by the dial.

    def on_failed(self, termination: Termination) -> None:
        """Close the client: no upstream was found, or none is needed any more."""
        proxy, dial = self._proxy, self._dial
        self._leave_dial(_OVER)
        self.client.close()
        proxy.not_served(self.address, self.accepted_at, termination, self.info, dial)
        proxy.closed(self)

    def on_starved(self) -> None:
        """Let the listener pause: descriptors or memory ran out."""
        self._proxy.observer.on_starved()

    def on_connected(self, upstream: Stream) -> None:
        """Relay between the client and the upstream that accepted."""
        dial = self._dial
        assert dial is not None and dial.lease is not None
        self._leave_dial(_STARTING)
        self._join(dial.lease, upstream, dial.since, len(dial.tried))

    def _leave_dial(self, state: SessionState) -> None:
        if self.state is _DIALING:
            self._proxy.dial_sweeper.items.discard(self)
        self.state = state
        self._dial = None  # which refers to the session

    def _join(self, lease: Lease, upstream: Stream, since: float, retries: int) -> None:
        """Relay; the connect began at `since`, after so many that failed."""
        proxy, self.lease, self._retries = self._proxy, lease, retries
        now = self._joined_at = proxy.clock.seconds()
        relay = self._relay = proxy.relay_type(
            proxy.relaying, self, self.client, upstream, now
        )
        self.state = _RELAYING  # from here on the relay's end closes all
        self._account = proxy.stats.connected(
            lease.upstream.instance.identity, now - since
        )
        # Without limits of its own the sweeper has no need of the session.
        checked: Checkable = relay
        if proxy.limits_sessions:
            self._set_limits(now)
            checked = self
        sweeper = proxy.session_sweeper
        sweeper.items.add(checked)
        if not sweeper.runs:
            sweeper.start()
        if lease.probing:
            proxy.clock.callLater(AT_ONCE, self._judge_probe)
        try:
            proxy.relaying.poller.addReader(relay.upstream, relay.client)
        except Exception:
            relay.end(Termination.INTERNAL, reset=True)
            raise

    def _set_limits(self, now: float) -> None:
        proxy, limits = self._proxy, self._proxy.mapping.timeouts
        self._expires = now + proxy.age_limit() if limits.max_age else inf
        self._first_byte_by = (
            self.begun_at + limits.first_byte if limits.first_byte else inf
        )

    # Called by the relay.

    def on_first_byte(self) -> None:
        """Count the time to the upstream's first byte, which proves a probe."""
        proxy = self._proxy
        seconds, histogram = proxy.clock.seconds(), proxy.stats.first_byte
        seconds -= self.begun_at
        index, account = bisect_left(FIRST_BYTE, seconds), self._account
        histogram.counts[index] += 1
        histogram.sum += seconds
        account.first_bytes[index] += 1
        account.answered = answered = account.answered + 1
        if not answered % RECENT:
            account.first_bytes = halves(account.first_bytes)
        if self.lease.probing:
            self.lease.showed(Outcome.SUCCESS)

    def on_moved(self, received: int, sent: int) -> None:
        """Count bytes of an open connection."""
        identity = self.lease.upstream.instance.identity
        self._proxy.stats.moved(identity, received, sent)

    def on_closed(self, termination: Termination, *, by_upstream: bool) -> None:
        """End the lease; count and log the connection."""
        self.state = _OVER
        proxy, relay, lease = self._proxy, self._relay, self.lease
        checked: Checkable = self if proxy.limits_sessions else relay
        proxy.session_sweeper.items.discard(checked)
        now = proxy.clock.seconds()
        # Success is nothing new of an upstream without failures.
        if lease.upstream.record is not None or not relay.upstream.moved:
            lived = now - self._joined_at >= AT_ONCE
            self._report_outcome(termination, by_upstream, lived)
        if proxy.upstream_handshake is not None and termination is _UPSTREAM_RESET:
            proxy.upstream_handshake.tell_lost(
                lease.upstream.instance, relay.upstream.stream
            )
        lease.end()
        received, sent = relay.client.moved, relay.upstream.moved
        proxy.stats.over(
            lease.upstream.instance.identity,
            received - relay.reported_received,
            sent - relay.reported_sent,
            now - self.accepted_at,
            termination.code,
        )
        if termination is not _DONE:
            self._note_unhappy(termination, now)
        if proxy.log.is_on:
            proxy.log.tell(
                self.address,
                self.accepted_at,
                lease.upstream,
                received,
                sent,
                self._retries,
                termination,
                self.info,
            )
        proxy.closed(self)

    def _note_unhappy(self, termination: Termination, now: float) -> None:
        """Keep the connection for the status, unless its client ended it."""
        if not termination.went_wrong:
            return
        identity = self.lease.upstream.instance.identity
        if termination is _UPSTREAM_RESET:
            self._account.failed(now, cause_of(termination.code))
        self._proxy.stats.unhappy.note(
            UnhappyConnection(
                now,
                address_text(self.address),
                identity,
                termination.code,
                retries=self._retries,
                seconds=now - self.accepted_at,
            )
        )

    # What the connection shows of the upstream.

    def _report_outcome(
        self, termination: Termination, by_upstream: bool, lived: bool
    ) -> None:
        """Report the outcome at the end; `lived` says that it took `AT_ONCE`."""
        lease = self.lease
        if self._relay.upstream.moved:
            lease.showed(Outcome.SUCCESS)
        elif by_upstream and not lived:
            lease.showed(Outcome.EARLY_CLOSE)
        elif lived and not lease.probing:
            lease.showed(Outcome.SUCCESS)
        elif termination is Termination.DONE and lease.upstream.record is not None:
            self._judge_silence()

    def _judge_silence(self) -> None:
        """Report an orderly close without a byte from the upstream."""
        if not self._relay.client.moved:
            if self.lease.probing:
                self.lease.showed(Outcome.EMPTY)
        elif not self._proxy.stats.is_answered:
            self.lease.showed(Outcome.SUCCESS)

    def _judge_probe(self) -> None:
        """Judge a probe of an ejected upstream that is open after `AT_ONCE`.

        The kernel accepts and buffers bytes for a hung upstream as well: if upstreams
        of this mapping answer, only an answer counts as a success.
        """
        if self.state is _OVER:
            return
        if not (self._relay.is_half_closed or self._proxy.stats.is_answered):
            self.lease.showed(Outcome.SUCCESS)
        else:
            later = PROBE_TIMEOUT - AT_ONCE
            self._proxy.clock.callLater(later, self._judge_long_probe)

    def _judge_long_probe(self) -> None:
        if self.state is _OVER:
            return
        if self._relay.is_half_closed or self._relay.client.moved:
            self.lease.put_off()  # no result: half-closed or no answer
        else:
            self.lease.showed(Outcome.SUCCESS)
