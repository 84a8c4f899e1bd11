"""Metrics of this process."""

import os
import resource
from pathlib import Path

from lbconsul.admin.process import of_process


def _told(proc: Path) -> dict[str, float]:
    return {
        sample.name: sample.value
        for each in of_process(proc)
        for sample in each.samples
    }


def test_what_the_system_says(tmp_path: Path) -> None:
    """Time, memory and descriptors, under the names that all programs use."""
    (tmp_path / "statm").write_text("300 200 10 1 0 50 0\n")
    (tmp_path / "fd").write_text("x" * 17)  # so many are open, says its size
    told = _told(tmp_path)
    page = resource.getpagesize()
    assert told["process_virtual_memory_bytes"] == 300 * page
    assert told["process_resident_memory_bytes"] == 200 * page
    assert told["process_open_fds"] == 17
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert told["process_max_fds"] == most
    spent = sum(os.times()[:2])
    assert spent - 1 < told["process_cpu_seconds_total"] <= spent


def test_what_it_does_not_say(tmp_path: Path) -> None:
    """Older systems do not count descriptors; others have none of it."""
    names = {"process_cpu_seconds_total", "process_max_fds"}
    assert set(_told(tmp_path)) == names
    (tmp_path / "statm").write_text("nonsense")
    (tmp_path / "fd").touch()
    assert set(_told(tmp_path)) == names
    (tmp_path / "statm").write_text("300 200")
    assert "process_open_fds" not in _told(tmp_path)


def test_ourselves() -> None:
    """This very process has a size."""
    told = {each.name: each.samples[0].value for each in of_process()}
    assert told["process_resident_memory_bytes"] > 1 << 20
