"""Retirement: how a gateway ends in good order, step by step."""

from datetime import datetime
from typing import Any, Protocol

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lbconsul.process.clock import WallClock

#: Most kill a process that has not ended so soon: Docker after 10 s.
_ALLOW = (
    "what stops this process must allow as long before it kills (docker stop -t,"
    " terminationGracePeriodSeconds, kill_timeout, TimeoutStopSec)"
)


class Retiring(Protocol):
    """Who serves: a front."""

    @property
    def open(self) -> int:
        """Connections that are not over."""

    @property
    def longest_drain(self) -> float:
        """How long they may live on, at most, once nobody new comes."""

    def retire(self) -> Deferred[None]:
        """Accept nobody any more; fires when nothing is open."""


@define(eq=False)
class GracefulShutdown:
    """Has who serves retire, and says what is waited for."""

    _log = Logger()
    _clock: Any
    _server: Retiring
    _wall: WallClock = Factory(
        lambda self: WallClock(self._clock.seconds), takes_self=True
    )
    _waiting: list[Deferred[None]] = Factory(list)
    _grace: Deferred[None] | None = None
    _is_over: bool = False

    def begin(self, grace: float) -> None:
        """Go on accepting for `grace` seconds, and then retire."""
        if not grace:
            self._retire()
            return
        longest = grace + self._server.longest_drain
        self._log.info(
            "draining: listeners open until {until}, {open} connections open, deadline"
            " {end} ({span}): {allow}",
            until=self._when(grace),
            open=self._server.open,
            end=self._when(longest),
            span=_span(longest),
            allow=_ALLOW,
        )
        self._grace = deferLater(self._clock, grace)
        self._grace.addCallbacks(lambda _: self._retire(), lambda _: None)

    def over(self) -> Deferred[None]:
        """Fires when nothing is open any more."""
        waiting: Deferred[None] = Deferred()
        if self._is_over:
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    def stop(self) -> None:
        """Everything ends at once: there is nothing left to wait for."""
        if self._grace is not None:
            self._grace.cancel()
        self._finish()

    def _retire(self) -> None:
        still, longest = self._server.open, self._server.longest_drain
        retired = self._server.retire()
        if not retired.called:
            self._log.info(
                "draining: listeners closed, {open} connections open, deadline {until}"
                " ({span}): {allow}",
                open=still,
                until=self._when(longest),
                span=_span(longest),
                allow=_ALLOW,
            )
        retired.addErrback(lambda why: self._log.failure("a bug in lbconsul", why))
        retired.addCallback(lambda _: self._done())

    def _done(self) -> None:
        if not self._is_over:
            self._log.info("draining: done, no connection is open")
            self._finish()

    def _finish(self) -> None:
        self._is_over = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def _when(self, seconds: float) -> str:
        when = datetime.fromtimestamp(self._wall.now() + seconds)
        return f"{when:%H:%M:%S}"


def _span(seconds: float) -> str:
    """How long that is, for people to read."""
    is_even = seconds >= 120 and not seconds % 60
    return f"{seconds / 60:g} min" if is_even else f"{seconds:g} s"
