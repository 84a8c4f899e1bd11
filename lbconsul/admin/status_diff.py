"""The changes between two status snapshots, for the live page."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from attrs import Factory, define

from lbconsul.admin.status_json import dumps, plain
from lbconsul.admin.status_model import StatusSource, UpstreamStatus

#: Where an upstream stands: mapping, query, id.
Place = tuple[str, str, str]

#: Fields that a delta leaves out: fixed from the start, or too large for each second.
_GATEWAY = frozenset(
    {"options", "consul", "version", "started", "pid", "changes", "consul_ui"}
)
_MAPPING = frozenset(
    {
        "pools",
        "options",
        "connect_time",
        "first_byte_time",
        "connection_time",
        "request_first_byte_time",
        "request_time",
    }
)

#: Unhappy requests, and connections, of a mapping that a delta has.
_UNHAPPY = 5

#: Rows of one kind of which one event tells at most: some 16 KiB.
_AT_ONCE = 48

Rows = dict[Any, dict[str, Any]]


@define(eq=False)
class StatusSnapshot:
    """The status at one time."""

    gateway: dict[str, Any] = Factory(dict)
    watches: Rows = Factory(dict)
    mappings: Rows = Factory(dict)
    #: The pools of each mapping, by their queries, and which are used.
    pools: Any = None
    upstreams: dict[Place, UpstreamStatus] = Factory(dict)

    def take(self, source: StatusSource) -> Iterator[None]:
        """Look at a source: a few upstreams from turn to turn."""
        self.gateway = _without(plain(source.gateway()), _GATEWAY)
        yield
        for watch in source.watches():
            self.watches[watch.query] = plain(watch)
            yield
        mappings, self.pools = [], {}
        for mapping in source.mappings():
            mappings.append(mapping)
            row = _without(plain(mapping), _MAPPING)
            for each in row.keys() & {"unhappy", "unhappy_connections"}:
                row[each] = row[each][:_UNHAPPY]
            self.mappings[mapping.name] = row
            self.pools[mapping.name] = [
                (pool.query, pool.used) for pool in mapping.pools
            ]
            yield
        for mapping in mappings:
            for number, pool in enumerate(mapping.pools):
                for upstream in source.upstreams(mapping.name, number):
                    place = (mapping.name, pool.query, upstream.id)
                    self.upstreams[place] = upstream
                    yield

    def is_like(self, other: "StatusSnapshot") -> bool:
        """Whether both have the same mappings, pools and watches."""
        return self.pools == other.pools and self.watches.keys() == other.watches.keys()

    def delta(self, before: "StatusSnapshot") -> Iterator[str]:
        """The changes since `before`, as documents of bounded length.

        Empty ones mean that there is nothing to tell yet.
        """
        watches = _rows(before.watches, self.watches, "query")
        mappings = _rows(before.mappings, self.mappings, "name")
        yield dumps(
            {
                "gateway": _changed(before.gateway, self.gateway),
                "watches": _first(watches),
                "mappings": _first(mappings),
            }
        )
        yield from _in_documents("watches", watches)
        yield from _in_documents("mappings", mappings)
        yield from _in_documents("upstreams", self._altered(before))
        gone = (place for place in before.upstreams if place not in self.upstreams)
        yield from _in_documents("gone", (_place(place) for place in gone))

    def _altered(self, before: "StatusSnapshot") -> Iterator[dict[str, Any] | None]:
        for place, upstream in self.upstreams.items():
            old = before.upstreams.get(place)
            if old is None:
                yield _place(place) | plain(upstream)
            elif old != upstream:
                yield _place(place) | _changed(plain(old), plain(upstream))
            else:
                yield None


def _in_documents(key: str, rows: Iterator[dict[str, Any] | None]) -> Iterator[str]:
    chunk: list[dict[str, Any]] = []
    for count, row in enumerate(rows):
        if row is not None:
            chunk.append(row)
        if len(chunk) == _AT_ONCE:
            yield dumps({key: chunk})
            chunk = []
        elif count % _AT_ONCE == 0:
            yield ""
    if chunk:
        yield dumps({key: chunk})


def _place(place: Place) -> dict[str, Any]:
    return dict(zip(("mapping", "query", "id"), place, strict=True))


def _without(row: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _changed(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in new.items() if old.get(name, old) != value}


def _rows(old: Rows, new: Rows, key: str) -> Iterator[dict[str, Any] | None]:
    """Each row's key and changes; new rows whole, None without a change."""
    for name, row in new.items():
        changed = _changed(old.get(name, {}), row)
        yield {key: name, **changed} if changed else None


def _first(rows: Iterator[dict[str, Any] | None]) -> list[dict[str, Any]]:
    return [each for each in islice(rows, _AT_ONCE) if each is not None]
