"""How the requests of one client come in HTTP mode."""

from lbconsul.http.errors import Refused
from lbconsul.proxy.http_client_side import BODY, CLOSING, HEAD, WAITING
from lbconsul.proxy.http_exchange import Exchange
from lbconsul.proxy.http_ordinary import OrdinaryRequests
from lbconsul.proxy.http_plan import Plan
from lbconsul.proxy.http_settings import new_request_id
from lbconsul.proxy.http_side import READ_SIZE, Part
from lbconsul.stats.termination import Termination

#: The most bytes that are read from a client that is to end the connection.
_MOST_DISCARDED = 16 << 20

#: From how many addresses plans are kept until the next tick.
_MOST_PLANS = 64

_IN = 1


class RequestReader(OrdinaryRequests):
    """Reads a client's requests and has each served, one at a time."""

    __slots__ = ("_is_serving",)

    # Set by the class that is made.
    _is_serving: bool

    def doRead(self) -> None:
        try:
            if self.left > 0 and self._moves_body():
                return
            data = self.stream.recv(READ_SIZE)
        except BlockingIOError:
            self._wait_to_read()
            return
        except OSError:
            self._on_lost()
            return
        if not data:
            self._on_ended()
            return
        self.moved += len(data)
        state = self.state
        if state is HEAD and not self.is_full:
            # An ordinary request with the head of the one before: often.
            plan = self._plan
            if (
                plan is None
                or len(data) != plan.size
                or not plan.is_ordinary
                or not data.startswith(plan.head.raw)
                or self._buffer
                or plan.settings.is_draining
                or plan.split is not None
                or plan.epoch.is_over
                or not self._forward(
                    plan, data[len(plan.head.raw) :], self._proxy.clock.seconds()
                )
            ):
                self._serve(data)
        elif state is BODY:
            self._pass_body(data)
        elif state is CLOSING:
            if self.moved - self._last_moved >= _MOST_DISCARDED:
                self.end(Termination.DONE)
        else:
            self._buffer += data
            if len(self._buffer) >= READ_SIZE:
                self.pause()

    def _serve(self, data: bytes) -> None:
        """Serve the requests in `data`, until one takes time."""
        was_partial, self._is_serving = bool(self._buffer), True
        if was_partial:
            data = self._buffer + data
        while data:
            self._buffer = b""
            if not self._serve_one(data, was_partial):
                break
            if self.state is not HEAD or self.is_full:
                break
            data, was_partial = self._buffer, False
        self._is_serving = False

    def _serve_one(self, data: bytes, was_partial: bool) -> bool:
        """Serve the request that `data` begins with, and keep the rest.

        Returns false if it is not complete.
        """
        head = None
        try:
            plan = self._plan
            last = None if plan is None else plan.head
            head = self.settings.requests.parse(data, 0, last)
            now = self._proxy.clock.seconds()
            if not was_partial:
                self.read_at = now
            if head is None:
                self._buffer = data
                return False
            # A reload, or a tag in Consul, may have replaced what serves it.
            if (
                plan is None
                or head is not last
                or plan.settings.is_draining
                or plan.epoch.is_over
            ):
                plan = self._plan = self.planner.plan(head)
                if not self._exchanges:
                    self._share(plan)
            elif plan.split is not None:
                plan = self._plan = plan.split.next()
            if plan.split is not None and self.bound is not None:
                plan = self._plan = plan.split.bound(self.bound.settings) or plan
            body: Part = b""
            at = len(head.raw)
            if (
                plan.is_ordinary
                and not was_partial
                and plan.size <= len(data)
                and self._refusal is None
            ):
                self._buffer = data[plan.size :]
                if self._forward(plan, data[at : plan.size], now):
                    return True
            self._exchanges += 1
            request_id = plan.request_id or new_request_id()
            exchange = self._begun = Exchange(self, plan, request_id, self.read_at, now)
            if head.fields.body:
                self.begin_body(head.fields.body)
                self.state = BODY
                if not self.watched:
                    self.resume()  # from here on the exchange pauses and resumes
                body, at = self.take_body(data, at)
        except Refused as refused:
            self._refuse(refused, data, head)
            return True
        if at >= 0:
            self.state = WAITING
            if at < len(data):
                self._buffer = data[at:]
        try:
            if plan.limits is not None and self._is_refused(exchange, plan.limits, now):
                pass
            elif plan.status:
                self._answer_as_planned(exchange, plan)
            elif plan.settings.authenticator is not None:
                exchange.log_in(body)
            else:
                exchange.begin(body)
        except Refused as refused:
            self._refuse(refused)
        return True

    def _share(self, plan: Plan) -> None:
        """Let other connections from the same address have this plan, if they would."""
        address, plans = self.address, self.settings.plans
        if (
            plan.is_ordinary
            and plan.split is None
            and self.info is None
            and isinstance(address, tuple)
        ):
            if len(plans) >= _MOST_PLANS:
                plans.clear()
            plans[address[0]] = plan

    def _forget(self) -> None:
        """Free what the next request would be compared with."""
        self._plan = None
        self._body = self._request_id = b""
        self._planner = None
        self._texts.forget()

    def _pass_body(self, data: bytes) -> None:
        """Pass on more of the request's body."""
        exchange = self._begun
        assert exchange is not None
        try:
            part, end = self.take_body(data, 0)
            if end >= 0:
                self.state = WAITING
                self._buffer = data[end:]
                self.read_at = self._proxy.clock.seconds()
            exchange.add_body(part)
        except Refused as refused:
            self._refuse(refused)
            return
        if exchange.is_answered and end >= 0 and self._begun is exchange:
            self.on_exchange_over()

    def _moves_body(self) -> bool:
        """Whether more of the body was spliced to the upstream.

        :raises OSError: as `recv` does.
        """
        exchange = self._begun
        if exchange is None or exchange.upstream is None:
            return False
        try:
            pipe = self.take_pipe(exchange.upstream)
        except EOFError:
            self._on_ended()
            return True
        if pipe is None:
            return False
        exchange.add_pipe(pipe)
        return True

    def _on_sent(self) -> None:
        """All that had no room at the client is sent."""
        if self.state is CLOSING:
            self._close_in_order()
        elif self._begun is None:
            self.read_at = self._proxy.clock.seconds()
            self._go_on()
        elif self._begun.upstream is not None:
            self._begun.upstream.resume()

    def _go_on(self) -> None:
        """Serve what the client has sent meanwhile, once there is room for answers."""
        if not (self.watched & _IN or self.has_ended):
            self.resume()
        if self._buffer and not self.is_full:
            data, self._buffer = self._buffer, b""
            self._serve(data)
        if self.has_ended and not self.is_full and self.state in (HEAD, BODY):
            self._on_ended()

    def _on_ended(self) -> None:
        """The client has ended its direction."""
        self.has_ended = True
        if self.state is WAITING or (self.state is HEAD and self.is_full):
            self.pause()  # it may wait for the response, or for the rest of it
        elif self.state is BODY:
            self.end(self._client_left)
        elif self.state is HEAD and self._buffer:
            self.end(Termination.FIRST_BYTE_LEFT)
        else:
            self.end(Termination.DONE)

    def _on_lost(self) -> None:
        """The client sent a reset, or is gone."""
        self.end(self._client_left if self._exchange else Termination.DONE)

    def on_exchange_over(self, termination: Termination = Termination.DONE) -> None:
        """The response is over, and the request, or the connection ends with it."""
        exchange, self._begun = self._begun, None
        assert exchange is not None
        now = self.read_at = self._proxy.clock.seconds()
        exchange.plan.settings.log.over(exchange, self._texts, termination, now)
        exchange.finish(now, is_whole=self.state is WAITING)
        if exchange.close or (self.has_ended and not self._buffer):
            self._begin_closing(termination)
            return
        self.state = HEAD
        if not (self._is_serving or (self.watched & _IN and not self._buffer)):
            self._go_on()
