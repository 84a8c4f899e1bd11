"""Long answers that many may want at once: each is made once for all of them."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

from attrs import Factory, define
from twisted.internet.interfaces import IReactorTime

#: For how long an answer is also that of those who come later, at most, in seconds.
FRESH = 1.0

#: An answer that takes longer to make, in seconds, is given to later ones as well: for
#: so many times as long.
_LONG, _TIMES = 0.005, 5

#: So many editions of one answer are kept at a time, since readers are slow.
MOST_EDITIONS = 4

#: The oldest of so many may be taken from its readers after so many seconds.
OLD = 10.0

#: An answer is kept and written in pieces of about so many bytes.
PIECE = 1 << 15

#: Of zlib: 1 is fast.  What is shown repeats itself, so that this is enough.
_LEVEL = 1

#: What tells zlib to write the format of gzip(1).
_GZIP = 16 + zlib.MAX_WBITS


class BrokenOff(Exception):
    """A text that has no end, since it could not be made or is kept no longer."""


@define(eq=False)
class Text:
    """A text that is made piece by piece, by whichever reader comes first to it."""

    _clock: IReactorTime
    _source: Iterator[bytes]
    #: Called when it is whole, or broken.
    ended: Callable[[], None] = lambda: None
    #: How long it took to make what there is, in seconds.
    taken: float = 0.0
    is_whole: bool = False
    is_broken: bool = False
    _pieces: list[bytes] = Factory(list)
    _begun: list[bytes] = Factory(list)
    _size: int = 0

    def read(self) -> Iterator[bytes]:
        """Its pieces; an empty one stands for a while in which it was worked at.

        :raises BrokenOff: there is no more of it, and this is not all.
        """
        place = 0
        while True:
            if self.is_broken:
                raise BrokenOff("an answer broke off")
            if place < len(self._pieces):
                yield self._pieces[place]
                place += 1
            elif self.is_whole:
                return
            else:
                self._work()
                yield b""

    def drop(self) -> None:
        """Keep it no longer, be it read or not."""
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
    """The same in the format of gzip(1); an empty piece stays one."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        yield packer.compress(piece) if piece else b""
    yield packer.flush()


@define(eq=False, weakref_slot=True)
class _Edition:
    """An answer as of one moment, as it is and packed."""

    since: float
    plain: Text
    packed: Text | None = None

    def read(self, *, packed: bool) -> Iterator[bytes]:
        """All of it; it is kept as long as this is read."""
        if not packed:
            text = self.plain
        elif self.packed is None:
            text = self.packed = Text(self.plain._clock, gzipped(self.plain.read()))
        else:
            text = self.packed
        yield b""
        yield from text.read()

    def drop(self) -> None:
        """Keep it no longer, be it read or not."""
        for each in (self.plain, self.packed):
            if each is not None:
                each.drop()


@define(eq=False)
class Document:
    """An answer that is another one from moment to moment, for all who ask for it.

    Those who ask while it is being made, or shortly after, get the same edition:
    the longer it takes to make, the longer, but no longer than `FRESH` seconds.
    """

    _clock: IReactorTime
    _make: Callable[[], Iterator[bytes]]
    #: What is given to those who come now; None if it would be old.
    _current: _Edition | None = None
    _editions: "list[ref[_Edition]]" = Factory(list)
    _call: Any = None

    def read(self, *, packed: bool) -> Iterator[bytes]:
        """Its pieces as of now, with gzip(1) if `packed`; an empty one says nothing.

        :raises BrokenOff: there is no more of it, and this is not all.
        """
        reading = self._edition().read(packed=packed)
        next(reading)  # from now on it is kept
        return reading

    def forget(self) -> None:
        """Something was changed: who comes from now on is to see it."""
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
        """An edition is whole, or broken: the current one, or one before it."""
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
        """The current edition is old."""
        self._call = None
        self._current = None
