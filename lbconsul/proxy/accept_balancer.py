"""Balances accepts among worker processes that share one accept queue."""

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: How long an overloaded worker leaves pending connections to the others, in
#: seconds: enough for an idle process to wake up.  It then accepts what is left.
GIVE_WAY = 0.001

#: How long after that pause this worker accepts without another one, in seconds: a
#: busy reactor may not read the queue at once, and later clients are new ones.
OUR_TURN = 0.02


@define(eq=False)
class AcceptBalancer:
    """Delays accepting while `is_overloaded`; after each delay this worker accepts."""

    _clock: IReactorTime
    #: Whether other workers should accept first.
    _is_overloaded: Callable[[], bool]
    #: Resumes accepting when the delay is over.
    _go_on: Callable[[], None]
    #: The call that ends the delay, and until when the next accept is not delayed.
    _others_turn: IDelayedCall | None = None
    _our_turn: float = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether accepting is delayed now."""
        return self._others_turn is not None

    def should_yield(self) -> bool:
        """Whether to leave a pending connection to other workers; begins the delay."""
        is_ours = self._clock.seconds() < self._our_turn
        self._our_turn = 0.0
        if is_ours or not self._is_overloaded():
            return False
        self._others_turn = self._clock.callLater(GIVE_WAY, self._gave_way)
        return True

    def stop(self) -> None:
        """Cancel the delay, without resuming."""
        if self._others_turn is not None:
            self._others_turn.cancel()
            self._others_turn = None

    def _gave_way(self) -> None:
        self._others_turn = None
        self._our_turn = self._clock.seconds() + OUR_TURN
        self._go_on()
