"""What happens a second, and how long it takes, from two answers of ``/status``.  Pure.

All figures are of the last `WINDOW` seconds, by the gateway's own clock.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import Factory, define, evolve, frozen

from lbconsul.stats.histogram import quantiles

Status = dict[str, Any]

#: A row: the name of its mapping, and of an upstream its pool's query and its id.
Key = tuple[str, str, str]

#: What the figures are of, in seconds; of a gateway that is asked less often, of the
#: time between two answers.
WINDOW = 5.0


@frozen
class Counts:
    """Counters of a mapping or an upstream since the start; or what they grew by."""

    connections: float = 0.0
    requests: float = 0.0
    #: Requests that were answered with 5xx.
    errors: float = 0.0
    #: Connections and requests that went wrong; of an upstream: connects.
    failures: float = 0.0
    received: float = 0.0
    sent: float = 0.0

    def per_second(self, before: "Counts", seconds: float) -> "Counts":
        """What has come since, a second."""
        pairs = zip(_values(self), _values(before), strict=True)
        return Counts(*(max(0.0, now - then) / seconds for now, then in pairs))


def _values(counts: Counts) -> tuple[float, ...]:
    return (
        *(counts.connections, counts.requests, counts.errors),
        *(counts.failures, counts.received, counts.sent),
    )


@frozen
class Latency:
    """How long something took: the half, and 99 of 100, within so many seconds."""

    p50: float
    p99: float


@frozen
class Figures:
    """One answer of ``/status``, and what happens a second by it."""

    status: Status
    #: What the figures are of; 0 before the second answer.
    seconds: float = 0.0
    rates: Mapping[Key, Counts] = Factory(dict)
    #: Requests a second of the whole gateway, by class.
    classes: Mapping[str, float] = Factory(dict)
    retries: float = 0.0
    #: By mapping: of connecting, and until the first byte of an answer.
    connect: Mapping[str, Latency] = Factory(dict)
    first_byte: Mapping[str, Latency] = Factory(dict)

    @property
    def total(self) -> Counts:
        """The rates of the whole gateway."""
        rows = [_values(each) for key, each in self.rates.items() if not key[2]]
        return Counts(*map(sum, zip(*rows, strict=True)))


@frozen
class _Sample:
    """The counters of one answer."""

    now: float
    #: Tells one start of a gateway from another.
    started: float
    counts: Mapping[Key, Counts]
    classes: Mapping[str, float]
    retries: float
    #: By mapping, and by what: bounds and counts.
    histograms: Mapping[tuple[str, str], tuple[list[float], list[int]]]


@define(eq=False)
class History:
    """The answers of the last seconds, the newest last."""

    _samples: deque[_Sample] = Factory(deque)

    def add(self, status: Status) -> Figures:
        """The figures by the next answer.

        :raises LookupError: (or TypeError, ValueError, AttributeError) it is no status.
        """
        now = _sample(status)
        if self._samples and not _follows(now, self._samples[-1]):
            self._samples.clear()
        self._samples.append(now)
        while len(self._samples) > 2 and now.now - self._samples[1].now >= WINDOW:
            self._samples.popleft()
        figures = Figures(status)
        before = self._samples[0]
        return figures if before is now else _compared(figures, before, now)


def _follows(now: _Sample, before: _Sample) -> bool:
    """Whether it is of the same start, and of a clock that was not set back."""
    return now.started == before.started and now.now > before.now


def _compared(figures: Figures, before: _Sample, now: _Sample) -> Figures:
    seconds = now.now - before.now
    none = Counts()
    rates = {
        key: counts.per_second(before.counts.get(key, counts), seconds)
        if counts != before.counts.get(key)
        else none
        for key, counts in now.counts.items()
    }
    classes = {
        each: max(0.0, count - before.classes.get(each, 0)) / seconds
        for each, count in now.classes.items()
    }
    return evolve(
        figures,
        seconds=seconds,
        rates=rates,
        classes=classes,
        retries=max(0.0, now.retries - before.retries) / seconds,
        connect=dict(_latencies(before, now, "connect")),
        first_byte=dict(_latencies(before, now, "first byte")),
    )


def _latencies(
    before: _Sample, now: _Sample, what: str
) -> Iterator[tuple[str, Latency]]:
    for key, (bounds, counts) in now.histograms.items():
        mapping, its = key
        then = before.histograms.get(key)
        if its != what or then is None or then[0] != bounds:
            continue
        lately = [max(0, new - old) for new, old in zip(counts, then[1], strict=True)]
        half, most = quantiles(bounds, lately, 0.5, 0.99)
        if half is not None and most is not None:
            yield mapping, Latency(half, most)


def _sample(status: Status) -> _Sample:
    counts, classes, histograms = dict[Key, Counts](), dict[str, float](), {}
    retries = 0.0
    for mapping in status["mappings"]:
        name, http = mapping["name"], mapping["http"]
        counts[name, "", ""] = _of_mapping(mapping)
        for each, of_class in (http["requests"] if http else {}).items():
            classes[each] = classes.get(each, 0) + of_class
        retries += http["retries"] if http else 0
        answer = "request_first_byte_time" if http else "first_byte_time"
        for what, histogram in (
            ("connect", mapping["connect_time"]), ("first byte", mapping[answer]),
        ):  # fmt: skip
            histograms[name, what] = histogram["bounds"], histogram["counts"]
        for pool in mapping["pools"]:
            for each in pool["upstreams"]:
                counts[name, pool["query"], each["id"]] = _of_upstream(each)
    gateway = status["gateway"]
    now, started = float(gateway["now"]), gateway["started"]
    return _Sample(now, started, counts, classes, retries, histograms)


def _of_mapping(mapping: Status) -> Counts:
    requests, errors = _requests(mapping["http"])
    return Counts(
        mapping["accepted"], requests, errors, mapping.get("failed", 0),
        mapping["bytes_received"], mapping["bytes_sent"],
    )  # fmt: skip


def _of_upstream(upstream: Status) -> Counts:
    requests, errors = _requests(upstream["http"])
    return Counts(
        upstream["total"], requests, errors, upstream["connect_failures"],
        upstream["bytes_received"], upstream["bytes_sent"],
    )  # fmt: skip


def _requests(http: Status | None) -> tuple[float, float]:
    """Requests that are over, and those of them that were answered with 5xx."""
    if http is None:
        return 0.0, 0.0
    requests = http["requests"]
    return sum(requests.values()), requests["5xx"]
