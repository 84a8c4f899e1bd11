"""How the response of an exchange comes to its client."""

from lbconsul.http.head import CHUNKED, UNTIL_CLOSE
from lbconsul.http.response import ResponseHead, without_coding
from lbconsul.proxy.http_compression import CompressedResponse
from lbconsul.proxy.http_side import HTTPSide, Part
from lbconsul.proxy.http_sticky import kept_private

#: The status that has a client send its body.
_CONTINUE = 100


class AnsweredRequest(CompressedResponse):
    """Passes on the response to one request."""

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

    def on_body(self, part: Part, is_over: bool) -> None:
        """Pass on more of the body."""
        if self.encoded_body is None:
            self._send_on(b"", part, is_over)
        else:
            self._pass_encoded(b"", part, is_over)

    def pass_pipe(self, upstream: HTTPSide) -> bool:
        """Whether more of the body was spliced to the client."""
        session = self._session
        if self.encoded_body is not None:
            return False
        pipe = upstream.take_pipe(session)
        if pipe is None:
            return False
        self.sent += pipe.held
        if session.send_pipe_or_end(pipe) and session.is_full:
            upstream.pause()
        return True

    def on_upstream_sent(self) -> None:
        """What had no room at the upstream is sent: the request goes on."""
        self._session.resume_body()

    def on_request_cut(self) -> None:
        """Discard what is still to come of the body."""
        self.is_cut = True
        self._session.resume_body()

    def _pass_head(self, head: ResponseHead, part: Part, is_over: bool) -> None:
        """Pass on the head of the response, with the beginning of the body."""
        session, fields = self._session, head.fields
        self.status = head.status
        self.answered_at = self._row.clock.seconds()
        self._body = None
        if fields.binds and self.upstream is not None:
            self.upstream.is_bound = True
        lines = fields.lines
        if fields.body == CHUNKED and not self.head.fields.minor:
            lines, self.close = without_coding(lines), True
        if not head.sent:
            lines += self._settings.answers.date.line()
        if (
            fields.body == UNTIL_CLOSE
            or session.settings.is_draining
            # The client may send the body that it announced, or not; or all of it,
            # for nothing.
            or (
                (self.is_cut or self.head.fields.expects_continue)
                and session.is_in_body
            )
        ):
            self.close = True
        if self._settings.compressing is not None:
            lines = self._with_coding(head, lines, part, is_over)
        if self._settings.edits_responses:
            waited = self.answered_at - self.sent_at
            lines = self.plan.response_lines(lines, fields, self.request_id, waited)
            if self._settings.logs_responses:
                self.response_fields = fields.raw
        if self._settings.sticky is not None or self.plan.set_cookie:
            lines += self._own_lines(lines)
        if self.close:
            lines += b"Connection: close\r\n"
        elif not self.head.fields.minor:
            lines += b"Connection: keep-alive\r\n"
        self.head_sent = len(head.line) + len(lines) + 2
        sent_head = b"%b%b\r\n" % (head.line, lines)
        if self.encoded_body is None:
            self._send_on(sent_head, part, is_over)
        else:
            self._pass_encoded(sent_head, part, is_over)

    def _own_lines(self, lines: bytes) -> bytes:
        """What a response with these lines has beside them, so that its client comes
        again.
        """
        sticky, lease, plan = self._settings.sticky, self.lease, self.plan
        own = plan.set_cookie
        if sticky is not None and lease is not None:
            failover, tokens = self._row.dialer.failover, plan.tokens
            own += sticky.lines(failover, lease.upstream, tokens, plan.scheme)
        return kept_private(own, lines)

    def _pass_upgrade(self, head: ResponseHead, rest: bytes) -> None:
        """Have both sides speak another protocol from now on."""
        self.status = head.status
        self.answered_at = self._row.clock.seconds()
        lines = head.fields.lines
        answer = b"%b%b%b\r\n" % (head.line, lines, self._own_lines(lines))
        if self._settings.logs_responses:
            self.response_fields = head.fields.raw
        self.head_sent = len(answer)
        self._session.upgrade(answer + rest)
