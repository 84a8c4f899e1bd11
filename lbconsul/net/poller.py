"""Polls connections' sockets with an epoll of their own, nested in the reactor's."""

import select
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorFDSet, IReactorTime, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from lbconsul.net.throttled_log import ThrottledFailures

#: Most events taken from the kernel at once.
_BATCH = 256

#: Events in a row for unknown descriptors after which the epoll is replaced.
_MANY_ORPHANS = 1000

_Call = Callable[[Any], None]

_IN = 1  # EPOLLIN and EPOLLOUT, which not every system has a name for
_OUT = 4


class Poller(Protocol):
    """Watches descriptors and calls them when ready, as `IReactorFDSet` does."""

    def addReader(self, *each: Any) -> None:
        """Call ``doRead`` of each when there is something to read, or an error."""

    def removeReader(self, each: Any) -> None:
        """Stop calling its ``doRead``."""

    def addWriter(self, each: Any) -> None:
        """Call its ``doWrite`` when there is room to write, or an error."""

    def removeWriter(self, each: Any) -> None:
        """Stop calling its ``doWrite``."""

    def unwatch(self, each: Any) -> None:
        """Stop calling its ``doRead`` and its ``doWrite``."""

    def forget(self, *each: Any) -> None:
        """Stop watching them: their sockets are about to be closed."""

    def serve_ready(self) -> None:
        """Call those that are ready, before the reactor's turn is over."""

    @property
    def later(self) -> _Call:
        """Calls its ``proceed`` after the current batch of events, unless forgotten."""

    def stop(self) -> None:
        """Stop watching everything, for good."""


def open_poller(reactor: IReactorFDSet) -> Poller:
    """The cheapest poller that this system has."""
    if hasattr(select, "epoll"):
        return EpollPoller(reactor)
    return ReactorPoller(reactor)


class ReactorPoller:
    """Passes all calls to the reactor, on systems without epoll."""

    def __init__(self, reactor: IReactorFDSet) -> None:
        self._reactor = reactor
        self.removeReader: _Call = reactor.removeReader
        self.addWriter: _Call = reactor.addWriter
        self.removeWriter: _Call = reactor.removeWriter

    def addReader(self, *each: Any) -> None:
        for one in each:
            self._reactor.addReader(one)

    def unwatch(self, each: Any) -> None:
        self.removeReader(each)
        self.removeWriter(each)

    def forget(self, *each: Any) -> None:
        for one in each:
            self.unwatch(one)

    def serve_ready(self) -> None:
        """The reactor does, in its next turn."""

    def later(self, each: Any) -> None:
        each.proceed()

    def stop(self) -> None:
        """Nothing to close: the reactor does the polling."""


