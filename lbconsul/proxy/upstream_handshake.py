"""What comes between the connect to an upstream and its relay: PROXY header and TLS."""

from collections.abc import Mapping as AbstractMapping
from typing import TYPE_CHECKING, Protocol, Self, cast

from attrs import define, field
from twisted.internet.interfaces import IReactorTime, IReadWriteDescriptor
from twisted.logger import Logger
from zope.interface import implementer

from lbconsul.balance.instance import Instance
from lbconsul.config.model import Mapping
from lbconsul.net.rate_limit import TokenBucket
from lbconsul.net.sockets import BareSocket
from lbconsul.net.stream import Stream
from lbconsul.net.throttled_log import ThrottledLog, in_words
from lbconsul.proxy.dialer import DialAttempt, Dialer, DialState, DialUser
from lbconsul.proxy.handshake_queue import HandshakeQueue
from lbconsul.stats.termination import Termination

if TYPE_CHECKING:  # OpenSSL takes memory that a mapping without TLS does without
    from lbconsul.tls.stream import TLSStream

#: Lines a second, and the burst, about handshakes that failed.
RATE, BURST = 1.0, 10.0

_HANDSHAKING = DialState.HANDSHAKING


class TLSConnector(Protocol):
    """Makes TLS streams to the upstreams of one mapping."""

    def connect(self, sock: BareSocket, instance: Instance) -> "TLSStream":
        """A stream on a connected socket, to verify as this instance.

        :raises OSError: there is no usable certificate or authority.
        """


@define(eq=False)
class UpstreamHandshake:
    """What the connections of one mapping to its upstreams begin with."""

    _log = Logger()
    _clock: IReactorTime
    #: The mapping as text.
    _mapping: str
    #: Bounds what TLS takes of each turn of the reactor.
    queue: HandshakeQueue
    #: The version of the PROXY header: ``v1``, ``v2``, or ``off``.
    header: str
    #: None without TLS.
    connector: TLSConnector | None
    _bound: ThrottledLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._bound = ThrottledLog(self._clock, TokenBucket(RATE, BURST), self._sum_up)

    @classmethod
    def of(
        cls, clock: IReactorTime, mapping: Mapping, queue: HandshakeQueue
    ) -> Self | None:
        """What the options of a mapping want; None if that is nothing."""
        header, connector = mapping.proxy_protocol.send, None
        if mapping.upstream_tls.is_on:
            # Imported here: OpenSSL takes memory that other mappings do without.
            from lbconsul.proxy.upstream_tls import UpstreamConnector

            connector = UpstreamConnector(clock, mapping)
        if header == "off" and connector is None:
            return None
        return cls(clock, str(mapping), queue, header, connector)

    def log_failure(self, instance: Instance, reason: str) -> None:
        """Log that a TLS handshake failed."""
        self._tell("the TLS handshake with {upstream} failed", instance, reason)

    def tell_lost(self, instance: Instance, upstream: Stream) -> None:
        """Log why a stream to an upstream broke, if TLS was the cause.

        With TLS 1.3 an upstream that requires a certificate of ours refuses only after
        the handshake is over here (RFC 8446, section 4.4.2.4).
        """
        if self.connector is not None:
            reason = cast("TLSStream", upstream).error
            if reason:
                self._tell("{upstream} ended TLS", instance, reason)

    def _tell(self, what: str, instance: Instance, reason: str) -> None:
        if self._bound.allow(reason):
            self._log.warn(
                "{mapping}: " + what + ": {reason}",
                mapping=self._mapping,
                upstream=instance.text,
                reason=reason,
            )

    def stop(self) -> None:
        """Log the summary of withheld lines now, if there are any."""
        self._bound.stop()

    def _sum_up(self, reasons: AbstractMapping[str, int]) -> None:
        self._log.warn(
            "{mapping}: more TLS handshakes with upstreams failed: {what}",
            mapping=self._mapping,
            what=in_words(reasons),
        )


