"""How long periodic work holds a turn of the reactor."""

import json
import subprocess
import sys
from typing import Any

from bench.plan import Plan
from bench.processes import REPOSITORY
from bench.results import Results
from bench.stage import Stage
from bench.work import (
    CLOSE_TIME,
    CLOSE_TURN,
    IDLE_CPU,
    IDLE_TURN,
    RELOAD_TIME,
    RELOAD_TURN,
)

_NAME = "lbconsul"

#: How much longer idle connections are measured than a load: there is less to see.
_IDLE = 2.5

#: Seconds after which a process hangs.
_PATIENCE = 120.0


def upkeep(stage: Stage, plan: Plan, results: Results) -> None:
    """At all sizes, each in a process of its own."""
    for _ in range(plan.rounds):
        for count in plan.held:
            with results.noting(f"{count} idle connections"):
                told = _held("idle", count, _IDLE * plan.seconds)
                results.add(IDLE_TURN, _NAME, told["longest"], count)
                results.add(IDLE_CPU, _NAME, told["cpu"], count)
            with results.noting(f"{count} connections closed at once"):
                told = _held("close", count)
                results.add(CLOSE_TURN, _NAME, told["longest"], count)
                results.add(CLOSE_TIME, _NAME, told["time"], count)
        for count in plan.reloaded:
            with results.noting(f"a reload of {count} mappings"):
                told = _held("reload", count, f"127.0.0.1:{stage.consul.port}")
                results.add(RELOAD_TIME, _NAME, told["time"], count)
                results.add(RELOAD_TURN, _NAME, told["longest"], count)


def _held(*what: Any) -> dict[str, float]:
    """What a process of `bench.held` prints."""
    command = [sys.executable, "-m", "bench.held", *map(str, what)]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=_PATIENCE
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-800:].strip())
    said: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return said
