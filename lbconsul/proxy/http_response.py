"""How the response of an exchange comes to its client."""

from lbconsul.http.head import CHUNKED, UNTIL_CLOSE
from lbconsul.http.response import ResponseHead, without_coding
from lbconsul.proxy.http_dial import DialedRequest
from lbconsul.proxy.http_side import HTTPSide, Part
from lbconsul.stats.termination import Termination

#: The status that has a client send its body.
_CONTINUE = 100


class AnsweredRequest(DialedRequest):
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
        self._pass_on(b"", part, is_over)

    def pass_pipe(self, upstream: HTTPSide) -> bool:
        """Whether more of the body was spliced to the client."""
        session = self._session
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
        if self._settings.edits_responses:
            waited = self.answered_at - self.sent_at
            lines = self.plan.response_lines(lines, fields, self.request_id, waited)
            if self._settings.logs_responses:
                self.response_fields = fields.raw
        if self.close:
            lines += b"Connection: close\r\n"
        elif not self.head.fields.minor:
            lines += b"Connection: keep-alive\r\n"
        self.head_sent = len(head.line) + len(lines) + 2
        self._pass_on(b"%b%b\r\n" % (head.line, lines), part, is_over)

    def _pass_on(self, head: bytes, part: Part, is_over: bool) -> None:
        session = self._session
        self.sent += len(part)
        try:
            if head:
                session.send_message(head, part)
            elif part:
                session.send(part)
        except OSError:
            session.end(Termination.CLIENT_RESET)
            return
        if is_over:
            self.is_answered = True
            if self.close or not (self.head.fields.body and session.is_in_body):
                session.on_exchange_over()
        elif session.is_full and self.upstream is not None:
            self.upstream.pause()

    def _pass_upgrade(self, head: ResponseHead, rest: bytes) -> None:
        """Have both sides speak another protocol from now on."""
        self.status = head.status
        self.answered_at = self._row.clock.seconds()
        answer = head.line + head.fields.lines + b"\r\n"
        if self._settings.logs_responses:
            self.response_fields = head.fields.raw
        self.head_sent = len(answer)
        self._session.upgrade(answer + rest)
