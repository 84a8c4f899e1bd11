"""Parses successive answers to one query, only the entries that changed.  Pure.

Of a thousand instances mostly one has changed.  Parsing the others again would take
some 30 milliseconds.
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

#: The beginning of an answer as Consul writes it, compact or with blanks.
_BEGIN = re.compile(rb'\[(\s*)(\{\s*"Node":\s*\{)')


@define(eq=False)
class IncrementalParser:
    """Parses the answers to one query; unchanged entries keep their objects."""

    _pick: Pick = BY_DEFAULT
    #: The entries of the last answer by their text.
    _known: dict[bytes, Entry] = Factory(dict)

    def read(self, body: bytes) -> Catalog:
        """The result of `parse`, with the same objects for unchanged entries.

        :raises UnusableAnswer: as `parse` does.
        """
        return finished(self.reading(body))

    def reading(self, body: bytes) -> Reading:
        """Parse as `read` does, one entry a step; finish one answer before the next."""
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
        if len(piece) > ENTRY_LIMIT:  # maybe several entries, with other blanks
            raise ValueError
        return self._known.get(piece) or read_entry(json.loads(piece), self._pick)


def _pieces(body: bytes) -> list[bytes]:
    """The texts of the entries, cut where the next one begins like the first.

    Such a cut is never within a string, where quotes are escaped.  At another wrong
    place the pieces would not be JSON.  If each piece is JSON, so is the whole list,
    with just these entries, wherever it was cut.

    :raises ValueError: the body does not look like a list of entries.
    :raises UnusableAnswer: it has more than `MOST_ENTRIES`.
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
