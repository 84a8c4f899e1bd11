"""Run a coroutine in a reactor of its own, for what only real sockets can show."""

import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import twisted.internet
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorPluggableNameResolver,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.support.waiting import PATIENCE

_NAME = "twisted.internet.reactor"

#: The most by which a turn of a reactor may be longer than what it waited for, in
#: seconds of its time.
_TURN = 0.05

T = TypeVar("T")


def run(
    scenario: Callable[[EPollReactor], Coroutine[Any, Any, T]],
    timeout: float = 2 * PATIENCE,
) -> T:
    """What `scenario` returns or raises, given a reactor that runs.

    Each call has a reactor of its own, so that tests which come one after the other
    each start with an empty one.  Meanwhile it is the one that is imported as
    the global reactor: Twisted's TLS imports that.  After `timeout` seconds
    the scenario is cancelled.
    """
    reactor = SteadyReactor()
    outcome: list[T | Failure] = []

    def begin() -> None:
        done = Deferred.fromCoroutine(scenario(reactor))
        done.addTimeout(timeout, reactor)
        done.addBoth(outcome.append).addBoth(lambda _: reactor.stop())

    with _as_global(reactor):
        reactor.callWhenRunning(begin)
        reactor.run(installSignalHandlers=False)
        # Its own two ends of a pipe, which it would leave open.
        reactor.waker.connectionLost(None)
        reactor._poller.close()
    [result] = outcome
    if isinstance(result, Failure):
        result.raiseException()
    return result


class SteadyReactor(EPollReactor):
    """A reactor for which no turn takes long, however busy the machine is.

    A time limit of what runs in it, server and client alike, then runs out because of
    what they do, and not because the machine had no time for them.
    """

    def __init__(self) -> None:
        #: When this turn began, by this reactor's time and by the machine's, and the
        #: most that it may take.
        self._before = self._begun = time.monotonic()
        self._most = _TURN
        super().__init__()

    def seconds(self) -> float:
        """Seconds of this reactor's time."""
        return self._before + min(time.monotonic() - self._begun, self._most)

    def doIteration(self, delay: float | None) -> None:
        """Begin a turn, which may wait for so many seconds, or for any time."""
        self._before, self._begun = self.seconds(), time.monotonic()
        self._most = float("inf") if delay is None else delay + _TURN
        super().doIteration(delay)


async def until(
    reactor: IReactorTime, condition: Callable[[], object], timeout: float = PATIENCE
) -> float:
    """Wait until `condition` holds; how many seconds that took.

    :raises AssertionError: it does not hold in time.
    """
    begin = reactor.seconds()
    while not condition():
        waited = reactor.seconds() - begin
        assert waited < timeout, f"not so after {waited:.1f} s"
        await deferLater(reactor, max(0.01, timeout / 10000))
    return reactor.seconds() - begin


def input_ended(reactor: Any) -> Deferred[None]:
    """Fires at the end of the standard input: of a program whose test is over."""
    ended: Deferred[None] = Deferred()
    StandardIO(_UntilItsEnd(ended), reactor=reactor)
    return ended


class _UntilItsEnd(Protocol):
    def __init__(self, ended: Deferred[None]) -> None:
        self._ended = ended

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended.callback(None)


@implementer(IReactorTime, IReactorPluggableNameResolver)
class FastReactor:
    """A reactor whose time is that many times faster than ours.

    What the reactor times by itself, such as a TCP connection's timeout, is not.
    """

    def __init__(self, reactor: Any, speed: float) -> None:
        self._reactor = reactor
        self._speed = speed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def seconds(self) -> float:
        """Seconds of the fast time."""
        return float(self._reactor.seconds()) * self._speed

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: Any, **kwargs: Any
    ) -> IDelayedCall:
        """Call after `delay` seconds of the fast time."""
        call = self._reactor.callLater(delay / self._speed, callable, *args, **kwargs)
        return IDelayedCall(call)


@contextmanager
def _as_global(reactor: EPollReactor) -> Iterator[None]:
    before = sys.modules.get(_NAME)
    _set_global(reactor)
    try:
        yield
    finally:
        _set_global(before)


def _set_global(reactor: Any) -> None:
    # `from twisted.internet import reactor` looks at both.
    if reactor is None:
        del sys.modules[_NAME], twisted.internet.reactor
    else:
        sys.modules[_NAME] = twisted.internet.reactor = reactor
