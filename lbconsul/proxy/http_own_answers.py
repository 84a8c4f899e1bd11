"""The gateway's own answers in HTTP mode, and the end in order after them."""

import socket
from abc import abstractmethod
from contextlib import suppress

from lbconsul.http.accept import accept_of
from lbconsul.http.errors import Refused
from lbconsul.http.request import RequestHead
from lbconsul.limits.row_limits import ClientLimits, Refusal
from lbconsul.proxy.answer_reasons import reason_of
from lbconsul.proxy.http_client_side import CLOSING, WAITING, HTTPClientSide
from lbconsul.proxy.http_exchange import Exchange
from lbconsul.proxy.http_plan import Plan, Planner
from lbconsul.proxy.http_settings import new_request_id
from lbconsul.proxy.http_upstream import UpstreamConnection
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.request_record import RequestRecord
from lbconsul.proxy.request_texts import RequestTexts
from lbconsul.stats.termination import Termination

_NOT_FOUND = 404


class AnsweringSide(HTTPClientSide):
    """Answers a client where no upstream does."""

    __slots__ = (
        "_begun", "_carrier", "_last_moved", "_planner", "_proxy", "_refusal", "_texts",
    )  # fmt: skip

    # Set by the class that is made.
    _proxy: MappingProxy
    #: None until a request needs a plan of this client's own.
    _planner: Planner | None
    #: What is under way, unless it is an ordinary request.
    _begun: Exchange | None
    #: Where the response to an ordinary request comes from, while one is under way.
    _carrier: UpstreamConnection | None
    _texts: RequestTexts
    #: Why an ordinary request is not sent on, which is answered in a moment.
    _refusal: Refusal | None
    #: Bytes that had moved at the last check.
    _last_moved: int

    @property
    def planner(self) -> Planner:
        """What plans the requests of this client."""
        planner = self._planner
        if planner is None:
            planner = self._planner = Planner(
                self._proxy, self.settings, self.address, self.sock, self.info
            )
        return planner

    @property
    def _exchange(self) -> Exchange | None:
        """What is under way: an ordinary request becomes an exchange here."""
        return self._begun if self._carrier is None else self._promote()

    @abstractmethod
    def _promote(self) -> Exchange:
        """Make an exchange of the ordinary request that is under way."""

    @property
    def _client_left(self) -> Termination:
        """How an exchange ends whose client has gone."""
        exchange = self._exchange
        if exchange is None or exchange.status:
            return Termination.CLIENT_RESET
        return Termination.CLIENT_LEFT_RESPONSE

    def _refuse(
        self, refused: Refused, raw: bytes = b"", head: RequestHead | None = None
    ) -> None:
        """Answer that a request is not forwarded, and close.

        It begins with `raw`, if it did not become an exchange, and has this head, if
        that is valid.
        """
        exchange = self._exchange
        if exchange is not None:
            if exchange.status:
                exchange.error = str(refused)
                self.end(Termination.BAD_BODY)
                return
            exchange.leave_upstream()
        self.answer(refused.status, Termination.DENIED, str(refused), raw, head)

    def answer(
        self,
        status: int,
        termination: Termination,
        error: str = "",
        raw: bytes = b"",
        head: RequestHead | None = None,
        retry_after: int = 0,
    ) -> None:
        """Answer in place of an upstream.

        `error` tells the log why; `raw` and `head` are of a request that did not become
        an exchange; `retry_after` seconds later the client may try again.
        """
        exchange, reason = self._exchange, reason_of(status, termination)
        if exchange is None:
            request = RequestRecord(
                raw=raw, since=self.read_at, status=status, reason=reason, error=error
            )
            if head is not None:
                self._identify(request, head)
            self._answer_bad(request, termination)
            return
        exchange.close = self._close_after()
        exchange.reason, exchange.error = reason, error
        answer = exchange.answer(status, reason, retry_after)
        self._send_whole(exchange, status, answer, termination)

    def _identify(self, request: RequestRecord, head: RequestHead) -> None:
        """Note the head of a request, which is valid, and its id."""
        request.raw, request.head = head.raw, head
        request.begun_at = self._proxy.clock.seconds()
        request.request_id = self.planner.told_id(head.fields) or new_request_id()

    def _answer_bad(self, request: RequestRecord, termination: Termination) -> None:
        """Answer a request that did not become an exchange, and close."""
        head = request.head
        answer = self.settings.answers.answer(
            request.status,
            accept=b"" if head is None else accept_of(head.fields.raw),
            request_id=request.request_id,
            close=True,
            is_head=head is not None and head.method == b"HEAD",
            reason_code=request.reason,
        )
        request.head_sent = answer.index(b"\r\n\r\n") + 4
        request.sent = len(answer) - request.head_sent
        self._tell_bad(request, termination)
        if self.send_or_end(answer):
            self._begin_closing(termination)

    def _is_refused(self, exchange: Exchange, limits: ClientLimits, now: float) -> bool:
        """Whether a limit refuses a request, which is answered then."""
        refusal, self._refusal = self._refusal, None
        if refusal is None:
            refusal = limits.refusal(now)
        if refusal is None:
            exchange.requests = limits.row.requests
            return False
        self.answer(
            refusal.status,
            refusal.termination,
            refusal.error,
            retry_after=refusal.retry_after,
        )
        return True

    def _answer_as_planned(self, exchange: Exchange, plan: Plan) -> None:
        """Answer a request that gets no upstream."""
        if plan.location:
            exchange.close = self._close_after()
            answer = exchange.redirect(plan.status, plan.location)
            self._send_whole(exchange, plan.status, answer, Termination.DONE)
        elif plan.status == _NOT_FOUND:
            self.answer(plan.status, Termination.NO_ROUTE)
        else:
            self.answer(plan.status, Termination.DENIED)

    def _close_after(self) -> bool:
        """Whether the connection cannot go on after an answer in place of an upstream.

        Nothing of a body is read on that has no reader.
        """
        exchange = self._exchange
        return (
            self.state is not WAITING
            or self.settings.is_draining
            or (exchange is not None and exchange.close)
        )

    def _send_whole(
        self, exchange: Exchange, status: int, answer: bytes, termination: Termination
    ) -> None:
        """Send the answer to an exchange, which is over then."""
        exchange.status = status
        exchange.head_sent = answer.index(b"\r\n\r\n") + 4
        exchange.sent = len(answer) - exchange.head_sent
        if self.send_or_end(answer):
            exchange.is_answered = True
            self.on_exchange_over(termination)

    def _tell_bad(self, request: RequestRecord, termination: Termination) -> None:
        """Count and log a request that did not become an exchange."""
        now = self._proxy.clock.seconds()
        self.settings.log.over(request, self._texts, termination, now)

    def _begin_closing(self, termination: Termination) -> None:
        """Close the client's connection once all is sent."""
        was_complete = self.state is WAITING and not self._buffer
        self.state, self._buffer = CLOSING, b""
        if self.is_full:
            self.pause()
            return
        if was_complete:
            self.end(termination)
        else:
            self._close_in_order()

    def _close_in_order(self) -> None:
        """End the own direction, and wait for the client's end.

        To close with bytes unread would send a reset, which may overtake the response.
        """
        if self.has_ended:
            self.end(Termination.DONE)
            return
        self.read_at, self._last_moved = self._proxy.clock.seconds(), self.moved
        with suppress(OSError):
            self.stream.shutdown(socket.SHUT_WR)
        self.resume()
