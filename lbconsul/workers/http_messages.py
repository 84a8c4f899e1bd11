"""What a worker reports of a mapping's HTTP requests, within its traffic.

Counters are sent as they stand; of accounts and of unhappy requests those that are new.
"""

from collections import Counter
from math import isfinite
from typing import Any

from attrs import astuple

from lbconsul.balance.instance import Identity
from lbconsul.stats.http import HTTPStats, HTTPUpstreamStats
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.stats.unhappy import UnhappyRequest
from lbconsul.stats.upstream import Failures
from lbconsul.text import fit

#: The longest text that a worker reports, in characters.
_LONGEST = 1024

_COUNTERS = ("received", "sent", "retries", "reused", "answered", "stuck", "bound",
    "moved_elsewhere", "compressed", "compressed_in", "compressed_out")  # fmt: skip
_LISTS = ("classes", "recent")
_HISTOGRAMS = ("first_byte", "request")
_GAUGES = ("active_requests", "idle_connections")


def http_changes_of(http: HTTPStats, traffic: MappingTraffic) -> dict[str, Any]:
    """All counters as JSON values, and what is new since the last call."""
    times = [(name, getattr(http, name)) for name in _HISTOGRAMS]
    return {
        **{name: getattr(http, name) for name in (*_COUNTERS, *_LISTS)},
        **{name: [each.counts, each.sum] for name, each in times},
        **{name: getattr(traffic, name) for name in _GAUGES},
        "refused": dict(http.refused),
        "accounts": [
            [*identity, a.classes, a.received, a.sent, a.answered, a.recent,
             write_failures(a.failing)]
            for identity, a in http.take_changed().items()
        ],
        "unhappy": [
            [each.time, each.client, each.method, each.host, each.path, each.status,
             each.upstream, each.reason, each.retries]
            for each in http.unhappy.take_new()
        ],
        "unhappy_total": http.unhappy.total,
    }  # fmt: skip


def apply_http_changes(traffic: MappingTraffic, changes: dict[str, Any]) -> None:
    """Replace counters and gauges by those of another process, and add what is new.

    :raises Exception: `changes` is malformed; the type depends on the fault.
    """
    http = traffic.stats.use_http()
    for name in _COUNTERS:
        setattr(http, name, int(changes[name]))
    for name in _LISTS:
        setattr(http, name, read_counts(changes[name], getattr(http, name)))
    for name in _HISTOGRAMS:
        histogram = getattr(http, name)
        counts, total = changes[name]
        histogram.counts = read_counts(counts, histogram.counts)
        histogram.sum = read_number(total)
    for name in _GAUGES:
        setattr(traffic, name, int(changes[name]))
    refused = changes["refused"].items()
    http.refused = Counter({read_text(reason): int(count) for reason, count in refused})
    for datacenter, node, service_id, *figures in changes["accounts"]:
        http.accounts[Identity(datacenter, node, service_id)] = _account(*figures)
    for each in changes["unhappy"]:
        http.unhappy.put(_request(*each))
    http.unhappy.total = int(changes["unhappy_total"])


def read_counts(counts: list[Any], like: list[int]) -> list[int]:
    """Counts of another process, of as many kinds as `like`.

    :raises Exception: they are malformed; the type depends on the fault.
    """
    if len(counts) != len(like):
        raise ValueError(f"{len(counts)} counts instead of {len(like)}")
    return [int(each) for each in counts]


def read_number(value: Any) -> float:
    """A number of another process, such as a time in seconds.

    :raises Exception: it is none that JSON has; the type depends on the fault.
    """
    number = float(value)
    if not isfinite(number):
        raise ValueError(f"{number} is no number")
    return number


def read_text(value: Any) -> str:
    """A text of another process, which a client may have chosen: it is shown."""
    return fit(str(value), _LONGEST)


def write_failures(failing: Failures | None) -> list[Any] | None:
    """The failures of an instance as JSON values."""
    return None if failing is None else list(astuple(failing))


def read_failures(values: list[Any] | None) -> Failures | None:
    """What `write_failures` wrote.

    :raises Exception: it is malformed; the type depends on the fault.
    """
    if values is None:
        return None
    minute, count, before, at, error = values
    return Failures(
        int(minute), int(count), int(before), read_number(at), read_text(error)
    )


def _account(
    classes: list[Any],
    received: int,
    sent: int,
    answered: int,
    recent: list[Any],
    failing: list[Any] | None,
) -> HTTPUpstreamStats:
    account = HTTPUpstreamStats(
        received=int(received), sent=int(sent), answered=int(answered)
    )
    account.classes = read_counts(classes, account.classes)
    account.recent = read_counts(recent, account.recent)
    account.failing = read_failures(failing)
    return account


def _request(
    time: float,
    client: str,
    method: str,
    host: str,
    path: str,
    status: int,
    upstream: list[str] | None,
    reason: str,
    retries: int,
) -> UnhappyRequest:
    identity = None if upstream is None else Identity(*map(str, upstream))
    return UnhappyRequest(
        read_number(time), read_text(client), read_text(method), read_text(host),
        read_text(path), int(status), identity, read_text(reason), int(retries),
    )  # fmt: skip
