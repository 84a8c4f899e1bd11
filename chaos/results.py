"""The results as files."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attrs import asdict

from chaos.report import Report
from chaos.scene import consul_binary
from chaos.table import summary, table
from tests.support.binaries import find_consul


def write(directory: Path, reports: Sequence[Report]) -> None:
    """Write ``tables.md`` and ``results.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    machine = about()
    rows = [asdict(each) | {"verdict": each.verdict} for each in reports]
    whole = {"about": machine, "rows": rows}
    text = json.dumps(whole, indent=1, ensure_ascii=False)
    (directory / "results.json").write_text(f"{text}\n")
    on = ", ".join(f"{key} {value}" for key, value in machine.items())
    page = f"{summary(reports)} ({on}).\n\n{table(reports)}"
    (directory / "tables.md").write_text(page)


def about() -> dict[str, Any]:
    """On what they were played."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processors": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "twisted": version("twisted"),
        "consul": _consul_version(),
    }


def _consul_version() -> str:
    if find_consul() is None:
        return "none"
    command = [consul_binary(), "version"]
    said = subprocess.run(command, capture_output=True, text=True).stdout
    found = re.search(r"\d+\.\d+\.\d+", said)
    return found[0] if found else "unknown"
