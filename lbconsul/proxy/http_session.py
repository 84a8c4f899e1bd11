"""An HTTP session: one client's connection, and the exchanges on it."""

from contextlib import suppress
from math import inf

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from lbconsul.balance.upstream import Lease
from lbconsul.net.sockets import BareSocket, reset_on_close
from lbconsul.net.stream import Stream
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.proxy.http_client_side import CLOSING, HEAD, OVER, UPGRADED, WAITING
from lbconsul.proxy.http_requests import RequestReader
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.request_record import RequestRecord
from lbconsul.proxy.request_texts import RequestTexts
from lbconsul.stats.termination import Termination

_DONE = Termination.DONE

#: How connections of a mapping end that drains, once its drain timeout is over.
_OVERDUE = frozenset([Termination.SOFT_STOP, Termination.UNMAPPED])


class HTTPSession(RequestReader):
    """One client's connection, from accept to end."""

    __slots__ = ("accepted_at", "is_admitted")

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
        self.sock = client if sock is None else sock  # type: ignore[assignment]
        self.address = address
        #: When the client was accepted, in the reactor's time.
        self.accepted_at = accepted_at
        self.info = info
        self.is_admitted = True
        self.state = HEAD
        self.read_at = self.moved_at = accepted_at
        self._last_moved = 0
        self._expires = inf
        if proxy.mapping.timeouts.max_age:
            self._expires = accepted_at + proxy.age_limit()
        self.bound = None
        self._rate = None
        self._buffer = b""
        self._is_serving = False
        self._planner = self._plan = None
        self._begun = self._refusal = None
        self._carrier = None
        self._exchanges = 0
        self.has_ended = False
        self._texts = RequestTexts(address, settings.forwarding, info)

    # What its mapping sees.

    @property
    def is_over(self) -> bool:
        """Whether the session has ended."""
        return self.state is OVER

    @property
    def is_relaying(self) -> bool:
        """Whether an upstream answers the client."""
        if self._carrier is not None:
            return True
        return self._begun is not None and self._begun.lease is not None

    @property
    def row(self) -> MappingProxy:
        """The proxy of the request, while `is_relaying`."""
        if self._carrier is not None:
            assert self._plan is not None
            return self._plan.row
        assert self._begun is not None
        return self._begun.plan.row

    @property
    def lease(self) -> Lease:
        """The use of an upstream, while `is_relaying`."""
        exchange = self._exchange
        assert exchange is not None and exchange.lease is not None
        return exchange.lease

    def start(self) -> None:
        """Read the client's first request, which has often come by now."""
        sweeper = self._proxy.session_sweeper
        sweeper.items.add(self)
        if not sweeper.runs:
            sweeper.start()
        plans, address = self.settings.plans, self.address
        # An embedder's endpoint may be a UNIX socket beside one of TCP.
        if plans and self.info is None and isinstance(address, tuple):
            self._plan = plans.get(address[0])
        try:
            self.doRead()
            if not self._exchanges:
                self._plan = None
            if not self.watched:
                carrier, plan = self._carrier, self._plan
                if carrier is None or plan is None:
                    is_to_be_watched = self.state in (HEAD, WAITING, CLOSING)
                else:
                    # If its response ends the connection, not to watch it saves a tenth
                    # of what such a client costs.
                    is_to_be_watched = not plan.head.fields.close
                if is_to_be_watched:
                    self.resume()
        except OSError:  # the kernel watches no more sockets
            self.end(Termination.STARVED)
        except Exception:
            # A bug in lbconsul: report it, but leak nothing.
            self.end(Termination.INTERNAL)
            raise

    # Called by the exchange, and then by the relay.

    def upgrade(self, answer: bytes) -> None:
        """Relay from now on; `answer` goes to the client first."""
        exchange = self._exchange
        assert exchange is not None and exchange.upstream is not None
        upstream, row = exchange.upstream, exchange.plan.row
        upstream.user = exchange.upstream = None
        for side in (self, upstream):
            side.poller.removeReader(side)
            side.poller.removeWriter(side)
        self.state = UPGRADED
        log = exchange.plan.settings.log
        log.upgraded(exchange, self._texts, exchange.answered_at)
        self._relay = row.relay_type(
            row.relaying, self, self.stream, upstream.stream, exchange.answered_at
        )
        self._relay.begin_with(self.unsent + answer, upstream.unsent + self._buffer)

    def on_first_byte(self) -> None:
        """Nothing: the response's head came first."""

    def on_moved(self, received: int, sent: int) -> None:
        """Count bytes of an upgraded connection."""
        exchange = self._exchange
        assert exchange is not None
        exchange.received += received
        exchange.sent += sent
        exchange.plan.settings.log.moved(exchange)

    def on_closed(self, termination: Termination, *, by_upstream: bool) -> None:
        """The relay has closed both streams."""
        relay = self._relay
        self.on_moved(
            relay.client.moved - relay.reported_received,
            relay.upstream.moved - relay.reported_sent,
        )
        self._over(termination)

    # The end.

    def connectionLost(self, reason: Failure) -> None:
        """The socket failed, a callback raised, or the reactor stopped."""
        ended = reason.check(ConnectionDone)
        self.end(Termination.HARD_STOP if ended else Termination.INTERNAL)

    def end(self, termination: Termination) -> None:
        """Close the connection.  Later calls do nothing.

        At the end of a drain a client without a response is answered first, which may
        take as long as it takes the client to end its direction.
        """
        if self.state is UPGRADED:
            self._relay.end(termination)
        elif self.state is not OVER:
            exchange = self._begun if self._carrier is None else self._promote()
            if exchange is not None:
                if termination is Termination.LEFT and exchange.leaves_instance():
                    return
                exchange.leave_upstream()
                if termination in _OVERDUE and not exchange.status:
                    self.answer(503, termination)
                    return
                if exchange.status and not exchange.is_answered:
                    # What was passed on must not look complete.
                    with suppress(OSError):
                        reset_on_close(self.stream)
            self.drop()
            self._over(termination)

    def _over(self, termination: Termination) -> None:
        state, self.state = self.state, OVER
        proxy, exchange = self._proxy, self._begun
        now = proxy.clock.seconds()
        if exchange is not None:
            self._begun = None
            exchange.plan.settings.log.over(exchange, self._texts, termination, now)
            exchange.finish(now, is_whole=False)
        elif state is HEAD and self._buffer:
            self._tell_bad(
                RequestRecord(raw=self._buffer, since=self.read_at), termination
            )
        elif state is HEAD and not self._exchanges and termination is not _DONE:
            proxy.log.tell(
                self.address, self.accepted_at, None, 0, 0, 0, termination, self.info
            )
        if self.bound is not None:
            self.unbind()
        proxy.session_sweeper.items.discard(self)
        proxy.stats.left(now - self.accepted_at, termination.code)
        proxy.closed(self)
