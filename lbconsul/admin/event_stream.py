"""``/events``: server-sent events (SSE) with the event log and live figures."""

from collections.abc import Iterator
from typing import Any, cast

from attrs import Factory, define, field
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from zope.interface import implementer

from lbconsul.admin.event_log import EventLog, read_event_id
from lbconsul.admin.http_server import Channel, cut
from lbconsul.admin.sampler import Sample, Sampler
from lbconsul.admin.status_json import dumps
from lbconsul.admin.status_model import StatusSource
from lbconsul.admin.turns import Part, Turns

#: The most readers at a time.
MOST_READERS = 64

#: The interval of heartbeats to a reader that gets nothing else, in seconds: they
#: reveal dead connections.
HEARTBEAT = 15.0

#: How long a reader may stall before it is cut off, in seconds: normally, and when
#: `MOST_READERS` are connected and another one comes.
PATIENCE, PATIENCE_WHEN_FULL = 60.0, 2.0

#: Past events that a reader gets if it sends no ``Last-Event-ID``.
_AT_FIRST = 100

#: Events are written in pieces of about this many bytes.
_PIECE = 1 << 14

_HELLO = b"retry: 2000\n\n"
_STILL_HERE = b": still here\n\n"


@define(eq=False)
class Stream:
    """Sends the events of a log, and the figures of a source, to all readers.

    Readers share the reactor with all other long answers, one piece per turn: many
    readers, or slow ones, block it no longer than one does.
    """

    reactor: IReactorTime
    source: StatusSource
    events: EventLog
    turns: Turns = Factory(lambda self: Turns(self.reactor), takes_self=True)
    sampler: Sampler = Factory(
        lambda self: Sampler(self.reactor, self.source, self._all, self.turns),
        takes_self=True,
    )
    readers: "set[Reader]" = Factory(set)

    def has_room(self) -> bool:
        """Whether a reader may join; a stalled reader is cut off to make room."""
        if len(self.readers) >= MOST_READERS:
            stuck = [each for each in self.readers if each.stuck > PATIENCE_WHEN_FULL]
            if not stuck:
                return False
            max(stuck, key=lambda each: each.stuck).give_up()
        return True

    def join(self, request: Request, known: str | None, *, figures: bool) -> None:
        """Add a reader: it gets the events after `known`, or some of the latest."""
        if not self.readers:
            self.events.listen(self._all)
        reader = Reader(self, request, figures)
        self.readers.add(reader)
        try:
            reader.begin(known)
        except Exception:
            reader.stopProducing()
            raise
        if figures:
            self.sampler.start()

    def leave(self, reader: "Reader") -> None:
        """Remove a reader; the last one stops the sampler."""
        if reader not in self.readers:
            return
        self.readers.remove(reader)
        if not any(each.figures for each in self.readers):
            self.sampler.stop()
        if not self.readers:
            self.events.ignore(self._all)

    def _all(self) -> None:
        for reader in self.readers:
            reader.wake()


