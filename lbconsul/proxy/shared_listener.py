"""A listener whose accept queue other processes share."""

from collections.abc import Callable

from attrs import Factory, define, field

from lbconsul.net.exclusive import wake_one
from lbconsul.proxy.accept_balancer import AcceptBalancer
from lbconsul.proxy.listener import Listener


@define(eq=False, repr=False)
class SharedListener(Listener):
    """Accepts its part of the clients of all processes.

    For each client the kernel wakes one of the idle processes that are not overloaded,
    where the reactor supports that.  An overloaded process is woken for each client as
    well: it leaves the client to the others, but accepts it if none of them does.
    """

    #: Whether other processes should accept first.
    _is_overloaded: Callable[[], bool] = field(kw_only=True)
    #: Whether the kernel wakes no other process when it wakes this one.
    _is_exclusive: bool = False
    _can_be_exclusive: bool = True
    _accept_balancer: AcceptBalancer = Factory(
        lambda self: AcceptBalancer(self._clock, self._is_overloaded, self._resume),
        takes_self=True,
    )

    def stopService(self) -> None:
        super().stopService()
        self._accept_balancer.stop()

    def doRead(self) -> None:
        # If no other process was woken, there is none to leave the clients to.
        if not self._is_exclusive and self._accept_balancer.should_yield():
            self._pause()
            return
        super().doRead()
        if self._reading and self._is_exclusive is not self._should_be_exclusive():
            self._reactor.removeReader(self)
            self._watch()

    def tick(self) -> None:
        # A process that stops or hangs at the moment when the kernel wakes it accepts
        # nothing, and so does one that has reached its connection limit.
        if self._reading and self._is_exclusive:
            self.doRead()

    def _may_accept(self) -> bool:
        return not self._accept_balancer.is_waiting and super()._may_accept()

    def _watch(self) -> None:
        super()._watch()
        self._is_exclusive = False
        if self._should_be_exclusive():
            self._is_exclusive = wake_one(self._reactor, self.fileno())
            self._can_be_exclusive = self._is_exclusive

    def _should_be_exclusive(self) -> bool:
        return self._can_be_exclusive and not self._is_overloaded()
