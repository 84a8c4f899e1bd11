"""One exchange of HTTP mode: a request, and the response that is had for it."""

from lbconsul.http.accept import accept_of
from lbconsul.net.sockets import has_ended
from lbconsul.proxy.http_bound import BoundUpstream
from lbconsul.proxy.http_login import LoggedInRequest
from lbconsul.proxy.http_retry import LEFT
from lbconsul.proxy.http_upstream import UpstreamConnection
from lbconsul.proxy.tcp_session import PROBE_TIMEOUT
from lbconsul.stats.termination import Termination

#: After how many seconds without a body a client that waits for ``100 Continue`` is
#: told so by the gateway: curl waits for as long.
_CONTINUE_AFTER = 1.0

_UNAUTHORIZED = 401


class Exchange(LoggedInRequest):
    """Has an upstream answer one request of a session, within time limits.

    Times are the reactor's, in seconds.
    """

    def answer(self, status: int, reason: str, retry_after: int = 0) -> bytes:
        """The answer with this status in place of an upstream, for this reason.

        The client is to come again after `retry_after` seconds; 0: that is not known.
        """
        return self._settings.answers.answer(
            status,
            accept=accept_of(self.head.fields.raw),
            request_id=self.request_id,
            close=self.close,
            is_head=self.head.method == b"HEAD",
            reason_code=reason,
            extra=self._settings.challenge if status == _UNAUTHORIZED else b"",
            retry_after=retry_after,
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
        self._try_elsewhere(LEFT, 503, Termination.LEFT)
        return True

    # Time limits.

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
            self._settings.log.moved(self)
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

    # The end.

    def end(self, termination: Termination) -> None:
        """End with the client's connection."""
        self._session.end(termination)

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
        if self.requests is not None:
            self.requests.end()
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
        if row.is_routed and row.observer.awaits_end:
            row.observer.on_ended(row)
