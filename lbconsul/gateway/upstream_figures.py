"""Collects the figures that are shown of one upstream of a mapping."""

from typing import Any

from lbconsul.admin.http_status import HTTPUpstreamStatus
from lbconsul.balance.instance import Identity
from lbconsul.gateway.http_status import FRACTIONS, by_class
from lbconsul.process.clock import WallClock
from lbconsul.stats import upstream
from lbconsul.stats.histogram import quantiles
from lbconsul.stats.http import FIRST_BYTE, HTTPUpstreamStats
from lbconsul.stats.traffic import MappingTraffic
from lbconsul.stats.upstream import CONNECT, Failures, UpstreamStats, total_of


def upstream_figures(
    traffic: MappingTraffic, identity: Identity, wall: WallClock
) -> dict[str, Any]:
    """The fields of `UpstreamStatus` that come from the connections of its mapping.

    `wall` translates the times of the mapping's processes.
    """
    account, http = traffic.account(identity), None
    if traffic.stats.http is not None:
        http = traffic.http_account(identity)
    return {
        "total": account.total,
        "bytes_received": account.received + (http.received if http else 0),
        "bytes_sent": account.sent + (http.sent if http else 0),
        "connect_failures": account.failures,
        "connect_time": account.connect_time or None,
        **_latencies(account, http),
        **_failures(account, http, wall),
    }


def _latencies(
    account: UpstreamStats, http: HTTPUpstreamStats | None
) -> dict[str, Any]:
    connect_half, connect_most = quantiles(CONNECT, account.connects, *FRACTIONS)
    if http is None:
        half, most = quantiles(upstream.FIRST_BYTE, account.first_bytes, *FRACTIONS)
        shown = None
    else:
        half, most = quantiles(FIRST_BYTE, http.recent, *FRACTIONS)
        shown = HTTPUpstreamStatus(
            requests=by_class(http.classes), first_byte_p50=half, first_byte_p99=most
        )
    return {
        "connect_p50": connect_half,
        "connect_p99": connect_most,
        "first_byte_p50": half,
        "first_byte_p99": most,
        "http": shown,
    }


def _failures(
    account: UpstreamStats, http: HTTPUpstreamStats | None, wall: WallClock
) -> dict[str, Any]:
    failing = account.failing
    if http is not None and http.failing is not None:
        failing = total_of((failing, http.failing), Failures)
    if failing is None:
        return {}
    return {
        "failures_per_minute": round(failing.per_minute(wall.moment), 1),
        "last_error": failing.error,
        "last_error_at": wall.at(failing.at),
    }