@implementer(IReadDescriptor)
class EpollPoller:
    """Registers one descriptor with the reactor, for any number of connections.

    The reactor looks up a log prefix, a logging context and the state of a
    descriptor for each event, and unregisters each socket before it is closed,
    which the kernel does by itself.  Without that a request costs a tenth less and
    a connection a sixth.

    Watched objects have an integer `watched`, initially 0, that only the poller sets,
    and a `stream`, which has the descriptor.
    """

    def __init__(self, reactor: IReactorFDSet) -> None:
        self._reactor = reactor
        self._bugs = ThrottledFailures(IReactorTime(reactor))
        #: Opened when there is something to watch.
        self._epoll: select.epoll | None = None
        self._watched: dict[int, Any] = {}
        self._later: list[Any] = []
        #: Descriptors that were forgotten in this batch: its further events for them
        #: are not those of sockets that have their numbers by now.
        self._forgotten: set[int] = set()
        self.later: _Call = self._later.append
        #: Events in a row for unknown descriptors.
        self._orphans = 0

    def addReader(self, *each: Any) -> None:
        for one in each:
            if one.watched:
                self._watch(one, one.watched | _IN)
                continue
            # A connection's beginning: `_watch` without a call.
            epoll, descriptor = self._epoll or self._open(), one.stream.fileno()
            epoll.register(descriptor, _IN)  # may raise OSError
            self._watched[descriptor] = one
            one.watched = _IN

    def addWriter(self, each: Any) -> None:
        if each.watched:
            self._watch(each, each.watched | _OUT)
            return
        # As in addReader: a dial's beginning.
        epoll, descriptor = self._epoll or self._open(), each.stream.fileno()
        epoll.register(descriptor, _OUT)
        self._watched[descriptor] = each
        each.watched = _OUT

    def removeReader(self, each: Any) -> None:
        if each.watched & _IN:
            self._watch(each, each.watched & ~_IN)

    def removeWriter(self, each: Any) -> None:
        if each.watched & _OUT:
            self._watch(each, each.watched & ~_OUT)

    def unwatch(self, each: Any) -> None:
        if each.watched:
            epoll, descriptor = self._epoll or self._open(), each.stream.fileno()
            # Not kept with an empty mask: epoll would still report EPOLLHUP and
            # EPOLLERR, and the reactor would spin.
            del self._watched[descriptor]
            epoll.unregister(descriptor)
            each.watched = 0

    def _watch(self, each: Any, events: int) -> None:
        before = each.watched
        if events == before:
            return
        if not events:
            self.unwatch(each)
            return
        descriptor = each.stream.fileno()
        epoll = self._epoll or self._open()
        if not before:
            epoll.register(descriptor, events)  # may raise OSError
            self._watched[descriptor] = each
        else:
            epoll.modify(descriptor, events)
        each.watched = events

    def forget(self, *each: Any) -> None:
        for one in each:
            if one.watched:
                one.watched = 0
                descriptor = one.stream.fileno()
                del self._watched[descriptor]
                self._forgotten.add(descriptor)

    def _open(self) -> select.epoll:
        self._epoll = select.epoll()
        self._reactor.addReader(self)
        return self._epoll

    def stop(self) -> None:
        for each in self._watched.values():
            each.watched = 0
        self._watched.clear()
        self._close()

    def _close(self) -> None:
        if self._epoll is not None:
            self._reactor.removeReader(self)
            self._epoll.close()
            self._epoll = None

    def _renew(self) -> None:
        """Watch the same sockets with a new epoll.

        A child that forked without exec holds a copy of every socket, and the kernel
        then keeps sockets in the epoll that this process has closed.
        """
        self._close()
        epoll = self._open()
        for descriptor, each in self._watched.items():
            epoll.register(descriptor, each.watched)

    def fileno(self) -> int:
        """The epoll's descriptor, for the reactor; -1 while it is closed."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def logPrefix(self) -> str:
        """The prefix of log lines, for the reactor."""
        return "poller"

    def serve_ready(self) -> None:
        if self._epoll is not None:
            self.doRead()

    def doRead(self) -> None:
        """Dispatch events to the watched objects.  Called by the reactor."""
        assert self._epoll is not None
        watched, forgotten, orphans = self._watched, self._forgotten, 0
        forgotten.clear()
        for descriptor, events in self._epoll.poll(0, _BATCH):
            each = watched.get(descriptor)
            if each is None:
                orphans += 1  # usually it ended in this batch
                continue
            if descriptor in forgotten:
                continue  # if there is an event for the new socket, it comes again
            try:
                # An error or a hang-up shows in the next recv or send.  What is not
                # read any more since the batch began has to wait, whatever has come.
                if each.watched == _IN or (events & _IN and each.watched & _IN):
                    each.doRead()
                if events & ~_IN and each.watched & _OUT:
                    each.doWrite()
            except Exception:
                self._give_up(each)
        for each in self._later:
            if each.watched:
                try:
                    each.proceed()
                except Exception:
                    self._give_up(each)
        self._later.clear()
        self._orphans = self._orphans + orphans if orphans else 0
        if self._orphans > _MANY_ORPHANS:
            self._orphans = 0
            self._renew()

    def _give_up(self, each: Any) -> None:
        """End the connection whose callback raised, and no other."""
        self._bugs.tell("a bug in lbconsul")
        try:
            each.connectionLost(Failure())
        except Exception:
            self._bugs.tell("a bug in lbconsul: closing a connection failed")
            self.forget(each)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops: end all that is watched."""
        for each in tuple(self._watched.values()):
            each.connectionLost(Failure(ConnectionDone()))
