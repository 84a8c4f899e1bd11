"""A listener whose accept queue other processes share."""

import select
from collections.abc import Callable, Iterable, Iterator

from attrs import Factory, define, field
from twisted.python.failure import Failure

from lbconsul.net.exclusive import wake_one
from lbconsul.proxy.accept_balancer import AcceptBalancer
from lbconsul.proxy.listener import Listener


@define(eq=False)
class LeftClients:
    """Finds clients that wait though a process was woken for them.

    A process that stops or hangs at the moment when the kernel wakes it accepts none,
    and neither does one that has reached its connection limit.
    """

    _listeners: dict[int, "SharedListener"] = Factory(dict)
    #: Asks all queues in one system call: there may be thousands.
    _poll: select.poll = Factory(select.poll)

    def add(self, listener: "SharedListener") -> None:
        """Look after the clients of a listener that only one process is woken for."""
        self._listeners[listener.fileno()] = listener
        self._poll.register(listener.fileno(), select.POLLIN)

    def discard(self, listener: "SharedListener") -> None:
        """Stop to look after them, if it was added."""
        if self._listeners.pop(listener.fileno(), None) is not None:
            self._poll.unregister(listener.fileno())

    def tick(self) -> Iterable[None]:
        """Have the clients accepted, those of one listener in each step."""
        found = self._poll.poll(0)
        return self._accept([each for each, _ in found]) if found else ()

    def _accept(self, descriptors: list[int]) -> Iterator[None]:
        for each in descriptors:
            listener = self._listeners.get(each)
            if listener is not None:  # unless it has paused since
                listener.doRead()
            yield


@define(eq=False, repr=False)
class SharedListener(Listener):
    """Accepts its part of the clients of all processes.

    For each client the kernel wakes one of the idle processes that are not overloaded,
    where the reactor supports that.  An overloaded process is woken for each client as
    well: it leaves the client to the others, but accepts it if none of them does.
    """

    #: Whether other processes should accept first.
    _is_overloaded: Callable[[], bool] = field(kw_only=True)
    _left_clients: LeftClients = field(kw_only=True)
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

    def connectionLost(self, reason: Failure) -> None:
        self._left_clients.discard(self)
        super().connectionLost(reason)

    def _may_accept(self) -> bool:
        return not self._accept_balancer.is_waiting and super()._may_accept()

    def _watch(self) -> None:
        super()._watch()
        self._left_clients.discard(self)
        self._is_exclusive = False
        if self._should_be_exclusive():
            self._is_exclusive = wake_one(self._reactor, self.fileno())
            self._can_be_exclusive = self._is_exclusive
        if self._is_exclusive:
            self._left_clients.add(self)

    def _pause(self) -> None:
        self._left_clients.discard(self)
        super()._pause()

    def _should_be_exclusive(self) -> bool:
        return self._can_be_exclusive and not self._is_overloaded()
