"""``/status``: the whole status as one JSON document, rendered in pieces."""

from collections.abc import Iterator

from lbconsul.admin.plain import dumps, plain
from lbconsul.admin.status_model import FORMAT, MappingStatus, PoolStatus, Source

#: Upstreams in one piece: rendering them takes less than a millisecond.
_AT_ONCE = 32


def status(source: Source) -> Iterator[bytes]:
    """The document in pieces; upstreams are read from `source` as it is rendered."""
    return (piece.encode("ascii") for piece in _pieces(source))


def _pieces(source: Source) -> Iterator[str]:
    head = {
        "format": FORMAT,
        "gateway": source.gateway(),
        "drained": source.drained(),
    }
    yield _open(head, "watches")
    for place, watch in enumerate(source.watches()):
        yield ("," if place else "") + dumps(plain(watch))
    yield '],"mappings":['
    for place, mapping in enumerate(source.mappings()):
        yield "," if place else ""
        yield from _mapping(source, mapping)
    yield "]}\n"


def _mapping(source: Source, mapping: MappingStatus) -> Iterator[str]:
    row = plain(mapping)
    del row["pools"]
    yield _open(row, "pools")
    for place, pool in enumerate(mapping.pools):
        yield "," if place else ""
        yield from _pool(source, mapping.name, place, pool)
    yield "]}"


def _pool(source: Source, mapping: str, place: int, pool: PoolStatus) -> Iterator[str]:
    row = plain(pool)
    del row["upstreams"]  # the number of upstreams; the document has the list
    yield _open(row, "upstreams")
    texts: list[str] = []
    comma = ""
    for upstream in source.upstreams(mapping, place):
        texts.append(dumps(plain(upstream)))
        if len(texts) == _AT_ONCE:
            yield comma + ",".join(texts)
            texts.clear()
            comma = ","
    yield (comma + ",".join(texts) if texts else "") + "]}"


def _open(row: dict[str, object], last: str) -> str:
    """The beginning of an object, up to the list that is its last field."""
    return f'{dumps(row)[:-1]},"{last}":['
