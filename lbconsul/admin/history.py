"""``/history``: the last hour of each mapping, in samples."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from attrs import frozen

#: The longest span of one sample that can be asked for, in seconds.
LONGEST_STEP = 600.0


@frozen
class MappingHistory:
    """The samples of one mapping: by column a value for each time, None if unknown."""

    name: str
    #: ``open`` connections; and a second: new ``connections``, ``requests``, bytes
    #: ``received`` from clients and ``sent`` to them, and what ``failed``.
    columns: Mapping[str, Sequence[float | None]]


class HistorySource(Protocol):
    """What has recorded it."""

    @property
    def step(self) -> float:
        """Between two samples, in seconds."""

    def times(self) -> list[float]:
        """When each sample was taken, in seconds since the epoch, the oldest first."""

    def mappings(self, names: Iterable[str] = ()) -> Iterator[MappingHistory]:
        """The mappings with these names that there are, or all of them."""


def history(
    source: HistorySource, names: Iterable[str] = (), step: float = 0.0
) -> Iterator[bytes]:
    """The document in pieces: a mapping in each.

    With a `step` samples of so many seconds, in which each value is a mean.
    """
    times, factor = source.times(), max(1, round(step / source.step))
    count = len(times)
    shown = [round(times[end - 1], 1) for end in _ends(count, factor)]
    head = json.dumps({"step": source.step * factor, "times": shown})
    yield f'{head[:-1]},"mappings":['.encode("ascii")
    comma = ""
    for each in source.mappings(names):
        columns = ",".join(
            f'"{name}":[{_numbers(values[-count:], factor)}]'
            for name, values in each.columns.items()
        )
        yield f'{comma}{{"name":{json.dumps(each.name)},{columns}}}'.encode("ascii")
        comma = ","
    yield b"]}\n"


def _numbers(values: Sequence[float | None], factor: int) -> str:
    """JSON numbers of four digits; with a factor means of so many values each."""
    if factor > 1:
        values = [
            _mean(values[max(0, end - factor) : end])
            for end in _ends(len(values), factor)
        ]
    return ",".join("null" if each is None else f"{each:.4g}" for each in values)


def _ends(count: int, factor: int) -> list[int]:
    """Where groups of `factor` values end, counted from the newest."""
    return list(range(count, 0, -factor))[::-1]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return sum(known) / len(known) if known else None