@implementer(IPushProducer)
@define(eq=False)
class Reader:
    """One client of the stream.

    It has no buffer of its own, only a position in the event log and in the samples.
    A reader that falls behind either gets a ``reset`` event and reloads the status.
    """

    _logger = Logger()
    _stream: Stream
    _request: Request
    figures: bool
    #: The number of the next event to send.
    _next: int = 0
    #: The reason of a ``reset`` event to send; empty for none.
    _reset: str = ""
    #: The number of the sample that is being sent, and its remaining pieces.
    _tick: int = -1
    _pieces: Iterator[bytes] | None = None
    _part: Part = Factory(Part)
    #: Whether nothing is to be sent now, and since when the client is not reading.
    _is_idle: bool = False
    _paused_since: float | None = None
    #: The next heartbeat, or the cut-off while the client is not reading.
    _timer: Any = field(default=None)

    def begin(self, known: str | None) -> None:
        """Start sending, from the event after `known`."""
        self._next = max(self._log.oldest, self._log.newest + 1 - _AT_FIRST)
        if known:
            self._follow(known)
        self._request.notifyFinish().addBoth(lambda _: self.stopProducing())
        self._request.registerProducer(self, True)
        cast(Channel, self._request.channel).endless()
        self._request.write(_HELLO)
        self._time(HEARTBEAT)
        self._part = self._stream.turns.take_part(self._tell(), self._failed)

    @property
    def stuck(self) -> float:
        """For how long the client has not read, in seconds."""
        since = self._paused_since
        return 0.0 if since is None else self._stream.reactor.seconds() - since

    def give_up(self) -> None:
        """Abort the connection."""
        self.stopProducing()
        cut(self._request)

    @property
    def _log(self) -> EventLog:
        return self._stream.events

    def _follow(self, known: str) -> None:
        epoch, number = read_event_id(known) or (None, 0)
        if epoch != self._log.epoch:
            self._reset = "the gateway was restarted"
        elif not self._log.oldest - 1 <= number <= self._log.newest:
            self._reset = "older events are no longer kept"
        else:
            self._next = number + 1

    def wake(self) -> None:
        """Called by the stream: there may be something to send."""
        self._is_idle = False
        self._rest_or_go_on()

    def resumeProducing(self) -> None:
        """Called by the transport: the client reads again."""
        self._paused_since = None
        self._time(HEARTBEAT)
        self._rest_or_go_on()

    def pauseProducing(self) -> None:
        """Called by the transport: its buffer is full."""
        if self._paused_since is None:
            self._paused_since = self._stream.reactor.seconds()
            self._time(PATIENCE)
            self._rest_or_go_on()

    def stopProducing(self) -> None:
        """Called by the transport: the connection is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._part.stop()
        self._stream.leave(self)

    def _rest_or_go_on(self) -> None:
        if self._is_idle or self._paused_since is not None:
            self._part.pause()
        else:
            self._part.resume()

    def _tell(self) -> Iterator[None]:
        """Write one piece per turn."""
        while True:
            piece = self._piece()
            if piece is None:
                self._is_idle = True
                self._rest_or_go_on()
            elif piece:
                self._stream.turns.wrote(len(piece))
                self._request.write(piece)
                if self._paused_since is None:
                    self._time(HEARTBEAT)
            yield

    def _failed(self, failure: Failure) -> None:
        """Called if sending raises: only this reader is cut off."""
        self._logger.failure("a bug in lbconsul: an event stream is cut off", failure)
        self.give_up()

    def _piece(self) -> bytes | None:
        log, last = self._log, self._stream.sampler.last
        if self._next < log.oldest:
            self._next, self._reset = log.oldest, "older events are no longer kept"
        if -1 < self._tick < last.other_since:
            self._tick, self._reset = -1, "the mappings, pools or watches changed"
        if self._reset:
            reason, self._reset = self._reset, ""
            return _event("reset", dumps({"reason": reason}).encode("ascii"))
        if self._next <= log.newest:
            return self._changes()
        return self._figure(last) if self.figures and last.is_known else None

    def _changes(self) -> bytes:
        log, parts, size = self._log, [], 0
        while self._next <= log.newest and size < _PIECE:
            event = dumps(log.get(self._next))
            parts.append(f"id: {log.epoch}-{self._next}\ndata: {event}\n\n")
            size += len(parts[-1])
            self._next += 1
        return "".join(parts).encode("ascii")

    def _figure(self, last: Sample) -> bytes | None:
        if self._tick != last.number:
            knows_the_last = self._tick == last.number - 1 and self._pieces is None
            self._pieces = iter(last.delta) if knows_the_last else last.whole()
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
        if self._paused_since is not None:
            self.give_up()
        else:
            self._request.write(_STILL_HERE)
            self._time(HEARTBEAT)


def _event(kind: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode("ascii"), data)
