"""One exchange of HTTP mode: a request, and the response that is had for it."""

from collections.abc import Sequence
from typing import Protocol

from lbconsul.balance.instance import Instance
from lbconsul.balance.upstream import Lease, Outcome, Upstream
from lbconsul.errors import NoUpstream
from lbconsul.http.accept import accept_of
from lbconsul.http.errors import Refused
from lbconsul.http.head import CHUNKED, UNTIL_CLOSE
from lbconsul.http.response import ResponseHead, without_coding
from lbconsul.net.sockets import BareSocket, has_ended
from lbconsul.net.splice import Pipe
from lbconsul.net.stream import Stream
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.proxy.dialer import DialAttempt
from lbconsul.proxy.http_bound import BoundUpstream
from lbconsul.proxy.http_plan import Plan, host_of
from lbconsul.proxy.http_retry import RETRIED, HeldResponse
from lbconsul.proxy.http_settings import HTTPSettings
from lbconsul.proxy.http_side import HTTPSide
from lbconsul.proxy.http_upstream import UpstreamConnection
from lbconsul.proxy.retry import lease_next
from lbconsul.proxy.tcp_session import PROBE_TIMEOUT
from lbconsul.proxy.upstream_handshake import HandshakeDial
from lbconsul.proxy.upstream_header import upstream_header
from lbconsul.stats.termination import Termination

#: The longest body that is kept to be sent again, in bytes.
_MOST_KEPT = 65536

#: A connection for a request that cannot be sent twice must not have been idle for
#: longer, in seconds: its server may be about to end it.
_FRESH = 1.0

#: A status that has a client send its body, and after how many seconds without it the
#: client is told so anyway: curl waits for as long.
_CONTINUE, _CONTINUE_AFTER = 100, 1.0

#: Why another instance is tried in any case: that of the request leaves.
_LEFT = "left"

#: From here on a status says that the server failed.
_SERVER_ERROR = 500

#: The status of an answer in place of an upstream, by why there is none.
_STATUS_OF = {
    Termination.REFUSED: 503,
    Termination.CONNECT_TIMEOUT: 504,
    Termination.UPSTREAM_TLS_FAILED: 502,
    Termination.BAD_RESPONSE: 502,
    Termination.UPSTREAM_LEFT: 502,
    Termination.QUEUE_TIMEOUT: 503,
    Termination.QUEUE_FULL: 503,
    Termination.STARVED: 503,
}


class ExchangeUser(Protocol):
    """What requests come from: a client's session."""

    @property
    def address(self) -> object:
        """The client's address."""

    @property
    def sock(self) -> BareSocket:
        """The client's socket, below any TLS."""

    @property
    def info(self) -> ClientInfo | None:
        """What is known of the client from its handshake, if there was one."""

    @property
    def is_in_body(self) -> bool:
        """Whether more of the request's body is to come."""

    @property
    def read_at(self) -> float:
        """When the request was complete, in the reactor's time."""

    @property
    def is_full(self) -> bool:
        """Whether there is something to be sent to the client."""

    @property
    def side(self) -> HTTPSide:
        """The client's connection."""

    def send_pipe_or_end(self, pipe: Pipe) -> bool:
        """The same for what a pipe holds."""

    @property
    def settings(self) -> HTTPSettings:
        """What the sessions of its mapping share."""

    #: The upstream that has authenticated the client's connection, if one has.
    bound: BoundUpstream | None

    def unbind(self) -> None:
        """Close its connection."""

    def pause_body(self) -> None:
        """Read no more of the body for now."""

    def resume_body(self) -> None:
        """Read on."""

    def send(self, data: bytes) -> None:
        """Send to the client.

        :raises OSError: it has gone.
        """

    def send_or_end(self, data: bytes) -> bool:
        """Send to the client; returns false if it has gone, and all is over."""

    def answer(self, status: int, termination: Termination) -> None:
        """Answer in place of an upstream."""

    def upgrade(self, exchange: "Exchange", answer: bytes) -> None:
        """Relay from now on; `answer` goes to the client first."""

    def check_progress(self, now: float, received: int, least: int) -> None:
        """End all if bodies have come to a standstill."""

    def on_exchange_over(self) -> None:
        """The response is over, and the request, or the connection ends with it."""

    def end(self, termination: Termination) -> None:
        """Close the client's connection."""


