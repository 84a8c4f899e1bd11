"""All there is to be shown, as one JSON document in pieces."""

from collections.abc import Iterator

from lbconsul.admin.plain import dumps, plain
from lbconsul.admin.status_model import FORMAT, MappingStatus, PoolStatus, Source

#: Upstreams in one piece: less than a millisecond's work.
_AT_ONCE = 32


def status(source: Source) -> Iterator[bytes]:
    """The document; its upstreams are asked for as it is written."""
    return (piece.encode("ascii") for piece in _pieces(source))


def _pieces(source: Source) -> Iterator[str]:
    gateway, watches = source.gateway(), source.watches()
    head = {
        "format": FORMAT,
        "gateway": gateway,
        "watches": watches,
        "drained": source.drained(),
    }
    yield _open(head, "mappings")
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
    del row["upstreams"]  # their number, where now they are
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
    """An object whose last field is a list that is to follow."""
    return f'{dumps(row)[:-1]},"{last}":['
