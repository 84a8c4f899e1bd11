"""Differences between two snapshots of the status, for the live page."""

from collections.abc import Iterator
from typing import Any

from attrs import Factory, define

from lbconsul.admin.plain import dumps, plain
from lbconsul.admin.status_model import Source, UpstreamStatus

#: The key of an upstream in a snapshot: mapping, query, id.
Place = tuple[str, str, str]

#: Fields left out of snapshots: constant, or too large to send each second.
_GATEWAY = frozenset({"options", "consul", "version", "started", "pid", "changes"})
_MAPPING = frozenset(
    {"pools", "options", "connect_time", "first_byte_time", "connection_time"}
)

#: The most upstreams in one document: some 16 KiB.
_AT_ONCE = 64

Rows = dict[Any, dict[str, Any]]


@define(eq=False)
class StatusSnapshot:
    """The status of a source at one time."""

    gateway: dict[str, Any] = Factory(dict)
    watches: Rows = Factory(dict)
    mappings: Rows = Factory(dict)
    #: By mapping: the query of each pool, and whether the pool is used.
    pools: Any = None
    upstreams: dict[Place, UpstreamStatus] = Factory(dict)

    def take(self, source: Source) -> Iterator[None]:
        """Fill the snapshot from a source, one upstream per step."""
        self.gateway = _without(plain(source.gateway()), _GATEWAY)
        self.watches = {each.query: plain(each) for each in source.watches()}
        mappings = source.mappings()
        self.mappings = {
            each.name: _without(plain(each), _MAPPING) for each in mappings
        }
        self.pools = {
            each.name: [(pool.query, pool.used) for pool in each.pools]
            for each in mappings
        }
        for mapping in mappings:
            for number, pool in enumerate(mapping.pools):
                for upstream in source.upstreams(mapping.name, number):
                    place = (mapping.name, pool.query, upstream.id)
                    self.upstreams[place] = upstream
                    yield

    def is_like(self, other: "StatusSnapshot") -> bool:
        """Whether both snapshots have the same mappings, pools and watches."""
        return self.pools == other.pools and self.watches.keys() == other.watches.keys()

    def news(self, before: "StatusSnapshot") -> Iterator[str]:
        """The changes since the snapshot `before`, as JSON documents of bounded length.

        An empty document stands for a step without output.
        """
        yield dumps(
            {
                "gateway": _changed(before.gateway, self.gateway),
                "watches": _rows(before.watches, self.watches, "query"),
                "mappings": _rows(before.mappings, self.mappings, "name"),
            }
        )
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
    told: list[dict[str, Any]] = []
    for count, row in enumerate(rows):
        if row is not None:
            told.append(row)
        if len(told) == _AT_ONCE:
            yield dumps({key: told})
            told = []
        elif count % _AT_ONCE == 0:
            yield ""
    if told:
        yield dumps({key: told})


def _place(place: Place) -> dict[str, Any]:
    return dict(zip(("mapping", "query", "id"), place, strict=True))


def _without(row: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _changed(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in new.items() if old.get(name, old) != value}


def _rows(old: Rows, new: Rows, key: str) -> list[dict[str, Any]]:
    """The changed fields of each changed row, with its key; all fields of new rows."""
    changed = ((name, _changed(old.get(name, {}), row)) for name, row in new.items())
    return [{key: name, **row} for name, row in changed if row]
