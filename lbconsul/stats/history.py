"""The last hour of each mapping, in samples: what a chart needs that is opened late."""

from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable
from math import isnan, nan
from typing import Any, Self

from attrs import Factory, define, frozen

from lbconsul.stats.mapping import MappingStats

#: Between two samples, in seconds, and how many are kept: an hour.
STEP, KEPT = 10.0, 360

#: Samples further apart than this say nothing of the time between them, in seconds.
_GAP = 4 * STEP

#: What is kept of a mapping: open connections, and what there was a second: new
#: connections, requests, bytes from clients and to them, and what went wrong.
COLUMNS = ("open", "connections", "requests", "received", "sent", "failed")

#: Four bytes for each value: with six columns a mapping takes 9 KB.
_TYPE = "f"


@frozen
class Totals:
    """The counters of one mapping at one moment, over all processes."""

    #: Connections that were accepted, and that are over.
    accepted: int = 0
    ended: int = 0
    #: None: it is not in HTTP mode.
    requests: int | None = None
    received: int = 0
    sent: int = 0
    failed: int = 0

    @classmethod
    def of(cls, parts: Iterable[MappingStats]) -> Self:
        """The sums over several processes."""
        accepted = ended = received = sent = failed = 0
        requests = None
        for each in parts:
            accepted += each.accepted
            ended += each.endings.total()
            received += each.received
            sent += each.sent
            failed += each.unhappy.total
            http = each.http
            if http is not None:
                requests = (requests or 0) + sum(http.classes)
                received += http.received
                sent += http.sent
                failed += http.unhappy.total
        return cls(accepted, ended, requests, received, sent, failed)

    def rates(self, before: "Totals", seconds: float) -> tuple[float, ...]:
        """The values of `COLUMNS`; unknown ones are NaN."""

        def rate(now: int | None, then: int | None) -> float:
            if now is None or then is None or now < then:
                return nan
            return (now - then) / seconds

        return (
            max(0, self.accepted - self.ended),
            rate(self.accepted, before.accepted),
            rate(self.requests, before.requests),
            rate(self.received, before.received),
            rate(self.sent, before.sent),
            rate(self.failed, before.failed),
        )


@define(eq=False)
class _Row:
    """The samples of one mapping."""

    #: The number of the newest sample.
    newest: int
    #: The counters at that time; None: they are those of another gateway.
    totals: Totals | None = None
    at: float = 0.0
    columns: list["array[float]"] = Factory(lambda: [array(_TYPE) for _ in COLUMNS])

    def add(self, number: int, values: Iterable[float]) -> None:
        self.newest = number
        for column, value in zip(self.columns, values, strict=True):
            column.append(value)
            if len(column) > KEPT + 1:  # the sample that is being taken is one more
                del column[0]

    def values(self, index: int, newest: int, count: int) -> list[float | None]:
        """The last `count` values of a column, up to the sample `newest`."""
        column = self.columns[index]
        ahead = self.newest - newest
        known = column[max(0, len(column) - ahead - count) : len(column) - ahead]
        shown = [None if isnan(each) else each for each in known]
        return [None] * (count - len(shown)) + shown

    def texts(self, newest: int) -> list[str]:
        """The columns up to the sample `newest`, as texts."""
        ahead = self.newest - newest
        known = [each[: len(each) - ahead] for each in self.columns]
        return [b64encode(each.tobytes()).decode() for each in known]


@define(eq=False)
class History:
    """The samples of all mappings, by name.

    `add` is called for each mapping, and then `end`; what is read meanwhile is as of
    the last `end`.  Times are seconds of one clock.
    """

    #: When each sample was taken, the oldest first.
    times: "array[float]" = Factory(lambda: array("d"))
    #: The number of the newest sample.
    _newest: int = 0
    _rows: dict[str, _Row] = Factory(dict)

    def add(self, name: str, totals: Totals, now: float) -> None:
        """Take a sample of one mapping."""
        number, row = self._newest + 1, self._rows.get(name)
        if row is None or row.newest < self._newest:
            row = self._rows[name] = _Row(number)
        values: tuple[float, ...] = (totals.accepted - totals.ended,)
        values += (nan,) * (len(COLUMNS) - 1)
        if row.totals is not None and 0 < now - row.at < _GAP:
            values = totals.rates(row.totals, now - row.at)
        row.add(number, values)
        row.totals, row.at = totals, now

    def end(self, now: float) -> None:
        """The sample is complete: mappings that are not in it are gone."""
        self._newest += 1
        self.times.append(now)
        if len(self.times) > KEPT:
            del self.times[0]
        gone = [each for each, row in self._rows.items() if row.newest < self._newest]
        for name in gone:
            del self._rows[name]

    def row(self, name: str) -> dict[str, list[float | None]] | None:
        """The values of a mapping by column, one for each of `times`.

        None stands for what is unknown.  The row is None if nothing is known of it.
        """
        row = self._rows.get(name)
        if row is None:
            return None
        count = len(self.times)
        return {
            column: row.values(index, self._newest, count)
            for index, column in enumerate(COLUMNS)
        }

    def to_state(self, ahead: float, room: int) -> dict[str, Any]:
        """The history as JSON can hold it, for another gateway.

        `ahead` is what is to be added to `times` for the clock that both know.  Of very
        many mappings those that this gateway has accepted the most connections for are
        in it, in `room` bytes.
        """
        rows: dict[str, list[str]] = {}
        by_use = sorted(self._rows.items(), key=lambda each: -_use(each[1]))
        for name, row in by_use:
            texts = row.texts(self._newest)
            room -= sum(map(len, texts)) + len(name)
            if room < 0:
                break
            rows[name] = texts
        return {"times": [each + ahead for each in self.times], "rows": rows}

    @classmethod
    def from_state(cls, state: object, ahead: float) -> Self:
        """What `to_state` of another gateway wrote; nothing of what is malformed."""
        history = cls()
        try:
            history._read(state, ahead)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return cls()
        return history

    def _read(self, state: Any, ahead: float) -> None:
        times = [float(each) - ahead for each in state["times"]]
        if len(times) > KEPT or sorted(times) != times:
            raise ValueError("no times")
        self.times.extend(times)
        for name, texts in state["rows"].items():
            row = self._rows[str(name)] = _Row(self._newest)
            for column, text in zip(row.columns, texts, strict=True):
                column.frombytes(b64decode(text, validate=True))
                del column[: max(0, len(column) - KEPT)]
            if len({len(each) for each in row.columns}) > 1:
                raise ValueError("columns of different lengths")


def _use(row: _Row) -> int:
    # Not the sum of a column: with 10,000 mappings the reactor would wait for it.
    return 0 if row.totals is None else row.totals.accepted
