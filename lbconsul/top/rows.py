"""The rows of the table, in order: mappings, and below each its upstreams.  Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from attrs import evolve, field, frozen

from lbconsul.admin.check_status import fails_open
from lbconsul.top.figures import Counts, Figures, Key, Latency, Status
from lbconsul.top.lines import BAD, FAINT, GOOD, HEAD, PLAIN, WARN
from lbconsul.top.problems import USABLE, Problem, is_empty

#: By standing: a mark, readable without colour, and its tone; the worst first.
_STANDINGS = {
    "ejected": ("x", BAD),
    "suspect": ("?", WARN),
    "draining": ("-", WARN),
    "warming": ("~", PLAIN),
    "serving": ("+", GOOD),
}
_ODD = ("!", BAD)
#: One that is used though its own check fails.
_OPEN = ("!", WARN)
_ORDER = {standing: place for place, standing in enumerate(_STANDINGS)}

#: Where rows go that are about no mapping.
_GONE = "drained by hand, not in Consul"


@frozen
class Row:
    """One row; `source` is what the status says of it."""

    #: ``mapping``, ``pool``, ``upstream``, ``note`` or ``gone``.
    kind: str
    key: Key
    name: str
    standing: str = ""
    reason: str = ""
    mark: str = " "
    tone: str = PLAIN
    source: Status = field(factory=dict, repr=False)
    counts: Counts = field(factory=Counts)
    connect: float | None = None
    p50: float | None = None
    p99: float | None = None

    @property
    def upstream(self) -> str:
        """The id of the upstream that an order would be for; empty if it is none."""
        return self.key[2] if self.kind in ("upstream", "gone") else ""


@frozen
class Arrangement:
    """Which rows are shown, and in which order."""

    #: A name of `SORTS`.
    sort: str = "problems"
    #: Words that each upstream shown must have, or its mapping.
    filter: str = ""
    #: The names of mappings whose upstreams are not shown.
    folded: frozenset[str] = frozenset()

    def next_sort(self) -> "Arrangement":
        """Sorted by the next column."""
        names = list(SORTS)
        after = (names.index(self.sort) + 1) % len(names)
        return evolve(self, sort=names[after])

    def fold(self, mapping: str) -> "Arrangement":
        """With this mapping's upstreams hidden, or shown again."""
        return evolve(self, folded=self.folded ^ {mapping})


def _by(value: Callable[[Row], float]) -> Callable[[Row, int], tuple[Any, ...]]:
    """The most first; equals by name."""
    return lambda row, _: (-value(row), row.name)


#: By what rows can be sorted: from a row and the rank of its worst problem.
SORTS: Mapping[str, Callable[[Row, int], tuple[Any, ...]]] = {
    "problems": lambda row, rank: (rank, _ORDER.get(row.standing, -1)),
    "name": lambda row, _: (row.name,),
    "open": _by(lambda row: row.source.get("open", 0)),
    "connections": _by(lambda row: row.counts.connections),
    "requests": _by(lambda row: row.counts.requests),
    "errors": _by(lambda row: row.counts.errors + row.counts.failures),
    "latency": _by(lambda row: row.p99 or row.connect or 0.0),
    "sent": _by(lambda row: row.counts.sent),
}

#: The rank of what has no problem.
_FINE = 9


def rows(
    figures: Figures, found: Iterable[Problem], arrangement: Arrangement
) -> list[Row]:
    """The rows of a gateway, of which these are the problems."""
    table = _Table(figures, arrangement, _ranks(found))
    return [*table.mappings(), *table.gone()]


def _ranks(found: Iterable[Problem]) -> dict[Key, int]:
    """The rank of the worst problem of each row, and of each mapping."""
    ranks = dict[Key, int]()
    for each in found:
        for key in (each.key, (each.key[0], "", "")):
            ranks[key] = min(each.rank, ranks.get(key, _FINE))
    return ranks


