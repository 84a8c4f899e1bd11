"""What each part of a split is to get, and what it has got."""

from collections.abc import Iterable, Iterator, Sequence

from attrs import Factory, define

from lbconsul.admin.status_model import SplitStatus
from lbconsul.config.listen import Listen
from lbconsul.config.model import Mapping
from lbconsul.stats.traffic import MappingTraffic

_Row = tuple[Listen | None, str]


def groups(rows: Iterable[Mapping]) -> Iterator[list[Mapping]]:
    """Each row with its parts, which follow it; most have none."""
    group: list[Mapping] = []
    for each in rows:
        if group and not (each.part and each.part.name):
            yield group
            group = []
        group.append(each)
    if group:
        yield group


def gets(traffic: MappingTraffic) -> int:
    """How many requests, or connections, a part has got."""
    http = traffic.stats.http
    return traffic.stats.accepted if http is None else sum(http.classes)


@define(eq=False)
class SplitShares:
    """Counts what the parts get from when a split is first seen: with other shares
    the count begins again.
    """

    #: By the row that is split: the text of the split, and what its parts had got.
    _bases: dict[_Row, tuple[str, list[int]]] = Factory(dict)

    def begin(self, rows: Iterable[Mapping]) -> None:
        """These rows are there from the start: their parts have got nothing yet."""
        for group in groups(rows):
            if len(group) > 1:
                self.shares(group, [0] * len(group))

    def keep(self, rows: Iterable[Mapping]) -> None:
        """Forget the splits of all rows but these."""
        known = {_key(each) for each in rows}
        self._bases = {k: base for k, base in self._bases.items() if k in known}

    def shares(
        self, group: Sequence[Mapping], counts: Sequence[int]
    ) -> list[SplitStatus]:
        """Of a row and its parts, which have got so many requests or connections."""
        parts = [each.part for each in group if each.part is not None]
        key, text = _key(group[0]), parts[0].split
        known = self._bases.get(key)
        if known is None or known[0] != text:
            known = self._bases[key] = text, list(counts)
        # A worker that died may have told less than before.
        got = [max(0, now - then) for now, then in zip(counts, known[1], strict=True)]
        total, weight = sum(got), sum(each.weight for each in parts)
        return [
            SplitStatus(
                str(group[0]),
                part.name,
                round(part.weight / weight, 9),
                round(number / total, 9) if total else None,
            )
            for part, number in zip(parts, got, strict=True)
        ]


def _key(row: Mapping) -> _Row:
    return row.listen, row.route
