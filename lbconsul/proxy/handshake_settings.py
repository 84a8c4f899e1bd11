"""What the clients of a mapping have to do before they get an upstream."""

from enum import Enum, auto
from typing import Self

from attrs import frozen

from lbconsul.config.model import Mapping
from lbconsul.stats.termination import Termination


class HandshakeState(Enum):
    """What a handshake waits for; the steps come in this order."""

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


@frozen
class HandshakeSettings:
    """What the handshakes of one mapping share."""

    steps: tuple[Step, ...]

    @classmethod
    def of(cls, mapping: Mapping) -> Self | None:
        """The settings for a mapping; None if its clients need no handshake."""
        steps = []
        if mapping.waits_for_client:
            steps.append(_first_byte(mapping))
        return cls(tuple(steps)) if steps else None


def _first_byte(mapping: Mapping) -> Step:
    timeouts = mapping.timeouts
    return Step(
        HandshakeState.FIRST_BYTE,
        timeouts.first_byte or timeouts.idle,
        Termination.FIRST_BYTE_TIMEOUT if timeouts.first_byte else Termination.IDLE,
        Termination.FIRST_BYTE_LEFT,
    )
