"""The steps that the clients of a mapping take before they get an upstream."""

from enum import IntEnum, auto
from math import inf
from typing import TYPE_CHECKING, Protocol, Self

from attrs import frozen

from lbconsul.config.model import Mapping
from lbconsul.net.cidr import Networks, read_address
from lbconsul.net.sockets import BareSocket
from lbconsul.stats.termination import Termination

if TYPE_CHECKING:  # it takes memory that mappings without TLS do without
    from lbconsul.tls.stream import TLSStream


class HandshakeState(IntEnum):
    """What a handshake waits for; the steps come in this order.

    With a first-byte-timeout the first byte is waited for before TLS, too.
    """

    #: A header of the PROXY protocol.
    PROXY_HEADER = auto()
    #: Nothing: access control decides at once.
    ADMISSION = auto()
    #: The handshake of TLS that ends here.
    TLS = auto()
    #: A ClientHello of TLS, which stays in the kernel.
    CLIENT_HELLO = auto()
    #: The client's first byte, which stays in the kernel.
    FIRST_BYTE = auto()
    #: Nothing: the client was closed, or has its session.
    OVER = auto()


class TLSAcceptor(Protocol):
    """Serves TLS to the clients of a mapping."""

    def accept(self, sock: BareSocket) -> "TLSStream":
        """The stream of a client that has connected; its handshake is still to do.

        :raises OSError: it cannot be served.
        """


@frozen
class Step:
    """One step of a handshake: how long it may take, and how it fails."""

    state: HandshakeState
    #: In seconds.
    timeout: float
    #: How it ends when the time is over, and when the client leaves.
    overdue: Termination
    left: Termination


#: The format asks for at least 3 s, in which TCP can send a lost segment again
#: (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, 2).
_PROXY_HEADER = Step(
    HandshakeState.PROXY_HEADER,
    3.0,
    Termination.HEADER_TIMEOUT,
    Termination.HEADER_LEFT,
)

_ADMISSION = Step(
    HandshakeState.ADMISSION, inf, Termination.DENIED, Termination.CLIENT_LEFT
)

#: A client far away that has to send again needs some seconds.
_TLS = Step(HandshakeState.TLS, 10.0, Termination.TLS_TIMEOUT, Termination.TLS_LEFT)

_CLIENT_HELLO = Step(
    HandshakeState.CLIENT_HELLO, 3.0, Termination.TLS_TIMEOUT, Termination.TLS_LEFT
)


@frozen
class HandshakeSettings:
    """What the handshakes of one mapping share."""

    #: The steps that follow a PROXY header.
    _steps: tuple[Step, ...]
    #: The networks of proxies, whose connections begin with a PROXY header.
    _proxies: Networks | None
    #: None: TLS does not end here.
    acceptor: TLSAcceptor | None = None

    @classmethod
    def of(cls, mapping: Mapping, acceptor: TLSAcceptor | None = None) -> Self | None:
        """The settings for a mapping; None if its clients need no handshake.

        A mapping with TLS needs an `acceptor`.  The clients of a route or a part have
        had the handshake of its mapping.
        """
        if mapping.key:
            return None
        accept, steps = mapping.proxy_protocol.accept, [_ADMISSION]
        has_tls, is_sni = bool(mapping.tls.certificates), mapping.mode == "sni"
        if mapping.timeouts.first_byte and (has_tls or is_sni):
            steps.append(_first_byte(mapping))
        if has_tls:
            assert acceptor is not None
            steps.append(_TLS)
        if is_sni:
            steps.append(_CLIENT_HELLO)
        elif mapping.waits_for_client:
            steps.append(_first_byte(mapping))
        proxies = Networks.of(accept) if accept else None
        if len(steps) == 1 and proxies is None:
            return None
        return cls(tuple(steps), proxies, acceptor)

    def steps_of(self, address: object) -> tuple[Step, ...]:
        """The steps of a client whose connection is from this address."""
        if self._proxies is not None and _is_proxy(self._proxies, address):
            return (_PROXY_HEADER, *self._steps)
        return self._steps


def _is_proxy(proxies: Networks, address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # who may connect to a UNIX socket is up to its permissions
    ip = read_address(address[0])
    return ip is not None and ip in proxies


def _first_byte(mapping: Mapping) -> Step:
    timeouts = mapping.timeouts
    return Step(
        HandshakeState.FIRST_BYTE,
        timeouts.first_byte or timeouts.idle,
        Termination.FIRST_BYTE_TIMEOUT if timeouts.first_byte else Termination.IDLE,
        Termination.FIRST_BYTE_LEFT,
    )
