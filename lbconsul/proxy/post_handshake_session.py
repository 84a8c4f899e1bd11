"""Sessions of clients that have had a handshake."""

from typing import TYPE_CHECKING, cast

from lbconsul.net.sockets import BareSocket
from lbconsul.net.stream import Stream
from lbconsul.proxy.access_control import Admission
from lbconsul.proxy.client_info import ClientInfo, with_tls
from lbconsul.proxy.mapping_proxy import MappingProxy
from lbconsul.proxy.tcp_session import TcpSession
from lbconsul.stats.termination import Termination

if TYPE_CHECKING:  # OpenSSL takes memory that mappings without TLS do without
    from lbconsul.tls.stream import TLSStream


class PostHandshakeSession(TcpSession):
    """A session of a client that has had a handshake."""

    __slots__ = ("_known", "_socket")

    def __init__(
        self,
        proxy: MappingProxy,
        client: Stream,
        sock: BareSocket,
        address: object,
        accepted_at: float,
        info: ClientInfo | None,
    ) -> None:
        """`client` is the stream on the socket `sock`, or that itself.

        `info` is what is known without TLS that ends here; None if that is nothing.
        """
        super().__init__(proxy, client, address, accepted_at)
        self._socket = sock
        self._known = info
        self.begun_at = proxy.clock.seconds()

    @property
    def info(self) -> ClientInfo | None:  # type: ignore[override]
        """What is known from the handshake.

        OpenSSL is asked each time: it takes as long as the rest of the session's
        beginning, and without a log few connections need it.
        """
        if self.client is self._socket:
            return self._known
        return with_tls(self._known, cast("TLSStream", self.client))

    def _client_socket(self) -> BareSocket:
        return self._socket


class RoutedSession(PostHandshakeSession):
    """A session of a route or part, which other access control counts as well."""

    __slots__ = ("_admitted_by",)

    def __init__(
        self,
        proxy: MappingProxy,
        client: Stream,
        sock: BareSocket,
        address: object,
        accepted_at: float,
        info: ClientInfo | None,
        admitted_by: Admission,
    ) -> None:
        super().__init__(proxy, client, sock, address, accepted_at, info)
        self._admitted_by = admitted_by

    def on_failed(self, termination: Termination) -> None:
        super().on_failed(termination)
        self._admitted_by.release(self.address)

    def on_closed(self, termination: Termination, *, by_upstream: bool) -> None:
        super().on_closed(termination, by_upstream=by_upstream)
        self._admitted_by.release(self.address)
