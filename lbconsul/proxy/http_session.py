"""An HTTP session: one client's connection, and the exchanges on it."""

import socket
from contextlib import suppress
from enum import Enum, auto
from math import inf
from typing import cast

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from lbconsul.balance.upstream import Lease
from lbconsul.http.body_rate import BodyRate
from lbconsul.http.errors import Refused
from lbconsul.net.sockets import BareSocket, queued, reset_on_close
from lbconsul.net.splice import Pipe
from lbconsul.net.stream import Stream
from lbconsul.proxy.answer_reasons import reason_of
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.proxy.http_bound import BoundUpstream
from lbconsul.proxy.http_exchange import Exchange
from lbconsul.proxy.http_plan import Plan, Planner
from lbconsul.proxy.http_settings import new_request_id
from lbconsul.proxy.http_side import READ_SIZE, HTTPSide
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.relay import Relay
from lbconsul.proxy.request_log import BadRequest
from lbconsul.proxy.request_texts import RequestTexts
from lbconsul.stats.termination import Termination

#: How long a client may take to end its direction once it is closed, in seconds, before
#: what it still sends may cost it the response.
_LINGER = 2.0

#: The most bytes that are read from it meanwhile.
_MOST_DISCARDED = 16 << 20

#: How long idle connections stay open once the mapping drains, in seconds: a request
#: may be on its way.
_GRACE = 1.0

_IN = 1

_NOT_FOUND = 404


class HTTPState(Enum):
    """What a session reads from its client."""

    #: A head; no exchange is under way.
    HEAD = auto()
    #: The body of the exchange's request.
    BODY = auto()
    #: Nothing: the request is complete.  What comes is kept for later.
    WAITING = auto()
    #: Nothing: the client is to end the connection.
    CLOSING = auto()
    #: The streams belong to a relay.
    UPGRADED = auto()
    #: Closed, counted and logged.
    OVER = auto()


# Bound once: to read a member from its class takes 0.2 us in Python 3.11.
_HEAD, _BODY, _WAITING, _CLOSING, _UPGRADED, _OVER = HTTPState
_DONE = Termination.DONE


