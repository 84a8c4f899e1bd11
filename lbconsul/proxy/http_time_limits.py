"""The time limits of a client's connection in HTTP mode."""

from abc import abstractmethod

from lbconsul.http.body_rate import BodyRate
from lbconsul.net.sockets import queued
from lbconsul.proxy.http_client_side import BODY, CLOSING, HEAD, UPGRADED
from lbconsul.proxy.http_exchange import Exchange
from lbconsul.proxy.http_own_answers import AnsweringSide
from lbconsul.proxy.http_plan import Plan
from lbconsul.proxy.http_settings import HTTPSettings
from lbconsul.proxy.relay import Relay
from lbconsul.stats.termination import Termination

#: How long a client may take to end its direction once it is closed, in seconds, before
#: what it still sends may cost it the response.
_LINGER = 2.0

#: How long idle connections stay open once the mapping drains, in seconds: a request
#: may be on its way.
_GRACE = 1.0

#: After how many seconds without a request a client's last head is forgotten.
_IDLE = 1.0

_IN = 1


class LimitedSide(AnsweringSide):
    """Ends what a client, or an exchange of it, takes too long for."""

    __slots__ = ("_exchanges", "_expires", "_plan", "_rate", "_relay", "moved_at")

    # Set by the class that is made.
    #: How many exchanges there were.
    _exchanges: int
    #: When it reaches its age limit.
    _expires: float
    #: When bytes last moved.
    moved_at: float
    #: How fast the client is, while that is measured, and in which exchange.
    _rate: tuple[Exchange | None, BodyRate] | None
    #: Once it is UPGRADED.
    _relay: Relay
    #: That of the last request.
    _plan: Plan | None

    @abstractmethod
    def _forget(self) -> None:
        """Free what the next request would be compared with.

        That is more than half of the memory of a client that has no request.
        """

    @abstractmethod
    def _go_on(self) -> None:
        """Serve what the client has sent meanwhile, once there is room for answers."""

    @property
    def _of_row(self) -> HTTPSettings:
        """The settings of the mapping or route that has the last request."""
        return self.settings if self._plan is None else self._plan.settings

    def check(self, now: float) -> None:
        """Check the time limits.  Called by the sweeper."""
        if now >= self._expires:
            self._grow_old()
        exchange = self._exchange
        if self.state is UPGRADED:
            self._relay.check(now)
        elif exchange is not None:
            exchange.check(now)
        elif self.is_full:
            self.check_progress(now, 0, self._of_row.mapping.http.min_rate)
        elif self.state is CLOSING:
            if now - self.read_at >= _LINGER:
                self.end(Termination.DONE)
        else:
            self._check_head(now - self.read_at)

    def _grow_old(self) -> None:
        """The age limit is reached: end with the present response, or now."""
        exchange = self._exchange
        if exchange is not None:
            if self.state is UPGRADED:
                self._relay.end(Termination.AGED)
            else:
                exchange.close = True
        elif self.state is HEAD and not (self._buffer or self.is_full):
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
        elif waited >= _IDLE and self._plan is not None:
            self._forget()

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
        elif now - self.moved_at >= self._of_row.mapping.timeouts.idle:
            self.end(Termination.IDLE)

    def _untaken(self) -> int:
        """Bytes of responses that the client has not taken yet."""
        piped = 0 if self._pipe is None else self._pipe.held
        return len(self.unsent) + piped + queued(self.sock)

    def _is_slow(self, least: int, now: float) -> bool:
        """Whether the client moves less than `least` bytes a second of bodies."""
        exchange = self._exchange
        if not (self.is_full or (self.state is BODY and self.watched & _IN)):
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
