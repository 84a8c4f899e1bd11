"""What a worker reports of a mapping's traffic, and its encoding.

Counters are sent as they stand, and of thousands of accounts those that changed.
"""

import json
from collections import Counter
from typing import Any

from lbconsul.balance.instance import Identity
from lbconsul.balance.outlier import Ejection
from lbconsul.stats.histogram import DurationHistogram
from lbconsul.stats.mapping import MappingStats
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.stats.unhappy import UnhappyConnection
from lbconsul.stats.upstream import UpstreamStats
from lbconsul.workers.http_messages import (
    apply_http_changes,
    http_changes_of,
    read_counts,
    read_failures,
    read_number,
    read_text,
    write_failures,
)
from lbconsul.workers.messages import TRAFFIC

_HISTOGRAMS = ("connect", "first_byte", "connection")


def write_traffic(number: int, traffic: MappingTraffic) -> bytes:
    """Encode the traffic of the assignment with this number.

    Afterwards none of its accounts has changed.
    """
    return TRAFFIC + json.dumps([number, changes_of(traffic)]).encode()


def read_traffic(data: bytes) -> tuple[int, dict[str, Any]]:
    """Decode an assignment's number and traffic changes, without their first byte.

    :raises ValueError: the data is no such message.
    """
    match json.loads(data):
        case [int(number), dict(changes)]:
            return number, changes
        case _:
            raise ValueError("no traffic")


def changes_of(traffic: MappingTraffic) -> dict[str, Any]:
    """All counters as JSON values, and the accounts changed since the last call."""
    stats = traffic.stats
    times = [(name, getattr(stats, name)) for name in _HISTOGRAMS]
    http = {} if stats.http is None else http_changes_of(stats.http, traffic)
    return {
        "accepted": stats.accepted,
        "received": stats.received,
        "sent": stats.sent,
        "endings": dict(stats.endings),
        "exceeded": dict(stats.exceeded),
        **{name: [each.counts, each.sum] for name, each in times},
        "accounts": [
            [
                *identity,
                [a.total, a.received, a.sent, a.failures, a.connect_time],
                a.connects,
                a.first_bytes,
                a.answered,
                write_failures(a.failing),
            ]
            for identity, a in stats.take_changed().items()
        ],
        "unhappy": [
            [each.time, each.client, each.upstream, each.termination, each.error,
             each.retries, each.seconds, each.count]
            for each in stats.unhappy.take_new()
        ],
        "unhappy_total": stats.unhappy.total,
        "queued": traffic.queued,
        "ejected": [
            [number, *identity, each.reason, each.since, each.until, since]
            for (number, identity), (each, since) in traffic.ejected.items()
        ],
        "used": sorted(traffic.used),
        **({"http": http} if http else {}),  # others do not pay for it
    }  # fmt: skip


def apply_changes(traffic: MappingTraffic, changes: dict[str, Any]) -> None:
    """Replace the counters and the state by those of another process.

    :raises Exception: `changes` is malformed; the type depends on the fault.
    """
    _apply_stats(traffic.stats, changes)
    traffic.queued = int(changes["queued"])
    traffic.ejected = {
        (int(number), Identity(*map(str, identity))): (
            Ejection(read_text(reason), read_number(begun), read_number(until)),
            read_number(since),
        )
        for number, *identity, reason, begun, until, since in changes["ejected"]
    }
    traffic.used = {int(number) for number in changes["used"]}
    if "http" in changes:
        apply_http_changes(traffic, changes["http"])


def _apply_stats(stats: MappingStats, changes: dict[str, Any]) -> None:
    stats.accepted, stats.received, stats.sent = (
        int(changes[name]) for name in ("accepted", "received", "sent")
    )
    stats.endings = Counter(
        {read_text(code): int(count) for code, count in changes["endings"].items()}
    )
    stats.exceeded = Counter(
        {read_text(limit): int(count) for limit, count in changes["exceeded"].items()}
    )
    for name in _HISTOGRAMS:
        times: DurationHistogram = getattr(stats, name)
        counts, total = changes[name]
        if len(counts) != len(times.counts):
            raise ValueError(f"{len(counts)} counts of {name}")
        times.counts, times.sum = [int(each) for each in counts], read_number(total)
    for datacenter, node, service_id, *figures in changes["accounts"]:
        stats.accounts[Identity(datacenter, node, service_id)] = _account(*figures)
    for each in changes["unhappy"]:
        stats.unhappy.put(_connection(*each))
    stats.unhappy.total = int(changes["unhappy_total"])


def _account(
    numbers: list[Any],
    connects: list[Any],
    first_bytes: list[Any],
    answered: int,
    failing: list[Any] | None,
) -> UpstreamStats:
    total, received, sent, failures, connect_time = numbers
    account = UpstreamStats(
        int(total), int(received), int(sent), int(failures), read_number(connect_time)
    )
    account.connects = read_counts(connects, account.connects)
    account.first_bytes = read_counts(first_bytes, account.first_bytes)
    account.answered = int(answered)
    account.failing = read_failures(failing)
    return account


def _connection(
    time: float,
    client: str,
    upstream: list[str] | None,
    termination: str,
    error: str,
    retries: int,
    seconds: float,
    count: int,
) -> UnhappyConnection:
    identity = None if upstream is None else Identity(*map(str, upstream))
    return UnhappyConnection(
        read_number(time), read_text(client), identity, read_text(termination),
        read_text(error), int(retries), read_number(seconds), int(count),
    )  # fmt: skip
