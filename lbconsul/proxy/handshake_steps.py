"""The steps of a client's handshake."""

from abc import abstractmethod
from collections.abc import Callable

from lbconsul.net.proxy_protocol import MAX_HEADER, BadHeader, Header, parse
from lbconsul.net.sockets import reset_on_close
from lbconsul.proxy.access_control import AccessControl
from lbconsul.proxy.handshake_settings import HandshakeState
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

    # Set by the class that is made, as those of `TLSHandshake` are.
    _access_control: AccessControl | None
    #: The present step.
    state: HandshakeState
    #: The client's address.
    address: object
    #: Whether access control has let the client in, and counts it.
    is_admitted: bool
    #: The address of the proxy whose header names the client, and that header.
    _via: object
    _header: Header | None
    #: What a ClientHello that stays in the kernel asks for.
    _server_name: str | None

    @abstractmethod
    def end(self, termination: Termination, error: str = "") -> None:
        """Close the client."""

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


#: How each step is taken.  The call returns whether the step is complete; if not, it is
#: to be taken again when the poller sees more, unless the handshake has ended.
TAKE: dict[HandshakeState, Callable[[HandshakeSteps], bool]] = {
    HandshakeState.PROXY_HEADER: HandshakeSteps._read_header,
    HandshakeState.ADMISSION: HandshakeSteps._admit,
    HandshakeState.TLS: HandshakeSteps._await_turn,
    HandshakeState.CLIENT_HELLO: HandshakeSteps._look_at_hello,
    HandshakeState.FIRST_BYTE: HandshakeSteps._await_byte,
}
