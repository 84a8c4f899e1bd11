"""``/status``: the whole status as one JSON document, rendered in pieces.

Its values are encoded alike wherever else they are shown.
"""

import json
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any, cast

from attrs import fields, has

from lbconsul.admin.status_model import FORMAT, MappingStatus, PoolStatus, StatusSource
from lbconsul.admin.tag_routes import TagRoutesSource

#: Upstreams in one piece: rendering them takes less than a millisecond.
_AT_ONCE = 32


def status(source: StatusSource) -> Iterator[bytes]:
    """The document in pieces; upstreams are read from `source` as it is rendered."""
    return (piece.encode("ascii") for piece in _pieces(source))


def _pieces(source: StatusSource) -> Iterator[str]:
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


def _mapping(source: StatusSource, mapping: MappingStatus) -> Iterator[str]:
    row = plain(mapping)
    del row["pools"]
    yield _open(row, "pools")
    for place, pool in enumerate(mapping.pools):
        yield "," if place else ""
        yield from _pool(source, mapping.name, place, pool)
    yield "]}"


def _pool(
    source: StatusSource, mapping: str, place: int, pool: PoolStatus
) -> Iterator[str]:
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


def plain(value: Any) -> dict[str, Any]:
    """The fields of an attrs value by name; nested values are not converted."""
    names, get = _shape(cast(Hashable, type(value)))
    return dict(zip(names, get(value), strict=True))


@cache
def _shape(of: Hashable) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    names = tuple(each.name for each in fields(cast(type, of)))
    return names, attrgetter(*names)


def _default(value: Any) -> Any:
    if has(type(value)):
        return plain(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"cannot show a {type(value).__name__}")


#: The JSON text of a status value, on one line and in ASCII.
dumps = json.JSONEncoder(
    default=_default, separators=(",", ":"), allow_nan=False
).encode


def tag_routes(source: TagRoutesSource) -> Iterator[bytes]:
    """The document ``/routes`` in pieces, a route in each."""
    yield b'{"mappings":['
    yield from _listed(source.mappings())
    yield b'],"routes":['
    yield from _listed(source.routes())
    yield b'],"problems":['
    yield from _listed(source.problems())
    yield b"]}\n"


def _listed(values: Iterator[object]) -> Iterator[bytes]:
    first = next(values, None)
    if first is None:
        return
    comma = ""
    for each in chain((first,), values):
        yield f"{comma}{dumps(plain(each))}".encode("ascii")
        comma = ","
