"""Latency at a fixed rate that every balancer can serve with ease."""

import json
import subprocess
import sys
from collections.abc import Sequence

from attrs import frozen

from bench.compare import in_turn, once, started
from bench.plan import Plan
from bench.processes import REPOSITORY, Program
from bench.results import Results
from bench.stage import Stage
from bench.work import P50, P99, PACE, RATE, Measure

#: What the numbers are called that no balancer stands between.
DIRECT = "no balancer"

#: Requests a second that the generator, itself Python, sends without being late.
_MOST = 10_000

_CONNECTIONS = 64


@frozen
class Latency:
    """In microseconds, from the moment at which a request was due."""

    p50: float
    p99: float


def latency(stage: Stage, plan: Plan, results: Results) -> None:
    """p50 and p99 of each balancer, and of the web servers without one.

    Half load is half of what the slowest balancer of this run managed, so that
    the rate is the same for all and no balancer is near its limit.
    """
    with started(stage, plan, results, plan.peers) as programs:
        rate = _half_load(programs, plan, results)
        results.add(RATE, "all", rate)
        for number in range(plan.rounds):
            with results.noting(DIRECT):
                _keep(results, DIRECT, ask(stage.ports[0], rate, plan.seconds))
            for program in in_turn(programs, number):
                with results.noting(f"{program.name}, latency"):
                    found = ask(program.port, rate, plan.seconds)
                    _keep(results, program.name, found)


def _half_load(programs: list[Program], plan: Plan, results: Results) -> float:
    measure = PACE["keep-alive"]
    for program in programs:
        if results.median(measure, program.name) is None:
            with results.noting(f"{program.name}, saturation"):
                once(program, "keep-alive", min(plan.seconds, 2.0), results)
    return half_load(results, measure, [program.name for program in programs])


def half_load(results: Results, pace: Measure, names: Sequence[str]) -> float:
    """Half of what the slowest of these managed, in requests a second."""
    paces = [results.median(pace, name) for name in names]
    return min(_MOST, min(pace for pace in paces if pace) / 2)


def _keep(results: Results, name: str, found: Latency) -> None:
    results.add(P50, name, found.p50)
    results.add(P99, name, found.p99)


def ask(port: int, rate: float, seconds: float) -> Latency:
    """Ask at this rate, from a process of its own.

    :raises RuntimeError: the generator failed.
    """
    command = [sys.executable, "-m", "bench.fixed_rate", str(port), str(rate)]
    done = subprocess.run(
        [*command, str(seconds), str(_CONNECTIONS)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=seconds + 60,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    said = json.loads(done.stdout)
    return Latency(said["p50"], said["p99"])
