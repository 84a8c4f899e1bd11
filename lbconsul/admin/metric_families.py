"""The metric families that have no sample per upstream."""

import os
import platform
import resource
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

import twisted
from lbconsul.admin.check_status import ChecksStatus
from lbconsul.admin.status_model import (
    FullStatus,
    GatewayStatus,
    Histogram,
    MappingStatus,
    WatchStatus,
    WorkerStatus,
)
from lbconsul.admin.tag_routes import TagMappingStatus

#: Requests to the admin listener, by what was asked for and the answer's HTTP status.
AdminCounts = Mapping[tuple[str, int], int]

_PROC = Path("/proc/self")

#: The labels of mappings and routes.
MAPPING = ("mapping", "service")
_WATCH = ("query", "service", "datacenter")

#: The standings that have a sample even if no upstream has them.
STANDINGS = ("serving", "warming", "draining", "ejected", "suspect")

_LAG = "Longest delay of a reactor call in the last 10 s."
_LATE = "How long the own check has waited that is due the longest."
_DROPPED = "Log lines dropped because the log's target was too slow."
#: The values of `reason` that have a sample even if nothing is full.
FULL = ("max-connections", "process", "descriptors")

_FULL = "Mappings and processes in which new clients wait, by what is full."
_FAULTS = "Faults of policies and hooks of your own: failed, or slow."
_LIMIT = "Most connections that one process can have open; 0: no limit."


def gauge(
    name: str,
    text: str,
    samples: Iterable[tuple[Iterable[str], float | None]],
    labels: Iterable[str] = (),
) -> Metric:
    """A gauge; samples without a value are left out."""
    family = GaugeMetricFamily(f"lbconsul_{name}", text, labels=tuple(labels))
    return _filled(family, samples)


def counter(
    name: str,
    text: str,
    samples: Iterable[tuple[Iterable[str], float | None]],
    labels: Iterable[str] = (),
) -> Metric:
    """A counter; samples without a value are left out."""
    family = CounterMetricFamily(f"lbconsul_{name}", text, labels=tuple(labels))
    return _filled(family, samples)


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily,
    samples: Iterable[tuple[Iterable[str], float | None]],
) -> Metric:
    for labels, value in samples:
        if value is not None:
            family.add_metric(list(labels), value)
    return family


def of_gateway(gateway: GatewayStatus) -> Iterator[Metric]:
    """Metrics of the gateway as a whole, and of its workers."""
    about = {
        "version": gateway.version,
        "python": platform.python_version(),
        "twisted": twisted.__version__,
    }
    yield InfoMetricFamily(
        "lbconsul_build", "Versions of lbconsul, Python and Twisted.", value=about
    )
    draining = gateway.state == "draining"
    for name, text, value in (
        (
            "start_time_seconds",
            "Start time of the gateway, in seconds since the epoch.",
            gateway.started,
        ),
        ("ready", "1 if the gateway is ready: every mapping is served.", gateway.ready),
        ("draining", "1 if the gateway drains and accepts no new clients.", draining),
        ("reactor_lag_seconds", _LAG, gateway.reactor_lag),
        ("connections_limit", _LIMIT, gateway.max_connections),
    ):
        yield gauge(name, text, [((), float(value))])
    yield counter("log_lines_dropped_total", _DROPPED,
                  [((), gateway.log_lines_dropped)])  # fmt: skip
    yield gauge("full", _FULL, _full(gateway.full), ("reason",))
    if gateway.registrations:
        text = "1 for the current state of the gateway's registration in Consul."
        states = (
            ((each.service, each.id, each.state), 1.0) for each in gateway.registrations
        )
        yield gauge("registration", text, states, ("service", "id", "state"))
    if gateway.checks is not None:
        yield from _of_checks(gateway.checks)
    faults = (((each.extension, each.kind), each.count) for each in gateway.faults)
    yield counter("extension_faults_total", _FAULTS, faults, ("extension", "kind"))
    yield from _of_workers(gateway.workers)


def _of_checks(checks: ChecksStatus) -> Iterator[Metric]:
    for name, text, value in (
        ("checks", "Instances that the gateway checks itself.", checks.checked),
        ("checks_failing", "Own checks that fail.", checks.failing),
        ("checks_late_seconds", _LATE, checks.late),
    ):
        yield gauge(name, text, [((), float(value))])


def _full(full: tuple[FullStatus, ...]) -> Iterator[tuple[tuple[str], float]]:
    for reason in FULL:
        count = sum(each.processes for each in full if each.reason == reason)
        yield (reason,), float(count)


