"""Collects what is shown of a mapping's HTTP requests."""

from typing import Any

from lbconsul.admin.http_status import HTTPStatus, HTTPUpstreamStatus, UnhappyStatus
from lbconsul.admin.status_model import Histogram
from lbconsul.admin.upstream_id import upstream_id
from lbconsul.balance.instance import Identity
from lbconsul.process.clock import WallClock
from lbconsul.stats.histogram import DurationHistogram, quantile
from lbconsul.stats.http import CLASSES, FIRST_BYTE, HTTPUpstreamStats
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.stats.unhappy import UnhappyRequest


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
    return {
        "http": HTTPStatus(
            requests=_by_class(http.classes),
            active=traffic.active_requests,
            idle_connections=traffic.idle_connections,
            retries=http.retries,
            reused=http.reused,
            refused=dict(http.refused),
            **_latest(http.recent),
        ),
        "request_first_byte_time": histogram_of(http.first_byte),
        "request_time": histogram_of(http.request),
        "unhappy": tuple(_unhappy(each, wall) for each in reversed(http.unhappy.last)),
    }


def http_upstream_status(
    traffic: MappingTraffic, identity: Identity
) -> HTTPUpstreamStatus | None:
    """The requests to one upstream; None: the mapping is not in HTTP mode."""
    http = traffic.stats.http
    if http is None:
        return None
    account = http.accounts.get(identity, _NOTHING)
    return HTTPUpstreamStatus(
        requests=_by_class(account.classes), **_latest(account.recent)
    )


def bytes_moved(traffic: MappingTraffic) -> tuple[int, int]:
    """Bytes from a mapping's clients, and to them, those of requests included."""
    stats, http = traffic.stats, traffic.stats.http
    if http is None:
        return stats.received, stats.sent
    return stats.received + http.received, stats.sent + http.sent


def bytes_of_requests(traffic: MappingTraffic, identity: Identity) -> tuple[int, int]:
    """Bytes of requests from clients to an upstream, and from it to clients."""
    http = traffic.stats.http
    account = _NOTHING if http is None else http.accounts.get(identity, _NOTHING)
    return account.received, account.sent


_NOTHING = HTTPUpstreamStats()


def _by_class(counts: list[int]) -> dict[str, int]:
    return dict(zip(CLASSES, counts, strict=True))


def _latest(counts: list[int]) -> dict[str, float | None]:
    return {
        "first_byte_p50": quantile(FIRST_BYTE, counts, 0.5),
        "first_byte_p99": quantile(FIRST_BYTE, counts, 0.99),
    }


def _unhappy(request: UnhappyRequest, wall: WallClock) -> UnhappyStatus:
    return UnhappyStatus(
        time=wall.at(request.time),
        client=request.client,
        method=request.method,
        host=request.host,
        path=request.path,
        status=request.status,
        upstream="" if request.upstream is None else upstream_id(*request.upstream),
        reason=request.reason,
        retries=request.retries,
    )
