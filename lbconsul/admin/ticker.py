"""Looks at a source about once a second, for as long as somebody wants to know."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from attrs import Factory, define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lbconsul.admin.figures import Look
from lbconsul.admin.model import Source
from lbconsul.admin.pour import SLICE

#: From one look to the next, in seconds.
INTERVAL = 1.0

#: A look may take so much of the time: it comes later if there is much to see.
_SHARE = 0.05

#: Steps between two looks at the clock: some tens of microseconds each.
_STEPS = 16


@define(eq=False)
class Tick:
    """One look, and what was new in it."""

    number: int = 0
    look: Look = Factory(Look)
    news: list[bytes] = Factory(list)
    #: The number of the last look that had other mappings, pools or watches than
    #: the one before it.
    other_since: int = 0

    @property
    def is_known(self) -> bool:
        """Whether there was a look at all."""
        return self.look.pools is not None

    def whole(self) -> Iterator[bytes]:
        """All of it, for somebody who does not know the look before."""
        return (each.encode("ascii") for each in self.look.news(Look()))


@define(eq=False)
class Ticker:
    """Calls `ticked` after each look."""

    _log = Logger()
    _reactor: IReactorTime
    _source: Source
    _ticked: Callable[[], None]
    #: The last look; its number is 0 as long as there is none.
    last: Tick = Factory(Tick)
    _work: Iterator[None] | None = None
    _call: Any = None
    #: How long the look has taken so far, not counting what others had their turn for.
    _taken: float = 0.0

    def start(self) -> None:
        """Look now, and again and again."""
        if self._call is None:
            self._call = self._reactor.callLater(0, self._go_on)

    def stop(self) -> None:
        """Look no more, and forget what was seen."""
        if self._call is not None:
            self._call.cancel()
        self._call = self._work = None
        self._taken = 0.0
        self.last = Tick(self.last.number, other_since=self.last.other_since)

    def _go_on(self) -> None:
        begin = self._reactor.seconds()
        if self._work is None:
            self._work = self._look()
        over = False
        try:
            while not over and self._reactor.seconds() < begin + SLICE:
                over = len(list(islice(self._work, _STEPS))) < _STEPS
        except Exception:
            self._log.failure("a bug in lbconsul: no figures for the page this time")
            over = True
        self._taken += self._reactor.seconds() - begin
        delay = 0.0
        if over:
            delay = max(INTERVAL, self._taken / _SHARE)
            self._work, self._taken = None, 0.0
        self._call = self._reactor.callLater(delay, self._go_on)
        if over:
            self._ticked()

    def _look(self) -> Iterator[None]:
        """Take the next look; the last one stays as it is until it is done."""
        look, before = Look(), self.last
        yield from look.take(self._source)
        news = []
        if before.is_known:
            for each in look.news(before.look):
                if each:
                    news.append(each.encode("ascii"))
                yield
        number, other_since = before.number + 1, before.other_since
        if not look.is_like(before.look):
            other_since = number
        self.last = Tick(number, look, news, other_since)
