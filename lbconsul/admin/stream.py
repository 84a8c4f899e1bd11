"""The live stream: what changes and what figures are, told to all who listen."""

from collections.abc import Iterator
from typing import Any

from attrs import Factory, define, field
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.web.http import Request
from zope.interface import implementer

from lbconsul.admin.events import EventLog
from lbconsul.admin.model import Source
from lbconsul.admin.plain import dumps
from lbconsul.admin.pour import PATIENCE, SLICE
from lbconsul.admin.site import cut
from lbconsul.admin.ticker import Tick, Ticker

#: So many may listen at a time.
MOST_READERS = 64

#: A line is sent that often to who is told nothing else, in seconds, so that a
#: connection that is dead is found out.
HEARTBEAT = 15.0

#: So much of what has changed is told to one who has not said what he knows.
_AT_FIRST = 100

#: Events are written so many bytes at a time, or a little more.
_PIECE = 1 << 14

_HELLO = b"retry: 2000\n\n"
_STILL_HERE = b": still here\n\n"


@define(eq=False)
class Stream:
    """Tells the events of a log, and the figures of a source, to all readers.

    They take turns, a piece at a time, so that many of them, or slow ones, hold the
    reactor no longer than one.
    """

    reactor: IReactorTime
    source: Source
    events: EventLog
    ticker: Ticker = Factory(
        lambda self: Ticker(self.reactor, self.source, self._all), takes_self=True
    )
    readers: "set[Reader]" = Factory(set)
    #: Those who may have something to be told, in the order of their turns.
    _ready: "dict[Reader, None]" = Factory(dict)
    _call: Any = None

    @property
    def is_full(self) -> bool:
        """Whether no more may listen."""
        return len(self.readers) >= MOST_READERS

    def join(self, request: Request, known: str | None, *, figures: bool) -> None:
        """Tell a reader what follows on the event `known`; or on some of the last."""
        if not self.readers:
            self.events.listen(self._all)
        reader = Reader(self, request, figures)
        self.readers.add(reader)
        reader.begin(known)
        if figures:
            self.ticker.start()

    def leave(self, reader: "Reader") -> None:
        """It does not listen any more."""
        if reader not in self.readers:
            return
        self.readers.remove(reader)
        self._ready.pop(reader, None)
        if not any(each.figures for each in self.readers):
            self.ticker.stop()
        if not self.readers:
            self.events.ignore(self._all)

    def ready(self, reader: "Reader") -> None:
        """It takes more."""
        self._ready[reader] = None
        if self._call is None:
            self._call = self.reactor.callLater(0, self._turns)

    def _all(self) -> None:
        for reader in self.readers:
            self.ready(reader)

    def _turns(self) -> None:
        self._call = None
        until = self.reactor.seconds() + SLICE
        while self._ready and self.reactor.seconds() < until:
            reader = next(iter(self._ready))
            del self._ready[reader]
            if reader.tell():
                self._ready[reader] = None
        if self._ready:
            self._call = self.reactor.callLater(0, self._turns)


@implementer(IPushProducer)
@define(eq=False)
class Reader:
    """One who listens.

    What waits for him is never kept: he has a place in the log of events, and in the
    figures.  Who comes too late for either is told to look at all anew.
    """

    _stream: Stream
    _request: Request
    figures: bool
    #: The number of the next event that he is to be told.
    _next: int = 0
    #: Why he must look at all anew.
    _reset: str = ""
    #: Of which look at the figures he is told, and what is left of that.
    _tick: int = -1
    _pieces: Iterator[bytes] | None = None
    _paused: bool = False
    #: The next heartbeat; or the end, if he takes nothing.
    _timer: Any = field(default=None)

    def begin(self, known: str | None) -> None:
        """Tell what follows on the event `known`."""
        self._next = max(self._log.oldest, self._log.newest + 1 - _AT_FIRST)
        if known is not None:
            self._follow(known)
        self._request.notifyFinish().addBoth(lambda _: self.stopProducing())
        self._request.registerProducer(self, True)
        self._request.write(_HELLO)
        self._time(HEARTBEAT)
        self._stream.ready(self)

    @property
    def _log(self) -> EventLog:
        return self._stream.events

    def _follow(self, known: str) -> None:
        epoch, _, number = known.partition("-")
        if epoch != str(self._log.epoch) or not number.isdecimal():
            self._reset = "the gateway was started anew"
        elif not self._log.oldest - 1 <= int(number[:20]) <= self._log.newest:
            self._reset = "more has changed than is kept"
        else:
            self._next = int(number) + 1

    def resumeProducing(self) -> None:
        """He takes more."""
        self._paused = False
        self._time(HEARTBEAT)
        self._stream.ready(self)

    def pauseProducing(self) -> None:
        """He has enough for now."""
        self._paused = True
        self._time(PATIENCE)

    def stopProducing(self) -> None:
        """He is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._paused = True
        self._stream.leave(self)

    def tell(self) -> bool:
        """Write one piece; whether there may be more."""
        if self._paused:
            return False
        piece = self._piece()
        if piece:
            self._request.write(piece)
            if not self._paused:
                self._time(HEARTBEAT)
        return piece is not None

    def _piece(self) -> bytes | None:
        log, last = self._log, self._stream.ticker.last
        if self._next < log.oldest:
            self._next, self._reset = log.oldest, "more has changed than is kept"
        if -1 < self._tick < last.other_since:
            self._tick, self._reset = -1, "other mappings, pools or watches are shown"
        if self._reset:
            reason, self._reset = self._reset, ""
            return _event("reset", dumps({"reason": reason}).encode("ascii"))
        if self._next <= log.newest:
            return self._changes()
        return self._figure(last) if self.figures and last.is_known else None

    def _changes(self) -> bytes:
        log, told, size = self._log, [], 0
        while self._next <= log.newest and size < _PIECE:
            event = dumps(log.get(self._next))
            told.append(f"id: {log.epoch}-{self._next}\ndata: {event}\n\n")
            size += len(told[-1])
            self._next += 1
        return "".join(told).encode("ascii")

    def _figure(self, last: Tick) -> bytes | None:
        if self._tick != last.number:
            knows_the_last = self._tick == last.number - 1 and self._pieces is None
            self._pieces = iter(last.news) if knows_the_last else last.whole()
            self._tick = last.number
        if self._pieces is None:
            return None
        data = next(self._pieces, None)
        if data is None:
            self._pieces = None
        return _event("figures", data) if data else data

    def _time(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._stream.reactor.callLater(seconds, self._timed)

    def _timed(self) -> None:
        self._timer = None
        if self._paused:
            cut(self._request)
        else:
            self._request.write(_STILL_HERE)
            self._time(HEARTBEAT)


def _event(kind: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode("ascii"), data)
