"""Which sockets are ready: an epoll of the connections' own, inside the reactor's."""

import select
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

#: So many events are taken from the kernel at once.
_BATCH = 256

_Call = Callable[[Any], None]

_IN = 1  # EPOLLIN and EPOLLOUT, which not every system has a name for
_OUT = 4


class Poller(Protocol):
    """Tells descriptors what is ready, in the words of `IReactorFDSet`."""

    def addReader(self, each: Any) -> None:
        """Call its ``doRead`` when there is something to read, or an error."""

    def removeReader(self, each: Any) -> None:
        """Call its ``doRead`` no longer."""

    def addWriter(self, each: Any) -> None:
        """Call its ``doWrite`` when there is room to write, or an error."""

    def removeWriter(self, each: Any) -> None:
        """Call its ``doWrite`` no longer."""

    def forget(self, each: Any) -> None:
        """Call nothing of it any more: its socket is about to be closed."""

    def later(self, each: Any) -> None:
        """Call its ``proceed`` once all events that came together are told."""

    def stop(self) -> None:
        """Nothing is watched any more, nor will be."""


def open_poller(reactor: IReactorFDSet) -> Poller:
    """The cheapest poller that there is on this system."""
    if hasattr(select, "epoll"):
        return EpollPoller(reactor)
    return ReactorPoller(reactor)


class ReactorPoller:
    """The reactor itself, where there is nothing cheaper."""

    def __init__(self, reactor: IReactorFDSet) -> None:
        self.addReader: _Call = reactor.addReader
        self.removeReader: _Call = reactor.removeReader
        self.addWriter: _Call = reactor.addWriter
        self.removeWriter: _Call = reactor.removeWriter

    def forget(self, each: Any) -> None:
        self.removeReader(each)
        self.removeWriter(each)

    def later(self, each: Any) -> None:
        each.proceed()

    def stop(self) -> None:
        """Nothing of its own to close."""


@implementer(IReadDescriptor)
class EpollPoller:
    """One descriptor for the reactor, whatever the number of connections.

    The reactor looks up a log prefix, a logging context and the state of a
    descriptor round each event, and asks the kernel to forget each socket that
    is about to be closed, which the kernel does by itself.  Without that a
    connection costs a sixth less.

    What it watches has a number `watched`, at first 0, which is this poller's.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorFDSet) -> None:
        self._reactor = reactor
        self._epoll = select.epoll()
        self._poll = self._epoll.poll
        self._watched: dict[int, Any] = {}
        self._started = False
        self._later: list[Any] = []

    def addReader(self, each: Any) -> None:
        self._watch(each, each.watched | _IN)

    def addWriter(self, each: Any) -> None:
        self._watch(each, each.watched | _OUT)

    def removeReader(self, each: Any) -> None:
        self._watch(each, each.watched & ~_IN)

    def removeWriter(self, each: Any) -> None:
        self._watch(each, each.watched & ~_OUT)

    def _watch(self, each: Any, events: int) -> None:
        before = each.watched
        if events == before:
            return
        each.watched = events
        descriptor = each.fileno()
        if not before:
            self._watched[descriptor] = each
            self._epoll.register(descriptor, events)
            if not self._started:
                self._started = True
                self._reactor.addReader(self)
        elif events:
            self._epoll.modify(descriptor, events)
        else:
            # Not left there with no events: the kernel would go on to tell that
            # the peer has gone, without end.
            del self._watched[descriptor]
            self._epoll.unregister(descriptor)

    def forget(self, each: Any) -> None:
        if each.watched:
            each.watched = 0
            del self._watched[each.fileno()]

    def stop(self) -> None:
        self._watched.clear()
        if self._started:
            self._reactor.removeReader(self)
        self._epoll.close()

    def later(self, each: Any) -> None:
        self._later.append(each)

    def fileno(self) -> int:
        """Called by the reactor."""
        return self._epoll.fileno() if not self._epoll.closed else -1

    def logPrefix(self) -> str:
        """Called by the reactor for each event."""
        return "poller"

    def doRead(self) -> None:
        """Pass on what the kernel has to tell.  Called by the reactor."""
        watched = self._watched
        for descriptor, events in self._poll(0, _BATCH):
            each = watched.get(descriptor)
            if each is None:
                continue  # it ended in this very turn
            try:
                # An error, or a peer that is gone, shows in what is done next.
                if each.watched == _IN or events & _IN:
                    each.doRead()
                if events & ~_IN and each.watched & _OUT:
                    each.doWrite()
            except Exception:
                self._log.failure("a bug in lbconsul")
                each.connectionLost(Failure())
        if self._later:
            later, self._later = self._later, []
            for each in later:
                each.proceed()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is at its end, and so is all that is watched."""
        for each in tuple(self._watched.values()):
            each.connectionLost(reason)
