"""Collects what is shown of a mapping's requests, and of what went wrong."""

from typing import Any

from lbconsul.admin.http_status import (
    HTTPStatus,
    UnhappyConnectionStatus,
    UnhappyStatus,
)
from lbconsul.admin.status_model import Histogram
from lbconsul.admin.upstream_id import upstream_id
from lbconsul.balance.instance import Identity
from lbconsul.process.clock import WallClock
from lbconsul.stats.causes import cause_of
from lbconsul.stats.histogram import DurationHistogram, quantiles
from lbconsul.stats.http import CLASSES, FIRST_BYTE
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.stats.unhappy import UnhappyConnection, UnhappyRequest

#: The quantiles that are shown: each second measurement, and 99 of 100, were within.
FRACTIONS = (0.5, 0.99)


def histogram_of(times: DurationHistogram) -> Histogram:
    """A histogram as it is shown."""
    return Histogram(times.bounds, tuple(times.counts), times.sum)


def http_fields(traffic: MappingTraffic, wall: WallClock) -> dict[str, Any]:
    """The fields of `MappingStatus` that a mapping in HTTP mode has.

    `wall` translates the times of its processes.
    """
    http = traffic.stats.http
    if http is None:
        return {}
    half, most = quantiles(FIRST_BYTE, http.recent, *FRACTIONS)
    return {
        "http": HTTPStatus(
            requests=by_class(http.classes),
            active=traffic.active_requests,
            idle_connections=traffic.idle_connections,
            retries=http.retries,
            reused=http.reused,
            sticky_kept=http.stuck,
            sticky_new=http.bound,
            sticky_moved=http.moved_elsewhere,
            compressed=http.compressed,
            compressed_bytes_in=http.compressed_in,
            compressed_bytes_out=http.compressed_out,
            refused=dict(http.refused),
            first_byte_p50=half,
            first_byte_p99=most,
        ),
        "request_first_byte_time": histogram_of(http.first_byte),
        "request_time": histogram_of(http.request),
        "unhappy": tuple(_unhappy(each, wall) for each in reversed(http.unhappy.last)),
    }


def bytes_moved(traffic: MappingTraffic) -> tuple[int, int]:
    """Bytes from a mapping's clients, and to them, those of requests included."""
    stats, http = traffic.stats, traffic.stats.http
    if http is None:
        return stats.received, stats.sent
    return stats.received + http.received, stats.sent + http.sent


def unhappy_connections(
    traffic: MappingTraffic, wall: WallClock
) -> tuple[UnhappyConnectionStatus, ...]:
    """The last connections that went wrong, the newest first."""
    last = reversed(traffic.stats.unhappy.last)
    return tuple(_unhappy_connection(each, wall) for each in last)


def failed(traffic: MappingTraffic) -> int:
    """How many connections and requests went wrong."""
    http = traffic.stats.http
    requests = 0 if http is None else http.unhappy.total
    return traffic.stats.unhappy.total + requests


def by_class(counts: list[int]) -> dict[str, int]:
    """Requests by the names of their classes."""
    return dict(zip(CLASSES, counts, strict=True))


def _unhappy(request: UnhappyRequest, wall: WallClock) -> UnhappyStatus:
    return UnhappyStatus(
        time=wall.at(request.time),
        client=request.client,
        method=request.method,
        host=request.host,
        path=request.path,
        status=request.status,
        upstream=_id(request.upstream),
        reason=request.reason,
        cause=cause_of(request.reason, request.status),
        retries=request.retries,
    )


def _unhappy_connection(
    connection: UnhappyConnection, wall: WallClock
) -> UnhappyConnectionStatus:
    return UnhappyConnectionStatus(
        time=wall.at(connection.time),
        client=connection.client,
        upstream=_id(connection.upstream),
        termination=connection.termination,
        cause=cause_of(connection.termination),
        error=connection.error,
        retries=connection.retries,
        seconds=round(connection.seconds, 3),
        count=connection.count,
    )


def _id(identity: Identity | None) -> str:
    return "" if identity is None else upstream_id(*identity)
