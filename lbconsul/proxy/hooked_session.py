"""Sessions of mappings with hooks, which are asked before an upstream is."""

from attrs import evolve

from lbconsul.extensions.hook_values import Client, Connection
from lbconsul.extensions.hooks import Visit
from lbconsul.net.sockets import BareSocket, address_text, reset_on_close
from lbconsul.net.stream import Stream
from lbconsul.proxy.access_control import Admission
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.proxy.dialer import DialAttempt
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.post_handshake_session import PostHandshakeSession, RoutedSession
from lbconsul.proxy.tcp_session import SessionState, TcpSession
from lbconsul.stats.termination import Termination

#: The beginning of an IPv4 address in the form of an IPv6 one.
_MAPPED = "::ffff:"


def client_of(proxy: MappingProxy, address: object, info: ClientInfo | None) -> Client:
    """What hooks learn of a client."""
    host, port = address[:2] if isinstance(address, tuple) else ("", 0)
    if host.startswith(_MAPPED) and "." in host:
        host = host.removeprefix(_MAPPED)
    facts = ClientInfo() if info is None else info
    certificate = None if facts.tls is None else facts.tls.certificate
    return Client(
        address=host,
        port=port,
        mapping=str(proxy.mapping),
        service=proxy.mapping.service,
        server_name=facts.server_name or "",
        common_name="" if certificate is None else certificate.common_name,
        via="" if facts.via is None else address_text(facts.via),
        upstreams=proxy.serving_upstreams,
    )


def denied(info: ClientInfo | None, visit: Visit) -> ClientInfo:
    """What is known of a client, and why it was denied."""
    return evolve(info or ClientInfo(), error=visit.denial)


class _HookedSession(TcpSession):
    """What sessions with hooks have in common; a class of its own holds the visit."""

    __slots__ = ()

    _visit: Visit | None

    @property
    def info(self) -> ClientInfo | None:  # type: ignore[override]
        """What is known from the handshake, and from hooks."""
        info, visit = super().info, self._visit
        return denied(info, visit) if visit is not None and visit.denial else info

    def start(self) -> None:
        """Ask the hooks, and then dial, the preferred upstream first."""
        self._visit = None  # type: ignore[misc] # of the classes below
        proxy = self._proxy
        try:
            assert proxy.hooks is not None
            client = client_of(proxy, self.address, self.info)
            visit = proxy.hooks.accept(client)
            self._visit = visit  # type: ignore[misc]
            if visit.denial:
                reset_on_close(self._client_socket())
                self.on_failed(Termination.DENIED)
                return
            if visit.preferred is not None and self._dial_first(visit):
                return
        except Exception:
            # A bug in lbconsul: report it, but leak nothing.
            self.end(Termination.INTERNAL)
            raise
        super().start()

    def _dial_first(self, visit: Visit) -> bool:
        """Dial the preferred upstream; whether it may have a connection."""
        proxy, preferred = self._proxy, visit.preferred
        assert preferred is not None
        lease = proxy.dialer.failover.lease_instance(preferred)
        if lease is None:
            return False
        if proxy.upstream_handshake is None:
            dial = self._dial = DialAttempt(proxy.dialer, self, self.begun_at)
        else:
            dial = self._dial = self._handshake_dial(proxy.upstream_handshake)
        if proxy.key_of is not None:
            dial.key = proxy.key_of(self.address)  # if that one does not accept
        dial.connect_to(lease)
        if self.state is SessionState.STARTING:
            self.state = SessionState.DIALING
            proxy.dial_sweeper.add(self)
        return True

    def on_failed(self, termination: Termination) -> None:
        retries = 0 if self._dial is None else len(self._dial.tried)
        super().on_failed(termination)
        self._tell(termination, retries=retries)

    def on_closed(self, termination: Termination, *, by_upstream: bool) -> None:
        super().on_closed(termination, by_upstream=by_upstream)
        self._tell(termination, is_joined=True, retries=self._retries)

    def _tell(
        self, termination: Termination, *, retries: int, is_joined: bool = False
    ) -> None:
        visit = self._visit
        if visit is None:
            return
        connection = Connection(
            client=visit.client,
            upstream=self.lease.upstream if is_joined else None,
            termination=termination.code,
            seconds=self._proxy.clock.seconds() - self.accepted_at,
            received=self._relay.client.moved if is_joined else 0,
            sent=self._relay.upstream.moved if is_joined else 0,
            retries=retries,
        )
        visit.end(connection)


class HookedTcpSession(_HookedSession):
    """A session of a client that needs no handshake."""

    __slots__ = ("_visit",)


class HookedPostHandshakeSession(_HookedSession, PostHandshakeSession):
    """A session of a client that has had a handshake."""

    __slots__ = ("_visit",)


class HookedRoutedSession(_HookedSession, RoutedSession):
    """A session of a route, which access control of its mapping counts as well."""

    __slots__ = ("_visit",)


def hooked(
    proxy: MappingProxy,
    client: Stream,
    sock: BareSocket,
    address: object,
    accepted_at: float,
    info: ClientInfo | None,
    admitted_by: Admission | None,
) -> PostHandshakeSession:
    """A session after a handshake; `admitted_by` counts the clients of a route, too."""
    known = proxy, client, sock, address, accepted_at, info
    if admitted_by is not None:
        return HookedRoutedSession(*known, admitted_by)
    return HookedPostHandshakeSession(*known)