class Exchange:
    """Has an upstream answer one request of a session.

    Times are the reactor's, in seconds.
    """

    # Each request makes one: what few of them have is a default of the class, not an
    # assignment.

    #: When the connect to the upstream that answers began, the request was sent to it,
    #: and the head of the response came; 0 before.
    connecting_at = sent_at = answered_at = 0.0
    #: Its use of an upstream, and the connection, once there is one.
    lease: Lease | None = None
    upstream: UpstreamConnection | None = None
    #: The last instance that did not accept, if none did.
    failed: Instance | None = None
    #: Whether the upstream's connection had been kept idle.
    is_reused = False
    _dial: DialAttempt | None = None
    #: The body as far as it has come, to be sent, or sent again; None if it is not kept
    #: any more.
    _body: bytes | None = b""
    #: Whether the client waits to be told to send the body.
    awaits_continue = False
    #: Bytes of bodies from the client, and from the upstream.
    received = sent = 0
    #: Bytes of the head of the response.
    head_sent = 0
    #: The status of the response; 0 before there is one.
    status = 0
    #: Why the response is one of the gateway's own, in a word, and in detail.
    reason = error = ""
    #: Whether the response is over.
    is_answered = False
    #: How often it was tried again: connects, and requests that were sent again.
    retries = 0
    #: The upstreams that answered with an error, or not at all, and a response of the
    #: last that did, in case that no other one is better.
    _tried: Sequence[Upstream] = ()
    _held: HeldResponse | None = None

    def __init__(
        self,
        session: ExchangeUser,
        plan: Plan,
        request_id: bytes,
        since: float,
        now: float,
    ) -> None:
        self._session = session
        self.plan = plan
        #: The mapping or route that serves it, and its settings.
        self._row = plan.row
        settings = self._settings = plan.settings
        settings.active += 1
        head = self.head = plan.head
        self.raw = head.raw
        self.request_id = request_id
        #: When the first byte of the request came, and when its head was complete.
        self.since = since
        self.begun_at = now
        #: Whether the client's connection ends with it.
        self.close = head.fields.close

    # The request.

    def begin(self, body: bytes) -> None:
        """Find an upstream, and send it the request with this beginning of the body.

        :raises Refused: the body is too large.
        """
        fields = self.head.fields
        if fields.body:
            self._body, self.received = body, len(body)
            self.awaits_continue = fields.expects_continue
            self._check_size(max(len(body), fields.length))
        budget = self._settings.retry_budget
        if budget is not None:
            budget.add_request()
        bound = self._session.bound
        if bound is not None and self._takes(bound):
            return
        lease = self._row.dialer.lease()
        if lease is None:
            self._connect(None, self.begun_at)
        else:
            self._go_to(lease, self.begun_at)

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
        newer = 0.0 if self.plan.is_idempotent else _FRESH
        kept = self._settings.idle.take(lease.upstream, now, newer)
        if kept is None:
            self._connect(lease, now)
        else:
            self.lease, self.connecting_at = lease, now
            self._send(kept, now)

    def _check_size(self, size: int) -> None:
        """Refuse a body of so many bytes, with the sizes of its chunks, if too many."""
        most = self._settings.mapping.http.max_body
        if size > most > 0:
            raise Refused(413, f"its body has {size} bytes: max-body={most}")

    def add_body(self, part: bytes) -> None:
        """Pass on more of the request's body.

        :raises Refused: it is too large.
        """
        self.received += len(part)
        if self.head.fields.body == CHUNKED:
            self._check_size(self.received)
        if self._body is not None:
            self._body += part
        upstream = self.upstream
        if upstream is None:
            return  # it goes with the head
        if self._body is not None and len(self._body) > _MOST_KEPT:
            self._body = None
        try:
            upstream.send(part)
        except OSError:
            self.on_upstream_failed(Termination.UPSTREAM_LEFT)
            return
        if upstream.is_full:
            self._session.pause_body()

    def add_pipe(self, pipe: Pipe) -> None:
        """Pass on more of the request's body, which a pipe holds."""
        upstream, self._body = self.upstream, None
        assert upstream is not None
        self.received += pipe.held
        try:
            upstream.send_pipe(pipe)
        except OSError:
            self.on_upstream_failed(Termination.UPSTREAM_LEFT)
            return
        if upstream.is_full:
            self._session.pause_body()

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

    def on_failed(self, termination: Termination) -> None:
        """Answer that there is no upstream."""
        dial = self._dial
        assert dial is not None
        self.retries += len(dial.tried) - len(self._tried)
        if dial.tried:
            self.failed = dial.tried[-1].instance
            self.connecting_at = self.connecting_at or dial.since
        self._dial = None
        if termination not in _STATUS_OF:
            self._session.end(termination)
        elif self._held is not None:
            self._pass_held(self._held)
        else:
            self._session.answer(_STATUS_OF[termination], termination)

    def on_starved(self) -> None:
        """Let the listener pause: descriptors or memory ran out."""
        self._row.observer.on_starved()

    def _send(self, upstream: UpstreamConnection, now: float) -> None:
        """Send the request, as far as it has come."""
        self.upstream, self.sent_at = upstream, now
        self.is_reused = upstream.is_reused
        head, session, plan = self.head, self._session, self.plan
        lines = plan.lines
        if self._settings.edits:
            instance = upstream.instance
            host = host_of(instance.address, instance.port)
            lines = plan.lines_for(self.request_id, host)
        if not plan.request_id:
            lines += b"X-Request-ID: %b\r\n" % self.request_id
        request = b"%b%b\r\n%b" % (plan.line, lines, self._body or b"")
        if head.fields.binds:
            upstream.is_bound = True
        try:
            upstream.begin(self, request, head)
        except OSError:  # nothing was sent
            self._on_failed_at(upstream, Termination.UPSTREAM_LEFT, is_safe=True)
            return
        if not self.plan.is_idempotent:
            self._body = None  # it is not sent again
        if upstream.is_full:
            session.pause_body()

    # Called by the upstream's connection.

    def on_interim(self, head: ResponseHead) -> None:
        """Pass on a response below 200, which HTTP/1.0 does not have."""
        if head.status == _CONTINUE:
            self.awaits_continue = False
        session = self._session
        if not self.head.fields.minor:
            return
        is_there = session.send_or_end(head.line + head.fields.lines + b"\r\n")
        if is_there and session.is_full and self.upstream is not None:
            self.upstream.pause()

    def on_head(self, head: ResponseHead, part: bytes, is_over: bool) -> None:
        """Pass on the head of the response, with the beginning of the body."""
        lease = self.lease
        assert lease is not None
        if lease.upstream.record is not None or head.status >= _SERVER_ERROR:
            self._judge(lease, failed=head.status >= _SERVER_ERROR)
        if head.status in RETRIED and self._settings.retry_budget is not None:
            assert self.upstream is not None
            other = self._other(RETRIED[head.status])
            if other is not None:
                self._hold(HeldResponse(lease, self.upstream, head, part, is_over))
                self._retry(other)
                return
        if self._held is not None:
            self._leave_held()
        self._pass_head(head, part, is_over)

    def _pass_head(self, head: ResponseHead, part: bytes, is_over: bool) -> None:
        session, fields = self._session, head.fields
        self.status = head.status
        self.answered_at = self._row.clock.seconds()
        self._body = None
        if fields.binds and self.upstream is not None:
            self.upstream.is_bound = True
        lines = fields.lines
        if fields.body == CHUNKED and not self.head.fields.minor:
            lines, self.close = without_coding(lines), True
        if (
            fields.body == UNTIL_CLOSE
            or session.settings.is_draining
            # The client may send the body that it announced, or not.
            or (self.head.fields.expects_continue and session.is_in_body)
        ):
            self.close = True
        if self._settings.edits_responses:
            waited = self.answered_at - self.sent_at
            lines = self.plan.response_lines(lines, fields, self.request_id, waited)
        if self.close:
            lines += b"Connection: close\r\n"
        elif not self.head.fields.minor:
            lines += b"Connection: keep-alive\r\n"
        self.head_sent = len(head.line) + len(lines) + 2
        self._pass_on(b"%b%b\r\n%b" % (head.line, lines, part), len(part), is_over)

    def on_body(self, part: bytes, is_over: bool) -> None:
        """Pass on more of the body."""
        self._pass_on(part, len(part), is_over)

    def _pass_on(self, data: bytes, length: int, is_over: bool) -> None:
        session = self._session
        self.sent += length
        if data:
            try:
                session.send(data)
            except OSError:
                session.end(Termination.CLIENT_RESET)
                return
        if is_over:
            self.is_answered = True
            if self.close or not (self.head.fields.body and session.is_in_body):
                session.on_exchange_over()
        elif session.is_full and self.upstream is not None:
            self.upstream.pause()

    def take_pipe(self, upstream: HTTPSide) -> bool:
        """Whether more of the body was spliced to the client."""
        session = self._session
        pipe = upstream.take_pipe(session.side)
        if pipe is None:
            return False
        self.sent += pipe.held
        if session.send_pipe_or_end(pipe) and session.is_full:
            upstream.pause()
        return True

    def on_upstream_sent(self) -> None:
        """What had no room at the upstream is sent: the request goes on."""
        self._session.resume_body()

    def on_upgraded(self, head: ResponseHead, rest: bytes) -> None:
        """Both sides speak another protocol from now on."""
        self.status = head.status
        self.answered_at = self._row.clock.seconds()
        assert self.lease is not None
        self.lease.showed(Outcome.SUCCESS)
        self._leave_held()
        answer = head.line + head.fields.lines + b"\r\n"
        self.head_sent = len(answer)
        self._session.upgrade(self, answer + rest)

    def on_upstream_failed(self, termination: Termination) -> None:
        """Try again, where that is safe; else the client learns of it."""
        assert self.upstream is not None
        self._on_failed_at(self.upstream, termination, is_safe=self.plan.is_idempotent)

    def _on_failed_at(
        self, upstream: UpstreamConnection, termination: Termination, *, is_safe: bool
    ) -> None:
        """The connection failed; `is_safe`: nothing speaks against a repetition."""
        lease, session = self.lease, self._session
        assert lease is not None
        is_early = termination is Termination.UPSTREAM_LEFT and not upstream.has_begun
        upstream.close()
        self.upstream = None
        if self.is_answered:
            # The response is complete; the rest of the request has no reader.
            self.close = True
            session.on_exchange_over()
            return
        if self.status:
            session.end(termination)
            return
        if is_early and upstream.is_reused and is_safe and self._body is not None:
            # The upstream ended the connection while it was idle: a new one tells.
            self.lease = None
            self.retries += 1
            self._connect(lease, self._row.clock.seconds())
            return
        if is_early and not upstream.is_reused:
            lease.showed(Outcome.EARLY_CLOSE)
        elif not is_early and termination is not Termination.STARVED:
            self._judge(lease, failed=True, proves=True)
        reason = "" if termination is Termination.STARVED else "502"
        self._try_elsewhere(reason, _STATUS_OF[termination], termination)

    def _judge(self, lease: Lease, *, failed: bool, proves: bool = False) -> None:
        """Report a response, or that none came, where it counts.

        A server error that the mapping does not count shows that the upstream answers;
        what `proves` a fault counts for a probe in any case.
        """
        counts = self._settings.mapping.http.eject_5xx or (proves and lease.probing)
        if failed and counts:
            lease.showed(Outcome.ERROR)
        elif not proves:
            lease.showed(Outcome.SUCCESS)

    # Retries.

    def _other(self, reason: str) -> Lease | None:
        """A lease on another upstream, if the request may be sent to it for `reason`.

        No dial that waits for an upstream goes after it, nor does it wait itself.
        """
        settings, dialer, lease = self._settings, self._row.dialer, self.lease
        is_wanted = reason in settings.mapping.http.retry_on
        if (
            lease is None
            or not (is_wanted or reason is _LEFT)
            or not self.plan.is_idempotent
            or self._body is None
            or len(self._body) > _MOST_KEPT
            or self._session.is_in_body
            or dialer.wait_queue.queues
        ):
            return None
        tried = [*self._tried, lease.upstream]
        try:
            other = lease_next(dialer.failover, tried, dialer.attempts)
        except NoUpstream:
            return None
        budget = settings.retry_budget
        if is_wanted and budget is not None and not budget.take():
            other.end()
            return None
        self._tried = tried
        return other

    def _retry(self, lease: Lease) -> None:
        """Send the request once more, to another upstream."""
        self.lease = None
        self.retries += 1
        self._go_to(lease, self._row.clock.seconds())

    def _try_elsewhere(
        self, reason: str, status: int, termination: Termination
    ) -> None:
        """The upstream does not answer: another one does, or one did, or `status`."""
        other = self._other(reason)
        self.leave_upstream()
        if other is not None:
            assert self.lease is not None
            self.lease.end()
            self._retry(other)
        elif self._held is not None:
            self._pass_held(self._held)
        else:
            self._session.answer(status, termination)

    def _hold(self, held: HeldResponse) -> None:
        """Keep a response, and read no more of it."""
        self._leave_held()
        self._held = held
        held.wait()
        self.upstream = None

    def _pass_held(self, held: HeldResponse) -> None:
        """Pass on the last response that there was: no other is had."""
        if self.lease is not None:
            self.lease.end()
        self._held = None
        self.lease, self.upstream = held.lease, held.upstream
        held.upstream.resume()
        self._pass_head(held.head, held.part, held.is_over)

    def _leave_held(self) -> None:
        if self._held is not None:
            self._held.leave(self._row.clock.seconds())
            self._held = None

    def end(self, termination: Termination) -> None:
        """End with the client's connection."""
        self._session.end(termination)

    # Called by the session.

    def answer(self, status: int, reason: str) -> bytes:
        """The answer with this status in place of an upstream, for this reason."""
        return self._settings.answers.answer(
            status,
            accept=accept_of(self.head.fields.raw),
            request_id=self.request_id,
            close=self.close,
            is_head=self.head.method == b"HEAD",
            reason_code=reason,
        )

    def redirect(self, status: int, location: bytes) -> bytes:
        """The answer that sends the client to another URL."""
        return self._settings.answers.redirect(
            status, location, request_id=self.request_id, close=self.close
        )

    def leaves_instance(self) -> bool:
        """Give up an instance that gets no more requests, if no response has begun.

        The client gets that of another instance, or 503.
        """
        if self.status or self.upstream is None:
            return False
        self._try_elsewhere(_LEFT, 503, Termination.LEFT)
        return True

    def check(self, now: float) -> None:
        """Check the time limits, and whether the client left a dial."""
        http, session, dial = self._settings.mapping.http, self._session, self._dial
        lease = self.lease
        if lease is not None and lease.probing and now - self.sent_at >= PROBE_TIMEOUT:
            lease.put_off()
        if now - self.begun_at >= http.request_timeout > 0:
            self._time_out(Termination.REQUEST_TIMEOUT)
        elif dial is not None:
            if has_ended(session.sock):
                waits = dial.is_waiting
                left = Termination.QUEUE_LEFT if waits else Termination.CLIENT_LEFT
                session.end(left)
            else:
                dial.check(now)
        elif not (session.is_in_body or self.status):
            waited = now - max(self.sent_at, session.read_at)
            if waited >= http.response_timeout > 0:
                self._time_out(Termination.RESPONSE_TIMEOUT)
        else:
            if self.awaits_continue and now - self.sent_at >= _CONTINUE_AFTER:
                self._continue()
            received = 0 if self.upstream is None else self.upstream.moved
            session.check_progress(now, received, http.min_rate)

    def _continue(self) -> None:
        """Tell a client to send the body that it holds back.

        Some servers do not know that it waits, and some clients wait for ever, although
        they should not (RFC 9110, 10.1.1).
        """
        self.awaits_continue = False
        if not (self.received or self.status):
            self._session.send_or_end(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _time_out(self, termination: Termination) -> None:
        """Answer who is late, or end a response that takes too long."""
        session, lease = self._session, self.lease
        if self.status:
            session.end(termination)
        else:
            if lease is not None and not session.is_in_body:
                self._judge(lease, failed=True, proves=True)
            is_late = termination is Termination.RESPONSE_TIMEOUT
            self._try_elsewhere(
                "timeout" if is_late else "",
                408 if session.is_in_body else 504,
                termination,
            )

    def leave_upstream(self) -> None:
        """End the dial, or the connection to the upstream."""
        if self._dial is not None:
            self._dial.cancel()
            self._dial = None
        if self.upstream is not None:
            self.upstream.close()
            self.upstream = None

    def _bind(self, upstream: UpstreamConnection) -> bool:
        """Whether the connection is kept for further requests of its client alone."""
        if self.close or upstream.is_full or not upstream.is_reusable:
            return False
        assert self.lease is not None
        upstream.user, upstream.is_reused = None, True
        self._session.unbind()
        self._session.bound = BoundUpstream(self._settings, self.lease, upstream)
        return True

    def finish(self, now: float, *, is_whole: bool) -> None:
        """Release the upstream; `is_whole` says that all of the request was read.

        It is counted and logged before.
        """
        row, lease, upstream = self._row, self.lease, self.upstream
        self._settings.active -= 1
        if self._held is not None:
            self._leave_held()
        is_bound = False
        if upstream is not None:
            if not (is_whole and self.is_answered):
                upstream.is_reusable = False
            self.upstream = None
            is_bound = upstream.is_bound and self._bind(upstream)
            if not is_bound:
                upstream.release(now)
        if lease is not None:
            if not is_bound:
                lease.end()
            if row.wait_queue.queues:
                row.wait_queue.dispatch()
        if row.mapping.route and row.observer.awaits_end:
            row.observer.on_ended(row)
