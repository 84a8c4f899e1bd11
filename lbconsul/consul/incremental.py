"""Read one answer after the other, and what is the same as before only once.  Pure.

Of a thousand instances mostly one has changed.  To read the other ones again
would take some 30 milliseconds.
"""

import json
import re

from attrs import Factory, define

from lbconsul.consul.catalog import (
    Catalog,
    Entry,
    Reading,
    catalog_of,
    finished,
    parsing,
    read_entry,
)
from lbconsul.consul.entries import ENTRY_LIMIT, MOST_ENTRIES, too_many
from lbconsul.consul.location import BY_DEFAULT, Pick

#: The beginning of an answer as Consul writes it, with or without blanks.
_BEGIN = re.compile(rb'\[(\s*)(\{\s*"Node":\s*\{)')


@define(eq=False)
class IncrementalParser:
    """Reads the answers to one question."""

    _pick: Pick = BY_DEFAULT
    #: The entries of the last answer by their text.
    _known: dict[bytes, Entry] = Factory(dict)

    def read(self, body: bytes) -> Catalog:
        """What `parse` makes of it, with the same objects for what has not changed.

        :raises UnusableAnswer: as `parse` does.
        """
        return finished(self.reading(body))

    def reading(self, body: bytes) -> Reading:
        """The same, a step at a time; one answer must be read before the next one."""
        known: dict[bytes, Entry] = {}
        try:
            for piece in _pieces(body):
                known[piece] = self._entry(piece)
                yield
        except (ValueError, RecursionError):
            known.clear()
        if len(known) < 2:
            return (yield from parsing(body, self._pick))
        self._known = known
        return catalog_of(known.values())

    def _entry(self, piece: bytes) -> Entry:
        if len(piece) > ENTRY_LIMIT:  # it may be several, written in another way
            raise ValueError
        return self._known.get(piece) or read_entry(json.loads(piece), self._pick)


def _pieces(body: bytes) -> list[bytes]:
    """The texts of the entries, cut where the next one begins like the first.

    That cannot be within a string, where quotes are escaped.  And were it
    elsewhere, the pieces would not be JSON: a list of pieces that each are is
    JSON as a whole, with just these entries, wherever it was cut.

    :raises ValueError: it does not look like a list of entries.
    :raises UnusableAnswer: it looks like more than there may be.
    """
    body = body.strip()
    start = _BEGIN.match(body)
    if start is None or not body.endswith(b"]"):
        raise ValueError
    blank, begin = start.groups()
    inner = body[1:-1].strip()
    first, *rest = inner.split(b"}," + blank + begin, MOST_ENTRIES)
    if len(rest) == MOST_ENTRIES:
        raise too_many(len(rest) + 1)
    pieces = [first, *(begin + each for each in rest)]
    return [*(each + b"}" for each in pieces[:-1]), pieces[-1]]