@frozen
class _Table:
    _figures: Figures
    _arrangement: Arrangement
    _ranks: Mapping[Key, int]

    @property
    def _words(self) -> list[str]:
        return self._arrangement.filter.lower().split()

    def mappings(self) -> Iterator[Row]:
        heads = [self._mapping(each) for each in self._figures.status["mappings"]]
        for head in self._sorted(heads):
            below = list(self._below(head))
            if below or self._is_wanted(self._text(head.source)):
                yield head
                if head.key[0] not in self._arrangement.folded:
                    yield from below

    def gone(self) -> Iterator[Row]:
        """What is drained by hand, and stands in no pool."""
        for each in self._figures.status.get("drained", ()):
            name = f"{each['service_id']}@{each['node']}"
            if not each["registered"] and self._is_wanted(f"{name} {_GONE}".lower()):
                mark, tone = _STANDINGS["draining"]
                key = ("", "", each["id"])
                yield Row("gone", key, name, "drained", _GONE, mark, tone, each)

    def _sorted(self, some: list[Row]) -> list[Row]:
        sort = SORTS[self._arrangement.sort]
        return sorted(some, key=lambda row: sort(row, self._ranks.get(row.key, _FINE)))

    def _is_wanted(self, text: str) -> bool:
        return all(word in text for word in self._words)

    def _mapping(self, mapping: Status) -> Row:
        name, listening = mapping["name"], mapping["listening"]
        of_used = [
            each["standing"]
            for pool in mapping["pools"]
            if pool["used"]
            for each in pool["upstreams"]
        ]
        usable = sum(each in USABLE for each in of_used)
        is_bad = is_empty(mapping) or not listening
        standing = f"{usable}/{len(of_used)} up"
        if not mapping["service"]:
            standing = "closed" if mapping["empty"] else "routes"
        key = (name, "", "")
        times = self._figures.first_byte.get(name)
        connect = self._figures.connect.get(name)
        return Row(
            "mapping", key, name, standing,
            mapping["policy"] if listening else "does not listen",
            "!" if is_bad else " ", BAD if is_bad else HEAD, mapping,
            self._figures.rates.get(key, Counts()),
            None if connect is None else connect.p50, *_both(times),
        )  # fmt: skip

    def _below(self, head: Row) -> Iterator[Row]:
        mapping = head.source
        name, pools = mapping["name"], mapping["pools"]
        whole = self._is_wanted(self._text(mapping))
        for pool in pools:
            upstreams = [
                self._upstream(name, pool["query"], each)
                for each in pool["upstreams"]
                if whole or self._is_wanted(self._text(mapping, pool, each))
            ]
            if not upstreams and not whole:
                continue
            key = (name, pool["query"], "")
            if len(pools) > 1:
                used = "" if pool["used"] else "not used now"
                yield Row("pool", key, f"  {pool['query']}", "", used, tone=FAINT)
            if not upstreams:
                why = mapping["empty"] or "Consul knows no instance"
                tone = BAD if is_empty(mapping) else FAINT
                key = (name, pool["query"], "no upstreams")
                yield Row("note", key, "  no upstreams", "", why, tone=tone)
            yield from self._sorted(upstreams)

    def _upstream(self, mapping: str, query: str, upstream: Status) -> Row:
        standing = upstream["standing"]
        mark, tone = _STANDINGS.get(standing, _ODD)
        if fails_open(upstream):
            mark, tone = _OPEN
        key = (mapping, query, upstream["id"])
        return Row(
            "upstream", key, f"  {upstream['service_id']}@{upstream['node']}",
            standing, upstream["reason"], mark, tone, upstream,
            self._figures.rates.get(key, Counts()), upstream.get("connect_p50"),
            upstream.get("first_byte_p50"), upstream.get("first_byte_p99"),
        )  # fmt: skip

    @staticmethod
    def _text(
        mapping: Status, pool: Status | None = None, upstream: Status | None = None
    ) -> str:
        """What a filter looks at."""
        words = [mapping["name"], mapping["service"], mapping["listen"]]
        if pool is not None and upstream is not None:
            words += [pool["query"], upstream["service_id"], "@", upstream["node"]]
            words += [upstream["address"], upstream["standing"], upstream["reason"]]
            words += upstream["tags"]
        return " ".join(words).replace(" @ ", "@").lower()


def _both(times: Latency | None) -> tuple[float | None, float | None]:
    return (None, None) if times is None else (times.p50, times.p99)
