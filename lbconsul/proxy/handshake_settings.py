"""What the clients of a mapping have to do before they get an upstream."""

from enum import Enum, auto
from typing import Self

from attrs import frozen

from lbconsul.config.model import Mapping
from lbconsul.net.cidr import Networks, read_address
from lbconsul.stats.termination import Termination


class HandshakeState(Enum):
    """What a handshake waits for; the steps come in this order."""

    #: A header of the PROXY protocol.
    PROXY_HEADER = auto()
    #: The client's first byte, which stays in the kernel.
    FIRST_BYTE = auto()
    #: Nothing: the client was closed, or has its session.
    OVER = auto()


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


@frozen
class HandshakeSettings:
    """What the handshakes of one mapping share."""

    _steps: tuple[Step, ...]
    #: The networks whose clients begin with a PROXY header.
    _announced: Networks

    @classmethod
    def of(cls, mapping: Mapping) -> Self | None:
        """The settings for a mapping; None if its clients need no handshake."""
        steps = []
        if mapping.proxy_protocol.accept:
            steps.append(_PROXY_HEADER)
        if mapping.waits_for_client:
            steps.append(_first_byte(mapping))
        announced = Networks.of(mapping.proxy_protocol.accept)
        return cls(tuple(steps), announced) if steps else None

    def steps_of(self, address: object) -> tuple[Step, ...]:
        """The steps of a client whose connection is from this address."""
        steps = self._steps
        if steps[0] is _PROXY_HEADER and not self._announces(address):
            return steps[1:]
        return steps

    def _announces(self, address: object) -> bool:
        if not isinstance(address, tuple):
            return True  # who may connect to a UNIX socket is up to its permissions
        ip = read_address(address[0])
        return ip is not None and ip in self._announced


def _first_byte(mapping: Mapping) -> Step:
    timeouts = mapping.timeouts
    return Step(
        HandshakeState.FIRST_BYTE,
        timeouts.first_byte or timeouts.idle,
        Termination.FIRST_BYTE_TIMEOUT if timeouts.first_byte else Termination.IDLE,
        Termination.FIRST_BYTE_LEFT,
    )
