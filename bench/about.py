"""On what the numbers were taken: machine, versions, date."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.interpreters import Interpreter, this_interpreter
from bench.peers.envoy import find_envoy
from bench.processes import REPOSITORY
from bench.stage import consul_binary


def about(interpreters: Sequence[Interpreter] = ()) -> dict[str, Any]:
    """What to write beside the numbers; lbconsul is also measured on these Pythons."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "processors": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "load average": os.getloadavg()[0],
        "versions": _versions(),
        "builds": {
            each.name: each.build for each in (this_interpreter(), *interpreters)
        },
    }


def _versions() -> dict[str, str]:
    found = {
        "python": sys.version.split()[0],
        "twisted": version("twisted"),
        "lbconsul": _commit(),
        "consul": _said(consul_binary(), "version"),
        "haproxy": _said("haproxy", "-v"),
        "nginx": _said("nginx", "-v"),
        "wrk": _said("wrk", "-v"),
    }
    envoy = find_envoy()
    return {**found, "envoy": _said(envoy, "--version")} if envoy else found


def _commit() -> str:
    """The commit that is measured; git is no need, so it may not be there."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    try:
        return _output(command).strip()
    except OSError:
        return "unknown"


def _said(*command: str) -> str:
    """The version in what a program says of itself."""
    return find_version(_output(command))


def find_version(said: str) -> str:
    """The first version of three numbers, with whatever hangs on it.

    Envoy says its path first, in which Python's version stands, of two.
    """
    found = re.search(r"\d+\.\d+\.\d+[^\s/]*", said)
    return found[0] if found else "unknown"


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr


def _cpu_model() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()
