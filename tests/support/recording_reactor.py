"""A reactor that a test turns by hand, with a clock that it sets."""

import select
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.support import loopback

_GONE = select.POLLHUP | select.POLLERR

#: How long a turn waits for what is not sent by the test itself, in milliseconds.
_QUIET = 5


@implementer(IReactorFDSet)
class RecordingReactor(Clock):
    """Tells its readers and writers what is ready, as Twisted's epoll reactor does.

    It is a poller as well.

    It keeps them by descriptor, asks for a read before it asks for a write, and
    calls ``connectionLost`` where there is an error and nothing to read.  It is
    stricter than a real one: a descriptor stands for one object at a time, and
    whatever is registered must be open.
    """

    def __init__(self) -> None:
        super().__init__()
        loopback.pin()
        self._readers: dict[int, Any] = {}
        self._writers: dict[int, Any] = {}
        self._later: list[Any] = []

    def addReader(self, *readers: Any) -> None:
        for each in readers:
            self._add(self._readers, self._writers, each)

    def addWriter(self, writer: Any) -> None:
        self._add(self._writers, self._readers, writer)

    def removeReader(self, reader: Any) -> None:
        self._remove(self._readers, reader)

    def removeWriter(self, writer: Any) -> None:
        self._remove(self._writers, writer)

    def unwatch(self, each: Any) -> None:
        self.removeReader(each)
        self.removeWriter(each)

    def forget(self, *each: Any) -> None:
        for one in each:
            self.unwatch(one)

    def serve_ready(self) -> None:
        """As of a poller: it serves them in its next turn."""

    def later(self, each: Any) -> None:
        self._later.append(each)

    def stop(self) -> None:
        assert not self.reading() | self.writing()

    def removeAll(self) -> list[Any]:
        raise NotImplementedError

    def getReaders(self) -> list[Any]:
        return list(self._readers.values())

    def getWriters(self) -> list[Any]:
        return list(self._writers.values())

    def reading(self) -> set[int]:
        """The descriptors that are read from."""
        return set(self._readers)

    def writing(self) -> set[int]:
        """The descriptors that wait until they can be written to."""
        return set(self._writers)

    def turn(self, timeout: int = _QUIET) -> bool:
        """Tell each that is ready so, once; false if there was none."""
        loopback.arrive()
        ready = self._poll(timeout)
        for descriptor, events in ready:
            known = self._readers | self._writers
            if descriptor in known:
                self._tell(known[descriptor], events)
        later, self._later = self._later, []
        for each in later:
            each.proceed()
        return bool(ready)

    def settle(self) -> None:
        """Turn until nothing is ready."""
        for _ in range(10_000):
            if not self.turn(0):
                return
        raise AssertionError("somebody is ready for ever: the reactor would spin")

    def turn_until(self, done: Callable[[], bool]) -> None:
        """Turn until something is true, which fails after some fifty seconds."""
        for _ in range(10_000):
            if done():
                return
            self.turn()
        raise AssertionError("it never came to that")

    def _poll(self, timeout: int) -> list[tuple[int, int]]:
        poller = select.poll()
        for descriptor in self.reading() | self.writing():
            registered = self._readers.get(descriptor), self._writers.get(descriptor)
            for each in registered:
                assert each is None or each.fileno() == descriptor, "closed, but kept"
            poller.register(
                descriptor,
                (select.POLLIN if registered[0] else 0)
                | (select.POLLOUT if registered[1] else 0),
            )
        return poller.poll(timeout)

    def _tell(self, each: Any, events: int) -> None:
        if events & _GONE and not events & select.POLLIN:
            self.removeReader(each)
            self.removeWriter(each)
            each.connectionLost(Failure(ConnectionLost()))
            return
        if events & select.POLLIN:
            each.doRead()
        if events & select.POLLOUT:
            each.doWrite()

    @staticmethod
    def _add(mine: dict[int, Any], others: dict[int, Any], each: Any) -> None:
        descriptor = each.fileno()
        assert descriptor >= 0, "closed before it was added"
        for known in (mine.get(descriptor), others.get(descriptor)):
            assert known is None or known is each, "the descriptor is another's"
        mine[descriptor] = each

    @staticmethod
    def _remove(mine: dict[int, Any], each: Any) -> None:
        descriptor = each.fileno()
        if descriptor in mine:
            assert mine[descriptor] is each, "the descriptor is another's"
            del mine[descriptor]
        assert each not in mine.values(), "closed before it was removed"