def _of_workers(workers: tuple[WorkerStatus, ...]) -> Iterator[Metric]:
    serving = sum(each.serves for each in workers)
    yield gauge("workers", "Worker processes; 0: one process does all.",
                [((), float(len(workers)))])  # fmt: skip
    yield gauge("workers_serving", "Worker processes that accept clients.",
                [((), float(serving))])  # fmt: skip
    label = ("worker",)
    yield gauge(
        "worker_connections_open", "Open connections of a worker.",
        [((str(each.number),), each.open) for each in workers], label,
    )  # fmt: skip
    yield counter(
        "worker_connections_accepted_total", "Clients accepted by a worker.",
        [((str(each.number),), each.accepted) for each in workers], label,
    )  # fmt: skip


def of_requests(counts: AdminCounts) -> Iterator[Metric]:
    """Metrics of requests to the admin listener itself."""
    text = "Requests to the admin listener, by kind and status code."
    rows = [((what, str(code)), count) for (what, code), count in counts.items()]
    yield counter("admin_requests_total", text, rows, ("what", "code"))


def of_watches(watches: list[WatchStatus]) -> Iterator[Metric]:
    """Metrics of the watches: age, size and errors of Consul's answers."""
    labels = {each: (each.query, each.service, each.datacenter) for each in watches}
    for name, text, field in (
        ("age_seconds", "Time since Consul last confirmed the answer in use.", "age"),
        ("instances", "Instances in the last valid answer.", "instances"),
        (
            "skipped_instances",
            "Instances skipped because they cannot be used.",
            "skipped",
        ),
        ("index", "Consul's index of the last valid answer.", "index"),
    ):
        samples = [(labels[each], getattr(each, field)) for each in watches]
        yield gauge(f"watch_{name}", text, samples, _WATCH)
    failing = [(labels[each], each.failing_since is not None) for each in watches]
    yield gauge(
        "watch_failing", "1 while Consul does not answer the query.", failing, _WATCH
    )
    for name, text, field in (
        ("answers_total", "Valid answers of Consul.", "answers"),
        ("changes_total", "Valid answers that changed something.", "changes"),
        ("errors_total", "Queries without a valid answer.", "errors"),
    ):
        samples = [(labels[each], getattr(each, field)) for each in watches]
        yield counter(f"watch_{name}", text, samples, _WATCH)


def of_mappings(mappings: list[MappingStatus]) -> Iterator[Metric]:
    """Metrics of mappings: connections, bytes, terminations, histograms."""
    rows = [((each.name, each.service), each) for each in mappings]
    for name, text, field in (
        ("mapping_listening", "1 if the mapping accepts clients.", "listening"),
        ("connections_open", "Open connections.", "open"),
        ("connections_queued", "Clients that wait for an upstream.", "queued"),
    ):
        samples = [(labels, getattr(each, field)) for labels, each in rows]
        yield gauge(name, text, samples, MAPPING)
    for name, text, field in (
        ("connections_accepted_total", "Clients accepted.", "accepted"),
        ("received_bytes_total", "Bytes received from clients.", "bytes_received"),
        ("sent_bytes_total", "Bytes sent to clients.", "bytes_sent"),
    ):
        samples = [(labels, getattr(each, field)) for labels, each in rows]
        yield counter(name, text, samples, MAPPING)
    yield from _certificates(mappings)
    yield _ended(mappings)
    limited = [
        ((each.name, each.service, limit), count)
        for each in mappings
        for limit, count in sorted(each.rate_limited.items())
    ]
    text = "Requests, or connections, beyond a rate limit; dry runs count as well."
    yield counter("rate_limited_total", text, limited, (*MAPPING, "limit"))
    splits = [
        ((*labels, each.split.of), each.split) for labels, each in rows if each.split
    ]
    for name, text, field in (
        ("split_wanted_ratio", "The share that a part of a split is to get.", "wanted"),
        ("split_got_ratio", "The share that it got with the present shares.", "got"),
    ):
        shares = [(labels, getattr(each, field)) for labels, each in splits]
        known = [each for each in shares if each[1] is not None]
        yield gauge(name, text, known, (*MAPPING, "of"))
    yield from _times(mappings)


def of_tags(mappings: list[TagMappingStatus]) -> Iterator[Metric]:
    """Metrics of the mappings whose routes are tags."""
    if not mappings:
        return
    for name, text, field in (
        ("routes", "Routes that are tags of services.", "routes"),
        ("problems", "Tags, and commands in Consul's KV, that are wrong.", "problems"),
        ("complete", "1 once all routes are known.", "complete"),
    ):
        samples = [((each.name,), getattr(each, field)) for each in mappings]
        yield gauge(f"tag_{name}", text, samples, ("mapping",))
    failing = [((each.name,), bool(each.error)) for each in mappings]
    text = "1 while Consul does not list the services."
    yield gauge("tag_list_failing", text, failing, ("mapping",))


