"""Ordinary requests of HTTP mode: passed on without an exchange for each.

A request that has come in one piece goes at once to an upstream with an idle
connection, and a whole response comes back in one piece: nearly all requests are of
this kind.  At the first thing that is different an exchange takes over, at the point
that the request has come to.
"""

from abc import abstractmethod
from contextlib import suppress

from lbconsul.http.response import ResponseHead
from lbconsul.proxy.http_client_side import HEAD, WAITING
from lbconsul.proxy.http_dial import FRESH
from lbconsul.proxy.http_exchange import Exchange
from lbconsul.proxy.http_plan import Plan
from lbconsul.proxy.http_settings import NUMBERS, PROCESS
from lbconsul.proxy.http_side import LARGE, HTTPSide, Part
from lbconsul.proxy.http_time_limits import LimitedSide
from lbconsul.stats.termination import Termination

#: From here on a status says that the server failed.
_SERVER_ERROR = 500

_IN = 1


class OrdinaryRequests(LimitedSide):
    """Has upstreams answer ordinary requests: it is the `ResponseUser` of these.

    Most of what it does is written out where a method would be called: each request
    pays for this.
    """

    __slots__ = ("_body", "_request_id")

    # Set by the class that is made.
    #: Of the ordinary request.
    _request_id: bytes
    _body: bytes

    def _forward(self, plan: Plan, body: bytes, now: float) -> bool:
        """Send on an ordinary request, which has come at `now`, with all of its body.

        False if it needs an exchange from the beginning.
        """
        row, settings = plan.row, plan.settings
        if row.wait_queue.queues or self.bound is not None:
            return False
        limits = plan.limits
        if limits is not None:
            self._refusal = limits.refusal(now)
            if self._refusal is not None:
                return False
        failover, sticky = row.dialer.failover, settings.sticky
        if sticky is None:
            upstream = failover.pick(plan.key)
        else:  # a client without its cookie gets one, for which an exchange is needed
            upstream = sticky.pick(failover, plan.tokens, now)
        if upstream is None:
            if limits is not None:
                limits.give_back()  # the exchange asks again
            return False
        self._exchanges += 1
        self.state, self.read_at = WAITING, now
        # As `new_request_id`, without the call.
        request_id = plan.request_id or b"%b-%08x" % (PROCESS, next(NUMBERS))
        self._request_id = request_id
        carrier = settings.idle.take(
            upstream, now, 0.0 if plan.is_idempotent else FRESH
        )
        if carrier is None:
            exchange = self._begun = Exchange(self, plan, request_id, now, now)
            if limits is not None:
                exchange.requests = limits.row.requests
            exchange.connect(failover.lease_of(upstream), body)
            return True
        settings.active += 1
        if settings.retry_budget is not None:
            settings.retry_budget.add_request()
        if plan.request_id:
            request = b"%b%b\r\n%b" % (plan.line, plan.lines, body)
        else:
            request = b"%b%bX-Request-ID: %b\r\n\r\n%b" % (
                plan.line, plan.lines, request_id, body,
            )  # fmt: skip
        self._carrier, self._body = carrier, body
        try:
            carrier.begin(self, request, plan.head)
        except OSError:
            self._promote().on_not_sent(body)
        return True

    def _promote(self) -> Exchange:
        """Make an exchange of the ordinary request that is under way."""
        plan, carrier = self._plan, self._carrier
        assert plan is not None and carrier is not None
        self._carrier = None
        plan.settings.active -= 1
        sent_at = self.read_at
        exchange = Exchange(self, plan, self._request_id, sent_at, sent_at)
        if plan.limits is not None:
            exchange.requests = plan.limits.row.requests
        exchange.take_over(carrier, self._body)
        self._body = b""
        self._begun = carrier.user = exchange
        if not self.watched:
            with suppress(OSError):  # its end shows when the response is sent
                self.resume()
        return exchange

    @abstractmethod
    def _over(self, termination: Termination) -> None:
        """Count and log the end of the connection, which is closed."""

    # Called by the upstream's connection.

    def on_head(self, head: ResponseHead, part: Part, is_over: bool) -> None:
        """Pass on a whole response, and finish."""
        carrier, plan = self._carrier, self._plan
        assert carrier is not None and plan is not None
        upstream, settings, row = carrier.upstream, plan.settings, plan.row
        if (
            not is_over
            or head.status >= _SERVER_ERROR
            or head.fields.binds
            or upstream.record is not None
            or self.settings.is_draining
        ):
            self._promote().on_head(head, part, is_over)
            return
        now = self._proxy.clock.seconds()
        closes = plan.head.fields.close
        sent_head = head.sent or head.dated(settings.answers.date.line())
        if closes:
            sent_head = sent_head[:-2] + b"Connection: close\r\n\r\n"
        try:
            if len(part) < LARGE and not self.unsent:
                # As in `send_message`, without the call.
                data = sent_head + part
                try:
                    sent = self.stream.send(data)
                except BlockingIOError:
                    sent = 0
                if sent != len(data):
                    self.unsent = data[sent:]
                    self._wait_to_send()
            else:
                self.send_message(sent_head, part)
        except OSError:
            self._promote().on_head(head, part, is_over)  # which fails likewise
            return
        log = settings.log
        finished = log.finished
        if not finished:
            log.later(log)
        finished.append(
            (
                self._texts, plan.head, self._request_id, self.read_at, now,
                head.status, len(part), len(sent_head), carrier.instance,
            )
        )  # fmt: skip
        self._carrier, self._body = None, b""
        settings.active -= 1
        if plan.limits is not None and plan.limits.row.requests is not None:
            plan.limits.row.requests.end()
        carrier.release(now)
        load = upstream.load
        if load.is_shared:
            load.add(-1)
        else:
            load.open -= 1
            for each in load.upstreams:
                each.loaded(each)
        if row.wait_queue.queues:
            row.wait_queue.dispatch()
        if row.observer.awaits_end and row.is_routed:
            row.observer.on_ended(row)
        self.read_at = now
        if closes or (self.has_ended and not self._buffer):
            if self._buffer or self.is_full:
                self._begin_closing(Termination.DONE)
            else:
                # As `end`, without the call.
                self.drop()
                self._over(Termination.DONE)
            return
        self.state = HEAD
        if self._buffer or not self.watched & _IN:
            self._go_on()

    def on_interim(self, head: ResponseHead) -> None:
        """A response below 200 came."""
        self._promote().on_interim(head)

    def on_upgraded(self, head: ResponseHead, rest: bytes) -> None:
        """The upstream speaks another protocol, which was not asked for."""
        self._promote().on_upgraded(head, rest)

    def on_body(self, part: Part, is_over: bool) -> None:
        """Not called: an exchange passes on what comes in parts."""
        self._promote().on_body(part, is_over)

    def pass_pipe(self, upstream: HTTPSide) -> bool:
        """Not called, as `on_body`."""
        return self._promote().pass_pipe(upstream)

    def on_upstream_sent(self) -> None:
        """Nothing: an ordinary request has no body that waits for room."""

    def on_request_cut(self) -> None:
        """The upstream takes no more of the request."""
        self._promote().on_request_cut()

    def on_upstream_failed(self, termination: Termination) -> None:
        """No response came."""
        self._promote().on_upstream_failed(termination)
