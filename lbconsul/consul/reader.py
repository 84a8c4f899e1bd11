"""Read one answer after the other, and what is the same as before only once.  Pure.

Of a thousand instances mostly one has changed.  To read the other ones again
would hold up connections for as long as it takes: some 30 milliseconds.
"""

import json
import re

from attrs import Factory, define

from lbconsul.balance.instance import Instance
from lbconsul.consul.catalog import Catalog, parse, read_entry

#: The beginning of an answer as Consul writes it, with or without blanks.
_BEGIN = re.compile(rb'\[(\s*)(\{\s*"Node":\s*\{)')

#: An entry's instance, and why it is left out, or nothing.
_Entry = tuple[Instance, str]


@define(eq=False)
class Reader:
    """Reads the answers to one question."""

    #: The entries of the last answer by their text.
    _known: dict[bytes, _Entry] = Factory(dict)

    def read(self, body: bytes) -> Catalog:
        """What `parse` makes of it, with the same objects for what has not changed.

        :raises UnusableAnswer: as `parse` does.
        """
        try:
            known = {piece: self._entry(piece) for piece in _pieces(body)}
        except (ValueError, RecursionError):
            return parse(body)
        if len(known) < 2:
            return parse(body)
        self._known = known
        instances = [instance for instance, why in known.values() if not why]
        skipped = [f"{instance}: {why}" for instance, why in known.values() if why]
        return Catalog(tuple(instances), tuple(skipped))

    def _entry(self, piece: bytes) -> _Entry:
        return self._known.get(piece) or read_entry(json.loads(piece))


def _pieces(body: bytes) -> list[bytes]:
    """The texts of the entries, cut where the next one begins like the first.

    That cannot be within a string, where quotes are escaped.  And were it
    elsewhere, the pieces would not be JSON: a list of pieces that each are is
    JSON as a whole, with just these entries, wherever it was cut.

    :raises ValueError: it does not look like a list of entries.
    """
    body = body.strip()
    start = _BEGIN.match(body)
    if start is None or not body.endswith(b"]"):
        raise ValueError
    blank, begin = start.groups()
    inner = body[1:-1].strip()
    first, *rest = inner.split(b"}," + blank + begin)
    pieces = [first, *(begin + each for each in rest)]
    return [*(each + b"}" for each in pieces[:-1]), pieces[-1]]
