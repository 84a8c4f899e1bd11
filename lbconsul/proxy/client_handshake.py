"""A client's handshake: what comes between its accept and its session."""

from contextlib import suppress

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.balance.upstream import Lease
from lbconsul.net.sockets import BareSocket, reset_on_close
from lbconsul.proxy.access_control import Admission, admitted_by
from lbconsul.proxy.client_info import ClientInfo, with_tls
from lbconsul.proxy.drain_manager import StartingSession
from lbconsul.proxy.handshake_settings import HandshakeSettings, HandshakeState, Step
from lbconsul.proxy.handshake_steps import TAKE, HandshakeSteps
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.post_handshake_session import PostHandshakeSession, RoutedSession
from lbconsul.stats.termination import Termination

# Bound once: to read a member from its class takes 0.2 us in Python 3.11.
_OVER = HandshakeState.OVER

#: The TLS record of a fatal alert, unrecognized_name (RFC 8446, 5.1 and 6).
_UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])


@implementer(IReadWriteDescriptor)
class ClientHandshake(HandshakeSteps):
    """Takes a client through the steps of its mapping, then makes a session of it.

    It is one of its proxy's open sessions meanwhile.  The poller watches it, and the
    proxy's sweeper checks its time limits.
    """

    __slots__ = (
        "_deadline",
        "_proxy",
        "_step",
        "_steps",
        "accepted_at",
        "lease",
    )

    #: Never set: a handshake uses no upstream.
    lease: Lease
    _step: Step

    def __init__(
        self,
        proxy: MappingProxy,
        settings: HandshakeSettings,
        client: BareSocket,
        address: object,
        accepted_at: float,
    ) -> None:
        super().__init__(client, proxy.relaying.poller)
        self._queue = proxy.handshake_queue
        self._acceptor = settings.acceptor
        self._access_control = proxy.access_control
        self.is_admitted = False
        self.tls = self._via = self._header = self._server_name = None
        self._proxy = proxy
        self.address = address
        self._steps = iter(settings.steps_of(address))
        self.accepted_at = accepted_at

    @property
    def row(self) -> MappingProxy:
        """The proxy whose client it is."""
        return self._proxy

    @property
    def is_over(self) -> bool:
        """Whether the client has left this handshake, closed or with a session."""
        return self.state is _OVER

    @property
    def is_relaying(self) -> bool:
        """Never: a handshake has no upstream."""
        return False

    @property
    def moved_at(self) -> float:
        """When the client was accepted."""
        return self.accepted_at

    def start(self) -> None:
        """Begin with the first step: often the client has sent its bytes by now."""
        try:
            self._go_on(True)
        except Exception:
            self._on_bug()
            raise
        if self.state is not _OVER:
            sweeper = self._proxy.dial_sweeper
            sweeper.items.add(self)
            if not sweeper.runs:
                sweeper.start()

    def _go_on(self, is_complete: bool) -> None:
        """After a step, take as many more as what the client has sent allows."""
        while is_complete:
            following = next(self._steps, None)
            if following is None:
                self._hand_over()
                return
            self._step, self.state = following, following.state
            self._deadline = self._proxy.clock.seconds() + following.timeout
            is_complete = TAKE[following.state](self)

    # The poller's and the sweeper's calls.

    def doRead(self) -> None:
        """Take the present step, and those that follow.  Called by the poller."""
        if TAKE[self.state](self):
            self._go_on(True)

    def doWrite(self) -> None:
        """Called by the poller while TLS waits until it can write."""
        if not self.is_over:  # a reactor calls it though doRead came to the end
            self.doRead()

    def connectionLost(self, reason: Failure) -> None:
        """The socket failed, a callback raised, or the reactor stopped."""
        if reason.check(ConnectionLost):
            self._on_left()
        else:
            ended = reason.check(ConnectionDone)
            self.end(Termination.HARD_STOP if ended else Termination.INTERNAL)

    def check(self, now: float) -> None:
        """Close the client if its step takes too long."""
        if now >= self._deadline:
            self.time_out()
        else:
            self._look_again()

    def time_out(self) -> None:
        """Close the client: its step takes too long."""
        self.end(self._step.overdue)

    # The end.

    def _on_left(self) -> None:
        self.end(self._step.left)

    def end(self, termination: Termination, error: str = "") -> None:
        """Close the client.  Later calls do nothing."""
        if not self.is_over:
            self._turn_away(self._proxy, termination, error)

    def _turn_away(
        self, by: MappingProxy, termination: Termination, error: str = ""
    ) -> None:
        """Close the client, on behalf of its mapping or of a route."""
        self._leave()
        if self._acceptor is not None:
            self._queue.leave(self)
        (self.tls or self.stream).close()
        self._count(by)
        name = self._asked_name()
        info = ClientInfo(self._via, self._header, name, error=error)
        by.not_served(self.address, self.accepted_at, termination, info)
        self._proxy.closed(self)

    def _count(self, by: MappingProxy) -> None:
        """Count the client where it is served, if that was not known at its accept."""
        if self._proxy.routes is not None or self._proxy.split is not None:
            by.stats.accepted += 1

    def _hand_over(self) -> None:
        """Make a session of the client, with the proxy for its server name."""
        own = self._proxy
        if own.routes is None and own.split is None:
            self._begin_session(own, None)
            return
        proxy = own.route_for(None if own.routes is None else self._asked_name())
        if proxy is None:
            self._refuse_name()
            return
        if proxy is not own and proxy.access_control is not None:
            refused = proxy.access_control.refuse(self.address)
            if refused is not None:
                reset_on_close(self.stream)
                self._turn_away(proxy, refused)
                return
        admitted: Admission | None = None if proxy is own else own.access_control
        if proxy.split is not None and proxy.http is None:
            whole, proxy = proxy, proxy.split.of_client(self.address)
            if proxy is not whole:  # a part has no access control of its own
                admitted = admitted_by({own.access_control, whole.access_control})
        self._count(proxy)
        self._begin_session(proxy, admitted)

    def _refuse_name(self) -> None:
        """Close a client that no route takes; with ``mode=sni`` after an alert."""
        if self.tls is None:
            self._discard_unread()
            with suppress(OSError):
                self.stream.send(_UNRECOGNIZED_NAME)
        self.end(Termination.NO_ROUTE)

    def _begin_session(self, proxy: MappingProxy, admitted: Admission | None) -> None:
        """Make a session with this proxy; `admitted` counts its client, too."""
        self._leave()
        own, is_routed = self._proxy, proxy is not self._proxy
        client, sock, info = self.tls or self.stream, self.stream, None
        if self.tls is None or self._header is not None:
            info = ClientInfo(self._via, self._header, self._server_name)
        known = proxy, client, sock, self.address, self.accepted_at, info
        if proxy.http is not None:
            # Imported here: other mappings do without its memory.
            from lbconsul.proxy.http_session import HTTPSession

            kind: type[HTTPSession] = HTTPSession
            if proxy.hooks is not None:
                from lbconsul.proxy.hooked_http_session import HookedHTTPSession

                kind = HookedHTTPSession
            if self.tls is not None:
                info = with_tls(info, self.tls)
            session: StartingSession = kind(
                proxy, client, self.address, self.accepted_at, sock, info
            )
        elif proxy.hooks is not None:
            # Imported here: few mappings have hooks.
            from lbconsul.proxy.hooked_session import hooked

            session = hooked(*known, admitted)
        elif admitted is not None:
            session = RoutedSession(*known, admitted)
        else:
            session = PostHandshakeSession(*known)
        own.sessions.discard(self)
        proxy.sessions.add(session)
        session.start()
        if is_routed and own.observer.awaits_end:
            own.observer.on_ended(own)

    def _asked_name(self) -> str | None:
        """The server name that the client has asked for by TLS, if it has."""
        if self.tls is None:
            return self._server_name
        # Imported here: OpenSSL takes memory that other mappings do without.
        from lbconsul.tls.inspection import server_name_of

        return server_name_of(self.tls.connection)

    def _leave(self) -> None:
        """Leave the poller and the sweeper."""
        self._stop_polling()
        self._proxy.dial_sweeper.items.discard(self)
        self.state = _OVER


def begin_handshake(
    proxy: MappingProxy,
    settings: HandshakeSettings,
    client: BareSocket,
    address: object,
) -> None:
    """Take over the non-blocking socket of a client of this mapping."""
    proxy.accepted += 1
    if proxy.routes is None and proxy.split is None:
        proxy.stats.accepted += 1
    now = proxy.clock.seconds()
    handshake = ClientHandshake(proxy, settings, client, address, now)
    proxy.sessions.add(handshake)
    proxy.connection_limit.taken += 1
    handshake.start()
