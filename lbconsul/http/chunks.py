"""Chunked bodies (RFC 9112, 7.1): where they end.  Pure."""

import re

from lbconsul.http.errors import Refused
from lbconsul.http.head import check_ends
from lbconsul.http.trailers import passed_trailers

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
_EXTENSION = rb"[ \t]*+;[ \t]*+%b(?:[ \t]*+=[ \t]*+(?:%b|%b))?+" % (
    _TOKEN,
    _TOKEN,
    _QUOTED,
)

#: A size and extensions.  More digits than 15 would not fit into 64 bits everywhere.
_SIZE = rb"([0-9A-Fa-f]{1,15}+)((?:%b)*+)\r\n" % _EXTENSION

#: The beginning of one, as far as it must be right to be waited for.
_BEGINNING = rb"[0-9A-Fa-f]{0,15}+(?:[ \t;][\t\x20-\x7e\x80-\xff]*+)?+\r?+"

#: The first size, and one behind the data of a chunk.
_FIRST, _NEXT = re.compile(_SIZE), re.compile(rb"\r\n" + _SIZE)
_FIRST_BEGINS = re.compile(_BEGINNING)
_NEXT_BEGINS = re.compile(rb"(?:\r(?:\n%b)?+)?+" % _BEGINNING)

#: The longest line of a size with its extensions, in bytes.  Signatures of Amazon's
#: services have 90.
_LONGEST_SIZE = 1024

#: The most bytes of trailers.
_MOST_TRAILERS = 8192

#: From where to where bytes are replaced, and by which.
_Edit = tuple[int, int, bytes]


class Chunks:
    """Finds the end of a chunked body, and what of its bytes is passed on.

    They are passed on unchanged, but for extensions of chunks, which are removed as no
    recipient has to understand them, and for trailers that a proxy does not pass.  No
    byte of a line is passed on before it is complete.  Behind its end the object is
    ready for the next body.

    With `only_data` sizes and trailers are not passed on: for clients of HTTP/1.0.
    """

    __slots__ = ("_held", "_in_trailers", "_left", "_only_data", "_size", "replaced")

    def __init__(self, only_data: bool = False) -> None:
        self._only_data = only_data
        #: What is passed on instead of the bytes that were fed last; None if those are
        #: passed on as they are.
        self.replaced: bytes | None = None
        self._begin()

    def _begin(self) -> None:
        #: Bytes of a line, or of trailers, that is not complete.
        self._held = b""
        #: Bytes of data that are still to come of a chunk.
        self._left = 0
        #: What the next line is.
        self._size = _FIRST
        self._in_trailers = False

    def feed(self, data: bytes, pos: int = 0) -> int:
        """Take the body's next bytes, all from `pos`.

        Return the index behind the body in `data`; -1 if it is not over.

        :raises Refused: it is malformed, or has lines that are too long.
        """
        held = len(self._held)
        if not held:
            return self._scan(data, pos)
        joined = self._held + data[pos:]
        self._held = b""
        end = self._scan(joined, 0)
        if self.replaced is None:
            self.replaced = joined if end < 0 else joined[:end]
        return end if end < 0 else end - held + pos

    def _scan(self, data: bytes, pos: int) -> int:
        edits: list[_Edit] = []
        end = self._walk(data, pos, edits)
        self.replaced = _edited(data, pos, end, edits) if edits else None
        return end

    def _walk(self, data: bytes, pos: int, edits: list[_Edit]) -> int:
        """Go from size to size."""
        if self._in_trailers:
            return self._end(data, pos, edits)
        at, left, size = pos, self._left, self._size
        last, only_data = len(data), self._only_data
        while True:
            at += left
            if at >= last:
                self._left, self._size = at - last, size
                return -1
            line = size.match(data, at)
            if line is None or line.end() - at > _LONGEST_SIZE:
                self._left, self._size = 0, size
                return self._wait_for_size(data, at, edits)
            digits, extensions = line.groups()
            if only_data:
                edits.append((at, line.end(), b""))
            elif extensions:
                edits.append((*line.span(2), b""))
            at = line.end()
            left = int(digits, 16)
            if not left:
                return self._end(data, at, edits)
            size = _NEXT

    def _wait_for_size(self, data: bytes, at: int, edits: list[_Edit]) -> int:
        begins = _FIRST_BEGINS if self._size is _FIRST else _NEXT_BEGINS
        if len(data) - at >= _LONGEST_SIZE:
            raise Refused(400, "it has a chunk size that is too long")
        if not begins.fullmatch(data, at):
            raise Refused(400, "it has a chunk size that is not valid")
        return self._hold(data, at, edits)

    def _end(self, data: bytes, at: int, edits: list[_Edit]) -> int:
        """Behind the last chunk: trailers, or none."""
        end = at + 2
        passed = b"\r\n"
        if not data.startswith(b"\r\n", at):
            end = data.find(b"\r\n\r\n", at) + 4
            if (end if end > 3 else len(data) + 1) - at > _MOST_TRAILERS:
                raise Refused(400, "its trailers are too long")
            if end == 3:
                check_ends(data, at)
                self._in_trailers = True
                return self._hold(data, at, edits)
            passed = passed_trailers(data[at : end - 4].split(b"\r\n"))
        if self._only_data:
            edits.append((at, end, b""))
        elif len(passed) != end - at:
            edits.append((at, end, passed))
        self._begin()
        return end

    def _hold(self, data: bytes, at: int, edits: list[_Edit]) -> int:
        if at < len(data):
            self._held = data[at:]
            edits.append((at, len(data), b""))
        return -1


def _edited(data: bytes, pos: int, end: int, edits: list[_Edit]) -> bytes:
    """The bytes from `pos` to `end`, or all if that is -1, with the edits."""
    pieces = []
    for begin, stop, instead in edits:
        pieces += [data[pos:begin], instead]
        pos = stop
    pieces.append(data[pos : end if end >= 0 else len(data)])
    return b"".join(pieces)
