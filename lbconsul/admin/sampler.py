"""Samples a source about once a second, while readers want figures."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from attrs import Factory, define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lbconsul.admin.status_diff import StatusSnapshot
from lbconsul.admin.status_model import StatusSource
from lbconsul.admin.turns import Part, Turns

#: The shortest interval between two samples, in seconds.
INTERVAL = 1.0

#: The largest share of time that sampling takes: large gateways are sampled less often.
_SHARE = 0.05

#: Steps per turn: each takes some tens of microseconds.
_STEPS = 16


@define(eq=False)
class Sample:
    """One snapshot of the status, and what changed in it."""

    number: int = 0
    look: StatusSnapshot = Factory(StatusSnapshot)
    delta: list[bytes] = Factory(list)
    #: The number of the last sample whose mappings, pools or watches differ from those
    #: of the sample before it.
    other_since: int = 0

    @property
    def is_known(self) -> bool:
        """Whether a snapshot has been taken."""
        return self.look.pools is not None

    def whole(self) -> Iterator[bytes]:
        """The whole snapshot, for a reader that lacks the sample before it."""
        return (each.encode("ascii") for each in self.look.delta(StatusSnapshot()))


@define(eq=False)
class Sampler:
    """Takes samples of a source, and calls `ticked` after each."""

    _log = Logger()
    _reactor: IReactorTime
    _source: StatusSource
    _ticked: Callable[[], None]
    _turns: Turns
    #: The last sample; its number is 0 before the first one.
    last: Sample = Factory(Sample)
    _is_running: bool = False
    #: The sample in progress, or the delayed call that starts the next one.
    _part: Part = Factory(Part)
    _call: Any = None

    def start(self) -> None:
        """Take a sample now, and then periodically."""
        if not self._is_running:
            self._is_running = True
            self._begin()

    def stop(self) -> None:
        """Stop sampling, and free the last snapshot."""
        self._is_running = False
        self._part.stop()
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self.last = Sample(self.last.number, other_since=self.last.other_since)

    def _begin(self) -> None:
        self._call = None
        self._part = self._turns.take_part(self._go_on(), self._failed)

    def _go_on(self) -> Iterator[None]:
        """Take a sample, `_STEPS` steps per turn."""
        look, taken, over = self._look(), 0.0, False
        while not over:
            begin = self._reactor.seconds()
            over = len(list(islice(look, _STEPS))) < _STEPS
            taken += self._reactor.seconds() - begin
            yield
        self._done(max(INTERVAL, taken / _SHARE))

    def _failed(self, failure: Failure) -> None:
        self._log.failure(
            "a bug in lbconsul: one sample for the page is missing", failure
        )
        self._done(INTERVAL)

    def _done(self, delay: float) -> None:
        self._call = self._reactor.callLater(delay, self._begin)
        self._ticked()

    def _look(self) -> Iterator[None]:
        """Take the next sample; `last` is replaced when it is complete."""
        look, before = StatusSnapshot(), self.last
        yield from look.take(self._source)
        delta = []
        if before.is_known:
            for each in look.delta(before.look):
                if each:
                    delta.append(each.encode("ascii"))
                yield
        number, other_since = before.number + 1, before.other_since
        if not look.is_like(before.look):
            other_since = number
        self.last = Sample(number, look, delta, other_since)
