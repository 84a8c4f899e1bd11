"""Where several processes accept from one queue: who goes first."""

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: How long to let others go first, in seconds: enough for an idle process to
#: wake up.  Whoever is still in the queue then is taken.
GIVE_WAY = 0.001

#: For how long after that it is our turn, in seconds: a busy reactor may not come
#: round to the queue at once, and whoever comes later is another client.
OUR_TURN = 0.02


@define(eq=False)
class AcceptBalancer:
    """Lets the others go first when `is_overloaded`; after them it is our turn."""

    _clock: IReactorTime
    #: Whether the others should go first; None: there are no others.
    _is_overloaded: Callable[[], bool] | None
    #: Called when the others' turn is over.
    _go_on: Callable[[], None]
    #: The call that ends the others' turn, and until when then ours is.
    _others_turn: IDelayedCall | None = None
    _our_turn: float = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether it is the others' turn."""
        return self._others_turn is not None

    def should_yield(self) -> bool:
        """Somebody is in the queue: whether the others should go first."""
        if self._is_overloaded is None:
            return False
        is_ours = self._clock.seconds() < self._our_turn
        self._our_turn = 0.0
        if is_ours or not self._is_overloaded():
            return False
        self._others_turn = self._clock.callLater(GIVE_WAY, self._gave_way)
        return True

    def stop(self) -> None:
        """Wait no longer."""
        if self._others_turn is not None:
            self._others_turn.cancel()
            self._others_turn = None

    def _gave_way(self) -> None:
        self._others_turn = None
        self._our_turn = self._clock.seconds() + OUR_TURN
        self._go_on()
