"""Metrics of this process, under Prometheus' standard names.

prometheus_client's own collector counts open descriptors by listing them, which
blocks the reactor for too long.
"""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_PROC = Path("/proc/self")


def of_process(proc: Path = _PROC) -> Iterator[Metric]:
    """CPU time, memory and descriptors; what the system does not report is left out."""
    times = os.times()
    text = "Time of processors that was spent, by the program and the system for it."
    yield CounterMetricFamily("process_cpu_seconds", text, times.user + times.system)
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = "How many descriptors may be open."
    yield GaugeMetricFamily("process_max_fds", text, most)
    try:
        size, resident, *_ = map(int, (proc / "statm").read_text().split())
        # The number of descriptors, since Linux 6.2; 0 before.
        descriptors = (proc / "fd").stat().st_size
    except (OSError, ValueError):  # no /proc here
        return
    page = resource.getpagesize()
    text = "Memory that is in use."
    yield GaugeMetricFamily("process_resident_memory_bytes", text, resident * page)
    text = "Memory that is reserved."
    yield GaugeMetricFamily("process_virtual_memory_bytes", text, size * page)
    if descriptors:
        text = "How many descriptors are open."
        yield GaugeMetricFamily("process_open_fds", text, descriptors)
