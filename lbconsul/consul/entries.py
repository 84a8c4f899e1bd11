"""Parses the objects of a JSON list one at a time.  Pure.

Parsed JSON may take twenty times the memory of its text.  Only one object is parsed
at a time, and its length is bounded, so a long answer takes little memory.
"""

import json
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator

from lbconsul.errors import UnusableAnswer
from lbconsul.text import one_line

#: The most objects in a list, and the longest text of one object, in bytes.
MOST_ENTRIES = 50_000
ENTRY_LIMIT = 256 * 1024

#: The first size of the window of decoded text, in bytes.
_WINDOW = 128 * 1024

_BLANKS = re.compile(r"[ \t\r\n]*")


def entries(body: bytes) -> Iterator[object]:
    """The objects of the list, one at a time.

    :raises UnusableAnswer: the body is no list of objects, or exceeds `MOST_ENTRIES`
        or `ENTRY_LIMIT`.
    """
    try:
        yield from _entries(_Text(body))
    except json.JSONDecodeError as error:
        raise UnusableAnswer(f"not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # not UTF-8; a number of 5,000 digits
        raise UnusableAnswer(f"not JSON: {one_line(str(error), 100)}") from None


def members(body: bytes) -> Iterator[tuple[str, object]]:
    """The members of the object that a body is, one at a time.

    :raises UnusableAnswer: the body is no object, or exceeds `MOST_ENTRIES` or
        `ENTRY_LIMIT`.
    """
    try:
        yield from _members(_Text(body))
    except json.JSONDecodeError as error:
        raise UnusableAnswer(f"not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise UnusableAnswer(f"not JSON: {one_line(str(error), 100)}") from None


def inner_members(body: bytes, name: str) -> Iterator[tuple[str, object]]:
    """The members of the object that the member `name` of a body is, one at a time;
    none if the body is null.

    :raises UnusableAnswer: as `members` does; or the body has no such member.
    """
    try:
        yield from _inner_members(_Text(body), name)
    except json.JSONDecodeError as error:
        raise UnusableAnswer(f"not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise UnusableAnswer(f"not JSON: {one_line(str(error), 100)}") from None


def too_many(count: int) -> UnusableAnswer:
    """The error of an answer with at least `count` entries."""
    return UnusableAnswer(f"{count} entries or more: {MOST_ENTRIES} is the most")


def _entries(text: "_Text") -> Iterator[object]:
    if text.next() != "[":
        kind = type(text.value()).__name__
        raise UnusableAnswer(f"JSON, but {kind} instead of a list")
    text.skip()
    count = 0
    is_more = text.next() != "]"
    while is_more:
        if text.next() not in ("{", ""):
            text.value()
            raise UnusableAnswer("an entry is not an object")
        yield text.value()
        count += 1
        if count > MOST_ENTRIES:
            raise too_many(count)
        is_more = text.next() == ","
        if is_more:
            text.skip()
    text.close("]")
    text.end()


def _members(text: "_Text") -> Iterator[tuple[str, object]]:
    for name in _names(text):
        yield name, text.value()
    text.end()


def _inner_members(text: "_Text", wanted: str) -> Iterator[tuple[str, object]]:
    if text.next() == "n" and text.value() is None:
        return
    is_found = False
    for name in _names(text):
        if name != wanted:
            text.value()
            continue
        is_found = True
        for inner in _names(text):
            yield inner, text.value()
    text.end()
    if not is_found:
        raise UnusableAnswer(f"an object without {wanted}")


def _names(text: "_Text") -> Iterator[str]:
    """The names of an object's members; the text is at the value of each, which is
    consumed before the next.
    """
    if text.next() != "{":
        kind = type(text.value()).__name__
        raise UnusableAnswer(f"JSON, but {kind} instead of an object")
    text.skip()
    count = 0
    is_more = text.next() != "}"
    while is_more:
        name = text.value() if text.next() == '"' else None
        if not isinstance(name, str) or text.next() != ":":
            raise ValueError("a member without a name")
        text.skip()
        text.next()
        yield name
        count += 1
        if count > MOST_ENTRIES:
            raise too_many(count)
        is_more = text.next() == ","
        if is_more:
            text.skip()
    text.close("}")


class _Text:
    """Reads JSON text from start to end through a window of bounded size."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._taken = 0
        self._decode = getincrementaldecoder("utf-8-sig")().decode
        self._read = json.JSONDecoder().raw_decode
        self._window = ""
        self._place = 0

    def next(self) -> str:
        """Peek at the next character that is no blank; empty at the end."""
        while True:
            blanks = _BLANKS.match(self._window, self._place)
            assert blanks is not None
            self._place = blanks.end()
            if self._place < len(self._window):
                return self._window[self._place]
            if not self._more():
                return ""

    def skip(self) -> None:
        """Consume the character that `next` returned."""
        self._place += 1

    def value(self) -> object:
        """Parse and consume the next value.

        :raises UnusableAnswer: it is longer than `ENTRY_LIMIT`.
        """
        while True:
            try:
                value, self._place = self._read(self._window, self._place)
            except json.JSONDecodeError:
                if len(self._window) - self._place > ENTRY_LIMIT:
                    raise UnusableAnswer(
                        f"an entry is not JSON of at most {ENTRY_LIMIT} bytes"
                    ) from None
                if not self._more():
                    raise
            else:
                return value

    def close(self, bracket: str) -> None:
        """Check that a list, or object, ends here."""
        if self.next() != bracket:
            raise json.JSONDecodeError("no end", self._window, self._place)
        self.skip()

    def end(self) -> None:
        """Check that nothing follows."""
        if self.next():
            raise json.JSONDecodeError("Extra data", self._window, self._place)

    def _more(self) -> bool:
        """Extend the window; return whether there was more text."""
        rest = self._window[self._place :]
        # Double the text that was too short, up to the longest entry.
        size = min(max(_WINDOW, len(rest)), max(1, ENTRY_LIMIT + 1 - len(rest)))
        begin, self._taken = self._taken, self._taken + size
        piece = self._body[begin : self._taken]
        if piece:
            is_last = self._taken >= len(self._body)
            self._window, self._place = rest + self._decode(piece, is_last), 0
        return bool(piece)
