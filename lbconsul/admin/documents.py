"""Long answers (status, metrics) that concurrent readers share: rendered once."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

from attrs import Factory, define
from twisted.internet.interfaces import IReactorTime

#: The longest time for which later readers get the same answer, in seconds.
FRESH = 1.0

#: An answer that takes longer than `_LONG` seconds to render is reused for `_TIMES`
#: as long.
_LONG, _TIMES = 0.005, 5

#: The most editions of one answer in memory at a time: slow readers hold them.
MOST_EDITIONS = 4

#: At that limit, the oldest edition is dropped, and its readers are cut off, once it
#: has this age in seconds.
OLD = 10.0

#: The size of the pieces in which an answer is kept and written, in bytes.
PIECE = 1 << 15

#: zlib's level: 1 is fast, and enough, since the documents are repetitive.
_LEVEL = 1

#: zlib's `wbits` for the format of gzip(1).
_GZIP = 16 + zlib.MAX_WBITS


class BrokenOff(Exception):
    """A text cannot be completed: rendering failed, or the text was dropped."""


@define(eq=False)
class Text:
    """A text rendered piece by piece; the reader that is furthest renders the next."""

    _clock: IReactorTime
    _source: Iterator[bytes]
    #: Called when the text is whole, or broken.
    ended: Callable[[], None] = lambda: None
    #: The time that rendering has taken so far, in seconds.
    taken: float = 0.0
    is_whole: bool = False
    is_broken: bool = False
    _pieces: list[bytes] = Factory(list)
    _begun: list[bytes] = Factory(list)
    _size: int = 0

    def read(self) -> Iterator[bytes]:
        """The pieces; an empty one stands for a step of rendering without output.

        :raises BrokenOff: the text was dropped, or could not be rendered.
        """
        place = 0
        while True:
            if self.is_broken:
                raise BrokenOff("the document was dropped, or its rendering failed")
            if place < len(self._pieces):
                yield self._pieces[place]
                place += 1
            elif self.is_whole:
                return
            else:
                self._work()
                yield b""

    def drop(self) -> None:
        """Free its memory; current readers get `BrokenOff`."""
        self.is_broken = True
        self._pieces.clear()
        self._begun.clear()
        self._source = iter(())

    def _work(self) -> None:
        begin = self._clock.seconds()
        try:
            piece = next(self._source, None)
        except Exception:
            self.drop()
            self.ended()
            raise
        if piece is None:
            self._bind()
            self.is_whole = True
            self._source = iter(())
        elif piece:
            self._begun.append(piece)
            self._size += len(piece)
            if self._size >= PIECE:
                self._bind()
        self.taken += self._clock.seconds() - begin
        if self.is_whole:
            self.ended()

    def _bind(self) -> None:
        if self._begun:
            self._pieces.append(b"".join(self._begun))
        self._begun.clear()
        self._size = 0


def gzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces in the format of gzip(1); an empty piece stays empty."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        yield packer.compress(piece) if piece else b""
    yield packer.flush()


@define(eq=False, weakref_slot=True)
class _Edition:
    """An answer as of one moment: plain, and gzipped if a reader wants that."""

    since: float
    plain: Text
    packed: Text | None = None

    def read(self, packed: bool) -> Iterator[bytes]:
        """All pieces; the generator keeps the edition alive while it is read."""
        if not packed:
            text = self.plain
        elif self.packed is None:
            text = self.packed = Text(self.plain._clock, gzipped(self.plain.read()))
        else:
            text = self.packed
        yield b""
        yield from text.read()

    def drop(self) -> None:
        """Free its memory; current readers get `BrokenOff`."""
        for each in (self.plain, self.packed):
            if each is not None:
                each.drop()


@define(eq=False)
class Document:
    """An answer that changes over time, cached briefly for concurrent readers.

    Readers that come while an edition is rendered, or shortly after, share it.  An
    edition is reused in proportion to its rendering time, for `FRESH` seconds at most.
    """

    _clock: IReactorTime
    _make: Callable[[], Iterator[bytes]]
    #: The edition for new readers; None if a new one must be rendered.
    _current: _Edition | None = None
    _editions: "list[ref[_Edition]]" = Factory(list)
    _call: Any = None

    def read(self, packed: bool) -> Iterator[bytes]:
        """The pieces as of now, gzipped if `packed`; empty ones may occur.

        :raises BrokenOff: the edition was dropped, or could not be rendered.
        """
        reading = self._edition().read(packed)
        next(reading)  # from now on this generator keeps the edition
        return reading

    def forget(self) -> None:
        """Something changed: the next reader gets a new edition."""
        self._current = None
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _edition(self) -> _Edition:
        now = self._clock.seconds()
        if self._current is not None:
            return self._current
        kept = [each for each in (one() for one in self._editions) if each is not None]
        if len(kept) >= MOST_EDITIONS:
            if now < kept[0].since + OLD:
                return kept[-1]
            kept.pop(0).drop()
        edition = _Edition(now, Text(self._clock, self._make()))
        edition.plain.ended = self._ended
        self._current = edition
        self._editions = [ref(each) for each in (*kept, edition)]
        self._call = self._clock.callLater(FRESH, self._forget)
        return edition

    def _ended(self) -> None:
        """Called when an edition is whole or broken; it need not be the current one."""
        current = self._current
        if current is None or not (current.plain.is_whole or current.plain.is_broken):
            return
        now, taken = self._clock.seconds(), current.plain.taken
        left = min(current.since + FRESH - now, taken * _TIMES)
        self.forget()
        if current.plain.is_whole and taken > _LONG and left > 0:
            self._current = current
            self._call = self._clock.callLater(left, self._forget)

    def _forget(self) -> None:
        """Called by the clock: the current edition has expired."""
        self._call = None
        self._current = None
