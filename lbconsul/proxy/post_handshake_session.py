"""Sessions of clients that have had a handshake."""

from lbconsul.net.sockets import BareSocket
from lbconsul.net.stream import Stream
from lbconsul.proxy.access_control import AccessControl
from lbconsul.proxy.client_info import ClientInfo
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.tcp_session import TcpSession
from lbconsul.stats.termination import Termination


class PostHandshakeSession(TcpSession):
    """A session of a client that has had a handshake."""

    __slots__ = ("_socket", "info")

    def __init__(
        self,
        proxy: MappingProxy,
        client: Stream,
        sock: BareSocket,
        address: object,
        accepted_at: float,
        info: ClientInfo | None,
    ) -> None:
        """`client` is the stream on the socket `sock`, or that itself."""
        super().__init__(proxy, client, address, accepted_at)
        self._socket = sock
        self.info = info
        self.begun_at = proxy.clock.seconds()

    def _client_socket(self) -> BareSocket:
        return self._socket


class RoutedSession(PostHandshakeSession):
    """A session of a route, which access control of its mapping counts as well."""

    __slots__ = ("_admitted_by",)

    def __init__(
        self,
        proxy: MappingProxy,
        client: Stream,
        sock: BareSocket,
        address: object,
        accepted_at: float,
        info: ClientInfo | None,
        admitted_by: AccessControl,
    ) -> None:
        super().__init__(proxy, client, sock, address, accepted_at, info)
        self._admitted_by = admitted_by

    def on_failed(self, termination: Termination) -> None:
        super().on_failed(termination)
        self._admitted_by.release(self.address)

    def on_closed(self, termination: Termination, *, by_upstream: bool) -> None:
        super().on_closed(termination, by_upstream=by_upstream)
        self._admitted_by.release(self.address)
