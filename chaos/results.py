"""The results as files."""

import json
import os
import platform
import re
import subprocess
from collections import defaultdict
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

_JSON = "results.json"

#: On what, and when, a row was played by itself.
_APART = "played"

#: Characters of a date without the time.
_DAY = 10


def write(directory: Path, reports: Sequence[Report]) -> None:
    """Write ``tables.md`` and ``results.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory, about(), list(map(_row, reports)))


def update(directory: Path, reports: Sequence[Report], order: Sequence[str]) -> None:
    """Replace these rows of the results that `write` left, or add them.

    `order` are the names of all rows there may be.
    """
    old = json.loads((directory / _JSON).read_text())
    rows = {each["name"]: each for each in old["rows"]}
    rows |= {each.name: _row(each) | {_APART: about()} for each in reports}
    listed = [rows[name] for name in order if name in rows]
    _write(directory, old["about"], listed)


def _row(report: Report) -> dict[str, Any]:
    return asdict(report) | {"verdict": report.verdict}


def _write(
    directory: Path, machine: dict[str, Any], rows: Sequence[dict[str, Any]]
) -> None:
    whole = {"about": machine, "rows": rows}
    text = json.dumps(whole, indent=1, ensure_ascii=False)
    (directory / _JSON).write_text(f"{text}\n")
    reports = [_report(each) for each in rows]
    page = f"{summary(reports)} ({_said(machine)}).\n"
    apart = defaultdict[str, list[str]](list)
    for row in rows:
        if played := row.get(_APART):
            apart[_said(played | {"date": played["date"][:_DAY]})].append(row["name"])
    for when, names in sorted(apart.items()):
        page += f"\nPlayed by themselves: {', '.join(names)} ({when}).\n"
    (directory / "tables.md").write_text(f"{page}\n{table(reports)}")


def _report(row: dict[str, Any]) -> Report:
    own = {key: row[key] for key in row if key not in ("verdict", _APART)}
    return Report.from_json(json.dumps(own))


def _said(machine: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in machine.items())


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