class HTTPSession(HTTPSide):
    """Reads a client's requests, one at a time, and sends it the responses."""

    __slots__ = (
        "_buffer",
        "_exchange",
        "_exchanges",
        "_expires",
        "_is_serving",
        "_last_moved",
        "_plan",
        "_planner",
        "_proxy",
        "_rate",
        "_relay",
        "_texts",
        "accepted_at",
        "address",
        "bound",
        "has_ended",
        "info",
        "is_admitted",
        "moved_at",
        "read_at",
        "settings",
        "sock",
        "state",
    )

    #: Once it is UPGRADED.
    _relay: Relay

    def __init__(
        self,
        proxy: MappingProxy,
        client: Stream,
        address: object,
        accepted_at: float,
        sock: BareSocket | None = None,
        info: ClientInfo | None = None,
    ) -> None:
        """`client` is the stream on the socket `sock`, or a socket itself."""
        super().__init__(client, proxy.relaying.poller, proxy.relaying.pipes)
        assert proxy.http is not None
        self._proxy = proxy
        settings = self.settings = proxy.http
        self.sock = cast(BareSocket, client) if sock is None else sock
        self.address = address
        #: When the client was accepted, in the reactor's time.
        self.accepted_at = accepted_at
        self.info = info
        self.is_admitted = True
        self.state = _HEAD
        #: When it came to what it reads now, and when bytes last moved.
        self.read_at = self.moved_at = accepted_at
        #: Bytes that had moved at the last check.
        self._last_moved = 0
        #: When it reaches its age limit.
        self._expires = inf
        if proxy.mapping.timeouts.max_age:
            self._expires = accepted_at + proxy.age_limit()
        #: The upstream that has authenticated the client's connection, if one has.
        self.bound: BoundUpstream | None = None
        #: How fast the client is, while that is measured, and in which exchange.
        self._rate: tuple[Exchange | None, BodyRate] | None = None
        #: What has come and is not served yet.
        self._buffer = b""
        self._is_serving = False
        self._planner = Planner(proxy, settings, address, self.sock, info)
        #: The last head's.
        self._plan: Plan | None = None
        self._exchange: Exchange | None = None
        self._exchanges = 0
        #: Whether the client has ended its direction.
        self.has_ended = False
        self._texts = RequestTexts(address, self._planner.headers, info)

    # What its mapping sees.

    @property
    def is_over(self) -> bool:
        """Whether the session has ended."""
        return self.state is _OVER

    @property
    def is_relaying(self) -> bool:
        """Whether an upstream answers the client."""
        return self._exchange is not None and self._exchange.lease is not None

    @property
    def lease(self) -> Lease:
        """The use of an upstream, while `is_relaying`."""
        assert self._exchange is not None and self._exchange.lease is not None
        return self._exchange.lease

    def start(self) -> None:
        """Read the client's first request, which has often come by now."""
        self._proxy.session_sweeper.add(self)
        try:
            self.resume()
            self.doRead()
        except OSError:  # the kernel watches no more sockets
            self.end(Termination.STARVED)
        except Exception:
            # A bug in lbconsul: report it, but leak nothing.
            self.end(Termination.INTERNAL)
            raise

    # Requests.

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
        if state is _HEAD and not self.is_full:
            self._serve(data)
        elif state is _BODY:
            self._pass_body(data)
        elif state is _CLOSING:
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
            if self.state is not _HEAD or self.is_full:
                break
            data, was_partial = self._buffer, False
        self._is_serving = False

    def _serve_one(self, data: bytes, was_partial: bool) -> bool:
        """Serve the request that `data` begins with, and keep the rest.

        Returns false if it is not complete.
        """
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
            if plan is None or head is not last:
                plan = self._plan = self._planner.plan(head)
            self._exchanges += 1
            request_id = plan.request_id or new_request_id()
            exchange = self._exchange = Exchange(
                self, plan, request_id, self.read_at, now
            )
            body, at = b"", len(head.raw)
            if head.fields.body:
                self.begin_body(head.fields.body)
                self.state = _BODY
                body, at = self.take_body(data, at)
        except Refused as refused:
            self._refuse(refused, data)
            return True
        if at >= 0:
            self.state = _WAITING
            if at < len(data):
                self._buffer = data[at:]
        try:
            if plan.status:
                self._answer_as_planned(exchange, plan)
            else:
                exchange.begin(body)
        except Refused as refused:
            self._refuse(refused)
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

    def _pass_body(self, data: bytes) -> None:
        """Pass on more of the request's body."""
        exchange = self._exchange
        assert exchange is not None
        try:
            part, end = self.take_body(data, 0)
            if end >= 0:
                self.state = _WAITING
                self._buffer = data[end:]
                self.read_at = self._proxy.clock.seconds()
            exchange.add_body(part)
        except Refused as refused:
            self._refuse(refused)
            return
        if exchange.is_answered and end >= 0 and self._exchange is exchange:
            self.on_exchange_over()

    def _moves_body(self) -> bool:
        """Whether more of the body was spliced to the upstream.

        :raises OSError: as `recv` does.
        """
        exchange = self._exchange
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

    def send_pipe_or_end(self, pipe: Pipe) -> bool:
        """Send what a pipe holds; returns false if the client has gone."""
        try:
            self.send_pipe(pipe)
        except OSError:
            self.end(Termination.CLIENT_RESET)
            return False
        return True

    # Called by the exchange.

    @property
    def side(self) -> HTTPSide:
        """The client's connection."""
        return self

    @property
    def is_in_body(self) -> bool:
        """Whether more of the request's body is to come."""
        return self.state is _BODY

    def unbind(self) -> None:
        """Close the connection to the upstream that is this client's alone."""
        if self.bound is not None:
            self.bound.leave()
            self.bound = None

    def pause_body(self) -> None:
        """Read no more of the body for now."""
        if self.state is _BODY:
            self.pause()

    def resume_body(self) -> None:
        """Read on."""
        if self.state is _BODY:
            self.resume()

    def send_or_end(self, data: bytes) -> bool:
        """Send to the client; returns false if it has gone."""
        try:
            self.send(data)
        except OSError:
            self.end(self._client_left)
            return False
        return True

    def answer(
        self,
        status: int,
        termination: Termination,
        error: str = "",
        raw: bytes = b"",
    ) -> None:
        """Answer in place of an upstream.

        `error` tells the log why; `raw` is a request that did not become an exchange.
        """
        exchange, reason = self._exchange, reason_of(status, termination)
        if exchange is not None:
            exchange.close = self._close_after()
            exchange.reason, exchange.error = reason, error
            answer = exchange.answer(status, reason)
            self._send_whole(exchange, status, answer, termination)
            return
        answer = self.settings.answers.answer(
            status,
            accept=b"",
            request_id=b"",
            close=True,
            is_head=False,
            reason_code=reason,
        )
        head_sent = answer.index(b"\r\n\r\n") + 4
        self._tell_bad(
            BadRequest(
                raw=raw,
                since=self.read_at,
                status=status,
                sent=len(answer) - head_sent,
                head_sent=head_sent,
                reason=reason,
                error=error,
            ),
            termination,
        )
        if self.send_or_end(answer):
            self._begin_closing(termination)

    def _close_after(self) -> bool:
        """Whether the connection cannot go on after an answer in place of an upstream.

        Nothing of a body is read on that has no reader.
        """
        exchange = self._exchange
        return (
            self.state is not _WAITING
            or self.settings.is_draining
            or (exchange is not None and exchange.close)
        )

    def _send_whole(
        self, exchange: Exchange, status: int, answer: bytes, termination: Termination
    ) -> None:
        exchange.status = status
        exchange.head_sent = answer.index(b"\r\n\r\n") + 4
        exchange.sent = len(answer) - exchange.head_sent
        if self.send_or_end(answer):
            exchange.is_answered = True
            self.on_exchange_over(termination)

    def _tell_bad(self, request: BadRequest, termination: Termination) -> None:
        """Count and log a request that did not become an exchange."""
        now = self._proxy.clock.seconds()
        self.settings.log.over(request, self._texts, termination, now)

    def on_exchange_over(self, termination: Termination = Termination.DONE) -> None:
        """The response is over, and the request, or the connection ends with it."""
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        now = self.read_at = self._proxy.clock.seconds()
        exchange.plan.settings.log.over(exchange, self._texts, termination, now)
        exchange.finish(now, is_whole=self.state is _WAITING)
        if exchange.close or (self.has_ended and not self._buffer):
            self._begin_closing(termination)
            return
        self.state = _HEAD
        if not (self._is_serving or (self.watched & _IN and not self._buffer)):
            self._go_on()

    def upgrade(self, exchange: Exchange, answer: bytes) -> None:
        """Relay from now on; `answer` goes to the client first."""
        upstream, proxy = exchange.upstream, self._proxy
        assert upstream is not None
        upstream.user = exchange.upstream = None
        for side in (self, upstream):
            side.poller.removeReader(side)
            side.poller.removeWriter(side)
        self.state = _UPGRADED
        log = exchange.plan.settings.log
        log.upgraded(exchange, self._texts, exchange.answered_at)
        self._relay = proxy.relay_type(
            proxy.relaying, self, self.stream, upstream.stream, exchange.answered_at
        )
        self._relay.begin_with(self.unsent + answer, upstream.unsent + self._buffer)

    # Called by the relay.

    def on_first_byte(self) -> None:
        """Nothing: the response's head came first."""

    def on_moved(self, received: int, sent: int) -> None:
        """Count bytes of an upgraded connection."""
        exchange = self._exchange
        assert exchange is not None
        exchange.received += received
        exchange.sent += sent

    def on_closed(self, termination: Termination, *, by_upstream: bool) -> None:
        """The relay has closed both streams."""
        relay = self._relay
        self.on_moved(
            relay.client.moved - relay.reported_received,
            relay.upstream.moved - relay.reported_sent,
        )
        self._over(termination)

    # The end.

    def _refuse(self, refused: Refused, raw: bytes = b"") -> None:
        """Answer that a request is not forwarded, and close.

        It begins with `raw`, if it did not become an exchange.
        """
        exchange = self._exchange
        if exchange is not None:
            if exchange.status:
                exchange.error = str(refused)
                self.end(Termination.BAD_BODY)
                return
            exchange.leave_upstream()
        self.answer(refused.status, Termination.DENIED, str(refused), raw)

    def _on_sent(self) -> None:
        """All that had no room at the client is sent."""
        if self.state is _CLOSING:
            self._close_in_order()
        elif self._exchange is None:
            self.read_at = self._proxy.clock.seconds()
            self._go_on()
        elif self._exchange.upstream is not None:
            self._exchange.upstream.resume()

    def _go_on(self) -> None:
        """Serve what the client has sent meanwhile, once there is room for answers."""
        if self._buffer and not self.is_full:
            data, self._buffer = self._buffer, b""
            self._serve(data)
        if self.state is _HEAD and not (self.watched & _IN or self.has_ended):
            self.resume()

    def _on_ended(self) -> None:
        """The client has ended its direction."""
        self.has_ended = True
        if self.state is _WAITING:
            self.pause()  # it may wait for the response
        elif self.state is _BODY:
            self.end(self._client_left)
        elif self.state is _HEAD and self._buffer:
            self.end(Termination.FIRST_BYTE_LEFT)
        else:
            self.end(Termination.DONE)

    def _on_lost(self) -> None:
        """The client sent a reset, or is gone."""
        self.end(self._client_left if self._exchange else Termination.DONE)

    @property
    def _client_left(self) -> Termination:
        """How an exchange ends whose client has gone."""
        exchange = self._exchange
        if exchange is None or exchange.status:
            return Termination.CLIENT_RESET
        return Termination.CLIENT_LEFT_RESPONSE

    def connectionLost(self, reason: Failure) -> None:
        """The socket failed, a callback raised, or the reactor stopped."""
        ended = reason.check(ConnectionDone)
        self.end(Termination.HARD_STOP if ended else Termination.INTERNAL)

    def _begin_closing(self, termination: Termination) -> None:
        """Close the client's connection once all is sent."""
        was_complete = self.state is _WAITING and not self._buffer
        self.state, self._buffer = _CLOSING, b""
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

    def check(self, now: float) -> None:
        """Check the time limits.  Called by the sweeper."""
        if now >= self._expires:
            self._grow_old()
        if self.state is _UPGRADED:
            self._relay.check(now)
        elif self._exchange is not None:
            self._exchange.check(now)
        elif self.is_full:
            self.check_progress(now, 0, self.settings.mapping.http.min_rate)
        elif self.state is _CLOSING:
            if now - self.read_at >= _LINGER:
                self.end(Termination.DONE)
        else:
            self._check_head(now - self.read_at)

    def _grow_old(self) -> None:
        """The age limit is reached: end with the present response, or now."""
        if self._exchange is not None:
            if self.state is _UPGRADED:
                self._relay.end(Termination.AGED)
            else:
                self._exchange.close = True
        elif self.state is _HEAD and not (self._buffer or self.is_full):
            self._begin_closing(Termination.AGED)

    def _check_head(self, waited: float) -> None:
        http = self.settings.mapping.http
        if self._buffer:
            if waited >= http.head_timeout > 0:
                self.answer(408, Termination.FIRST_BYTE_TIMEOUT, raw=self._buffer)
        elif self.settings.is_draining and waited >= _GRACE:
            self._begin_closing(Termination.DONE)
        elif not self._exchanges:
            if waited >= http.head_timeout > 0:
                self.end(Termination.FIRST_BYTE_TIMEOUT)
        elif waited >= http.keepalive_timeout > 0:
            self._begin_closing(Termination.DONE)

    def check_progress(self, now: float, received: int, least: int) -> None:
        """End the connection if bodies have come to a standstill, or nearly so.

        `received` bytes came on the upstream's connection; `least` are the bytes a
        second that the client has to move, 0 if it may take its time.
        """
        moved = self.moved + received
        if self.is_full:
            moved -= self._untaken()
        if least and self._is_slow(least, now):
            self._give_up(f"slower than min-rate={least}")
        elif moved != self._last_moved:
            self._last_moved, self.moved_at = moved, now
        elif now - self.moved_at >= self.settings.mapping.timeouts.idle:
            self.end(Termination.IDLE)

    def _untaken(self) -> int:
        """Bytes of responses that the client has not taken yet."""
        piped = 0 if self._pipe is None else self._pipe.held
        return len(self.unsent) + piped + queued(self.sock)

    def _is_slow(self, least: int, now: float) -> bool:
        """Whether the client moves less than `least` bytes a second of bodies."""
        exchange = self._exchange
        if not (self.is_full or (self.state is _BODY and self.watched & _IN)):
            self._rate = None
            return False
        moved = self.moved - self._untaken()
        if exchange is not None:
            moved += exchange.sent
        if self._rate is None or self._rate[0] is not exchange:
            self._rate = exchange, BodyRate(now, moved)
            return False
        return self._rate[1].is_below(least, moved, now)

    def _give_up(self, error: str) -> None:
        """The client is too slow: end the connection, with an answer if it may."""
        exchange = self._exchange
        if exchange is None:
            self.end(Termination.IDLE)
        elif exchange.status:
            exchange.error = error
            self.end(Termination.IDLE)
        else:
            exchange.leave_upstream()
            self.answer(408, Termination.IDLE, error)

    def end(self, termination: Termination) -> None:
        """Close the connection.  Later calls do nothing."""
        if self.state is _UPGRADED:
            self._relay.end(termination)
        elif self.state is not _OVER:
            exchange = self._exchange
            if exchange is not None:
                if termination is Termination.LEFT and exchange.leaves_instance():
                    return
                exchange.leave_upstream()
                if exchange.status and not exchange.is_answered:
                    # What was passed on must not look complete.
                    with suppress(OSError):
                        reset_on_close(self.stream)
            self.drop()
            self._over(termination)

    def _over(self, termination: Termination) -> None:
        state, self.state = self.state, _OVER
        proxy, exchange = self._proxy, self._exchange
        now = proxy.clock.seconds()
        if exchange is not None:
            self._exchange = None
            exchange.plan.settings.log.over(exchange, self._texts, termination, now)
            exchange.finish(now, is_whole=False)
        elif state is _HEAD and self._buffer:
            self._tell_bad(
                BadRequest(raw=self._buffer, since=self.read_at), termination
            )
        elif state is _HEAD and not self._exchanges and termination is not _DONE:
            proxy.log.tell(
                self.address, self.accepted_at, None, 0, 0, 0, termination, self.info
            )
        self.unbind()
        proxy.session_sweeper.items.discard(self)
        proxy.stats.left(now - self.accepted_at, termination.code)
        proxy.closed(self)
