"""What a response, or the lack of one, says of its upstream; and the next one then."""

from lbconsul.balance.upstream import Lease, Outcome
from lbconsul.errors import NoUpstream
from lbconsul.http.response import ResponseHead
from lbconsul.proxy.http_held_response import HeldResponse
from lbconsul.proxy.http_request import MOST_KEPT
from lbconsul.proxy.http_response import AnsweredRequest
from lbconsul.proxy.http_side import Part
from lbconsul.proxy.http_upstream import UpstreamConnection
from lbconsul.proxy.retry import lease_next
from lbconsul.stats.termination import Termination

#: The values of `retry-on` by the status that they mean.
_RETRIED = {502: "502", 503: "503", 504: "504"}

#: Why another instance is tried in any case: that of the request leaves.
LEFT = "left"

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


class RetriedRequest(AnsweredRequest):
    """Sends one request to further upstreams, where that is safe, until one answers."""

    # Called by the dial.

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

    # Called by the upstream's connection.

    def on_head(self, head: ResponseHead, part: Part, is_over: bool) -> None:
        """Pass on the response that begins so, unless another one may be better."""
        lease = self.lease
        assert lease is not None
        if lease.upstream.record is not None or head.status >= _SERVER_ERROR:
            self._judge(lease, failed=head.status >= _SERVER_ERROR)
        if head.status in _RETRIED and self._settings.retry_budget is not None:
            assert self.upstream is not None
            other = self._other(_RETRIED[head.status])
            if other is not None:
                self._hold(HeldResponse(lease, self.upstream, head, part, is_over))
                self._retry(other)
                return
        if self._held is not None:
            self._leave_held()
        self._pass_head(head, part, is_over)

    def on_upgraded(self, head: ResponseHead, rest: bytes) -> None:
        """The upstream speaks another protocol from now on, `rest` first."""
        if not self.head.fields.upgrade:  # it was not asked for (RFC 9110, 15.2.2)
            self.on_upstream_failed(Termination.BAD_RESPONSE)
            return
        assert self.lease is not None
        self.lease.showed(Outcome.SUCCESS)
        self._leave_held()
        self._pass_upgrade(head, rest)

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
        self.upstream, self.is_cut = None, False
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

    # The next upstream.

    def _other(self, reason: str) -> Lease | None:
        """A lease on another upstream, if the request may be sent to it for `reason`.

        No dial that waits for an upstream goes after it, nor does it wait itself.
        """
        settings, dialer, lease = self._settings, self._row.dialer, self.lease
        is_wanted = reason in settings.mapping.http.retry_on
        if (
            lease is None
            or not (is_wanted or reason is LEFT)
            or not self.plan.is_idempotent
            or self._body is None
            or len(self._body) > MOST_KEPT
            or self._session.is_in_body
            or dialer.wait_queue.queues
        ):
            return None
        tried = [*self._tried, lease.upstream]
        try:
            other = lease_next(dialer.failover, tried, dialer.attempts, self.plan.key)
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

    def leave_upstream(self) -> None:
        """End the dial, or the connection to the upstream; it need not begin."""
        self.awaits_login = False
        if self._dial is not None:
            self._dial.cancel()
            self._dial = None
        if self.upstream is not None:
            self.upstream.close()
            self.upstream = None