@implementer(IReadWriteDescriptor)
class HandshakeDial(DialAttempt):
    """A dial whose upstream gets a PROXY header, and then a TLS handshake, or either.

    Nothing of the client is sent before both are through: an upstream with which they
    fail counts as one that refused, and the next one is tried.
    """

    __slots__ = (
        "_handshake",
        "_header",
        "_is_polled",
        "_socket",
        "_tls",
        "_unsent",
    )

    #: While HANDSHAKING: the socket, what is left of the header, and the TLS on it once
    #: that has begun.
    _socket: BareSocket
    _unsent: bytes
    _tls: "TLSStream | None"
    #: Whether the poller watches it.
    _is_polled: bool

    def __init__(
        self,
        dialer: Dialer,
        handshake: UpstreamHandshake,
        user: DialUser,
        since: float,
        header: bytes,
    ) -> None:
        super().__init__(dialer, user, since)
        self._handshake = handshake
        self._header = header

    def _answered(self) -> None:
        sock = self.stream
        assert isinstance(sock, BareSocket)
        self._leave_poller(_HANDSHAKING)
        self.stream = self._socket = sock
        self._unsent, self._tls, self._is_polled = self._header, None, False
        self._go_on()

    def doRead(self) -> None:
        """Go on with the TLS handshake.  Called by the poller."""
        self._go_on()

    def doWrite(self) -> None:
        """The connect is decided, or the handshake can go on.  Called by the poller."""
        if self.state is _HANDSHAKING:
            self._go_on()
        else:
            super().doWrite()

    def _go_on(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            self._wait()
            return
        except OSError as error:
            self._failed(error.errno or 0)
            return
        if self._handshake.connector is None:
            super()._answered()
        else:
            has_turn = self._handshake.queue.run(self)
            if not has_turn:
                self._stop_polling()  # or it would be reported in each turn

    def take_turn(self, has_waited: bool) -> None:
        """Go on with the TLS handshake.  Called by the queue."""
        try:
            self._continue_handshake()
        except Exception:
            # A bug in lbconsul: report it, but leak nothing.
            self._fail(Termination.INTERNAL)
            raise

    def _continue_handshake(self) -> None:
        try:
            tls = self._tls or self._open()
            tls.handshake()
        except BlockingIOError:
            self._wait()
        except OSError as error:
            reason = error.strerror or str(error)
            self._log_failure(reason)
            self._next(Termination.UPSTREAM_TLS_FAILED, f"TLS: {reason}")
        else:
            super()._answered()

    def _open(self) -> "TLSStream":
        connector = self._handshake.connector
        assert connector is not None
        assert self.lease is not None
        tls = connector.connect(self._socket, self.lease.upstream.instance)
        self.stream = self._tls = tls
        return tls

    def _wait(self) -> None:
        """Have the poller watch for what the header or TLS waits for."""
        poller, self._is_polled = self._dialer.poller, True
        try:
            if self._tls is not None and self._tls.wants_read:
                poller.addReader(self)
                poller.removeWriter(self)
            else:
                poller.addWriter(self)
                poller.removeReader(self)
        except OSError as error:
            self._failed(error.errno or 0)

    def _log_failure(self, reason: str) -> None:
        assert self.lease is not None
        self._handshake.log_failure(self.lease.upstream.instance, reason)

    def check(self, now: float) -> None:
        if self.state is not _HANDSHAKING:
            super().check(now)
        elif now - self.since >= self._dialer.connect_timeout:
            if self._unsent:
                self._next(Termination.CONNECT_TIMEOUT)
            elif self._tls is None:
                # It waits for its turn, which says nothing of the upstream.
                self._next(Termination.STARVED)
            else:
                self.time_out()

    def time_out(self) -> None:
        """Try the next upstream: this one takes too long.  Called by the queue, too."""
        self._log_failure("no answer in time")
        self._next(Termination.CONNECT_TIMEOUT)

    def _leave_poller(self, state: DialState) -> None:
        if self.state is _HANDSHAKING:
            self._stop_polling()
            if self._handshake.connector is not None:
                self._handshake.queue.leave(self)
        super()._leave_poller(state)

    def _stop_polling(self) -> None:
        if self._is_polled:
            self._is_polled = False
            self._dialer.poller.unwatch(self)