def _certificates(mappings: list[MappingStatus]) -> Iterator[Metric]:
    ends = [
        ((each.name, each.service, certificate.source), certificate.not_after)
        for each in mappings
        for certificate in each.certificates
    ]
    text = "End of a certificate, in seconds since the epoch."
    labels = (*MAPPING, "certificate")
    yield gauge("certificate_expiry_timestamp_seconds", text, ends, labels)
    failing = [
        ((each.name, each.service), bool(each.certificates_error))
        for each in mappings
        if each.certificates_in_use or each.certificates_error
    ]
    text = "1 while newer certificates cannot be used."
    yield gauge("certificates_failing", text, failing, MAPPING)
    failing = [
        ((each.name, each.service), bool(each.passwords_error))
        for each in mappings
        if "basic-auth" in each.options and each.options["basic-auth"] != "off"
    ]
    text = "1 while the newer file of basic-auth cannot be used."
    yield gauge("passwords_failing", text, failing, MAPPING)


def _ended(mappings: list[MappingStatus]) -> Metric:
    ended = [
        ((each.name, each.service, termination), count)
        for each in mappings
        for termination, count in sorted(each.terminations.items())
    ]
    text = "Ended connections, by termination: docs/reference.md."
    return counter("connections_ended_total", text, ended, (*MAPPING, "termination"))


def _times(mappings: list[MappingStatus]) -> Iterator[Metric]:
    for name, text, field in (
        ("connect", "Time to connect to an upstream.", "connect_time"),
        ("first_byte", "Time from accept to the upstream's first byte.",
         "first_byte_time"),
        ("connection", "Time from accept to the end of the connection.",
         "connection_time"),
    ):  # fmt: skip
        rows = [((each.name, each.service), getattr(each, field)) for each in mappings]
        yield histogram(f"{name}_seconds", text, rows)


def histogram(
    name: str, text: str, samples: list[tuple[tuple[str, str], Histogram]]
) -> Metric:
    """A histogram by `MAPPING`."""
    family = HistogramMetricFamily(f"lbconsul_{name}", text, labels=MAPPING)
    for labels, each in samples:
        bounds = [floatToGoString(bound) for bound in each.bounds] + ["+Inf"]
        buckets = list(zip(bounds, accumulate(each.counts), strict=True))
        family.add_metric(list(labels), buckets, each.sum)
    return family


def of_standings(
    counts: dict[tuple[str, str, str], Counter[str]], used: dict[tuple[str, ...], bool]
) -> Iterator[Metric]:
    """Metrics of pools: upstreams by standing, and whether the pool is used."""
    labels = (*MAPPING, "query")
    samples = [
        ((*pool, standing), count.get(standing, 0))
        for pool, count in counts.items()
        for standing in (*STANDINGS, *(count.keys() - set(STANDINGS)))
    ]
    text = "Upstreams of a pool, by standing."
    yield gauge("pool_upstreams", text, samples, (*labels, "standing"))
    text = "1 if new connections go to the pool."
    yield gauge("pool_used", text, used.items(), labels)


def of_process(proc: Path = _PROC) -> Iterator[Metric]:
    """CPU time, memory and descriptors, under Prometheus' standard names.

    What the system does not report is left out.  prometheus_client's own collector
    counts open descriptors by listing them, which blocks the reactor for too long.
    """
    times = os.times()
    text = "User and system CPU time, in seconds."
    yield CounterMetricFamily("process_cpu_seconds", text, times.user + times.system)
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = "Limit of open descriptors."
    yield GaugeMetricFamily("process_max_fds", text, most)
    try:
        size, resident, *_ = map(int, (proc / "statm").read_text().split())
        # The number of descriptors, since Linux 6.2; 0 before.
        descriptors = (proc / "fd").stat().st_size
    except (OSError, ValueError):  # no /proc here
        return
    page = resource.getpagesize()
    text = "Resident memory size, in bytes."
    yield GaugeMetricFamily("process_resident_memory_bytes", text, resident * page)
    text = "Virtual memory size, in bytes."
    yield GaugeMetricFamily("process_virtual_memory_bytes", text, size * page)
    if descriptors:
        text = "Open descriptors."
        yield GaugeMetricFamily("process_open_fds", text, descriptors)
