"""Graceful shutdown: a grace period, then draining, then the end."""

from datetime import datetime

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from lbconsul.gateway.interfaces import DataPlane
from lbconsul.process.clock import WallClock

#: Supervisors kill a process that does not exit in time: Docker after 10 s.
_ALLOW = (
    "what stops this process must allow as long before it kills (docker stop -t,"
    " terminationGracePeriodSeconds, kill_timeout, TimeoutStopSec)"
)


@define(eq=False)
class GracefulShutdown:
    """Drains the data plane, and logs what is still open and until when."""

    _log = Logger()
    _clock: IReactorTime
    _data_plane: DataPlane
    _wall: WallClock = Factory(
        lambda self: WallClock(self._clock.seconds), takes_self=True
    )
    #: When it began, and when what is still open is closed, by the clock; and how many
    #: connections were open when the listeners were closed, or when it began.
    since: float = Factory(lambda self: self._clock.seconds(), takes_self=True)
    until: float = Factory(lambda self: self._deadline(0.0), takes_self=True)
    began_with: int = Factory(lambda self: self._data_plane.open, takes_self=True)
    _waiting: list[Deferred[None]] = Factory(list)
    _grace: Deferred[None] | None = None
    _is_over: bool = False

    def begin(self, grace: float) -> None:
        """Accept for `grace` more seconds, then close the listeners and drain."""
        if self._is_over:  # it was stopped before
            return
        self._note(grace)
        if not grace:
            self._drain()
            return
        longest = grace + self._data_plane.longest_drain
        self._log.info(
            "draining: listeners open until {until}, {open} connections open, deadline"
            " {end} ({span}): {allow}",
            until=self._when(grace),
            open=self._data_plane.open,
            end=self._when(longest),
            span=_span(longest),
            allow=_ALLOW,
        )
        self._grace = deferLater(self._clock, grace)
        self._grace.addCallbacks(lambda _: self._drain(), lambda _: None)

    def when_done(self) -> Deferred[None]:
        """Fires when no connection is open any more."""
        waiting: Deferred[None] = Deferred()
        if self._is_over:
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    def stop(self) -> None:
        """End the wait: the gateway stops, and closes what is still open."""
        if self._grace is not None:
            self._grace.cancel()
        self._finish()

    def _drain(self) -> None:
        still, longest = self._data_plane.open, self._data_plane.longest_drain
        self._note(0.0)
        drained = self._data_plane.drain()
        if not drained.called:
            self._log.info(
                "draining: listeners closed, {open} connections open, deadline {until}"
                " ({span}): {allow}",
                open=still,
                until=self._when(longest),
                span=_span(longest),
                allow=_ALLOW,
            )
        drained.addErrback(lambda why: self._log.failure("a bug in lbconsul", why))
        drained.addCallback(lambda _: self._done())

    def _note(self, grace: float) -> None:
        """Note what is open, and until when it may be."""
        self.began_with, self.until = self._data_plane.open, self._deadline(grace)

    def _deadline(self, grace: float) -> float:
        return self._clock.seconds() + grace + self._data_plane.longest_drain

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
    """A duration in seconds as text."""
    is_even = seconds >= 120 and not seconds % 60
    return f"{seconds / 60:g} min" if is_even else f"{seconds:g} s"
