"""The steps of a client's handshake."""

from abc import abstractmethod
from collections.abc import Callable

from lbconsul.net.poller import Poller
from lbconsul.net.proxy_protocol import MAX_HEADER, BadHeader, Header, parse
from lbconsul.net.sockets import BareSocket, reset_on_close
from lbconsul.proxy.access_control import AccessControl
from lbconsul.proxy.handshake_queue import HandshakeQueue
from lbconsul.proxy.handshake_settings import HandshakeState, TLSAcceptor
from lbconsul.proxy.tls_handshake import TLSHandshake
from lbconsul.stats.termination import Termination
from lbconsul.tls import client_hello


class HandshakeSteps(TLSHandshake):
    """Takes one step of a client's handshake at a time, and keeps what it learns."""

    __slots__ = (
        "_access_control",
        "_header",
        "_server_name",
        "_via",
        "address",
        "is_admitted",
        "state",
    )

    #: The present step.
    state: HandshakeState

    def __init__(
        self,
        client: BareSocket,
        address: object,
        poller: Poller,
        queue: HandshakeQueue,
        acceptor: TLSAcceptor | None,
        access_control: AccessControl | None,
    ) -> None:
        super().__init__(client, poller, queue, acceptor)
        self._access_control = access_control
        self.address = address
        #: Whether access control has let the client in, and counts it.
        self.is_admitted = False
        #: The address of the proxy whose header names the client, and that header.
        self._via: object = None
        self._header: Header | None = None
        #: What a ClientHello that stays in the kernel asks for.
        self._server_name: str | None = None

    @abstractmethod
    def end(self, termination: Termination, error: str = "") -> None:
        """Close the client."""

    def _take_step(self) -> bool:
        """Take the present step; returns whether it is complete.

        If not, it is to be taken again when the poller sees more, unless the handshake
        has ended.
        """
        return _TAKE[self.state](self)

    def _read_header(self) -> bool:
        data = self._peek(MAX_HEADER)
        if not data:
            return False
        try:
            header = parse(data)
        except BadHeader as error:
            self.end(Termination.BAD_HEADER, str(error))
            return False
        if header is None:
            self._await_more(len(data))
            return False
        self._read(header.length)  # and no byte of what follows
        self._header = header
        if header.source is not None:
            self._via, self.address = self.address, header.source
        return True

    def _admit(self) -> bool:
        control = self._access_control
        refused = None if control is None else control.refuse(self.address)
        if refused is None:
            self.is_admitted = True
            return True
        # As in `MappingProxy.turn_away`.
        reset_on_close(self.stream)
        self.end(refused)
        return False

    def _look_at_hello(self) -> bool:
        data = self._peek(client_hello.MAX_HELLO)
        if not data:
            return False
        try:
            hello = client_hello.parse(data)
        except client_hello.BadHello as error:
            self._on_tls_failed(str(error))
            return False
        if hello is None:
            self._await_more(len(data))
            return False
        self._await_any()
        self._server_name = hello.server_name
        return True

    def _await_byte(self) -> bool:
        return bool(self._peek(1))

    def _on_tls_failed(self, reason: str) -> None:
        self.end(Termination.TLS_FAILED, reason)

    def _on_bug(self) -> None:
        self.end(Termination.INTERNAL)


_TAKE: dict[HandshakeState, Callable[[HandshakeSteps], bool]] = {
    HandshakeState.PROXY_HEADER: HandshakeSteps._read_header,
    HandshakeState.ADMISSION: HandshakeSteps._admit,
    HandshakeState.TLS: HandshakeSteps._await_turn,
    HandshakeState.CLIENT_HELLO: HandshakeSteps._look_at_hello,
    HandshakeState.FIRST_BYTE: HandshakeSteps._await_byte,
}
