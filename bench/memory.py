"""Resident memory: at start, and of an idle connection."""

from collections.abc import Sequence

from bench.compare import started
from bench.idle import IdleConnections
from bench.plan import Plan
from bench.processes import Program
from bench.results import Results
from bench.stage import Stage
from bench.work import IDLE_MEMORY, START_MEMORY, Measure

#: So many are open before the others are counted: the first ones still fit into
#: what the balancer took at its start.
_FIRST = 100


def memory(stage: Stage, plan: Plan, results: Results) -> None:
    """Of each balancer, fresh from its start: what has run keeps what it has freed."""
    for name in plan.peers:
        with started(stage, plan, results, [name]) as programs:
            for program in programs:
                with results.noting(f"{name}, memory"):
                    _measure(program, plan, results)


def _measure(program: Program, plan: Plan, results: Results) -> None:
    results.add(START_MEMORY, program.name, program.memory() / (1 << 20))
    with IdleConnections(program.port) as idle:
        measure_idle(program, idle, plan.idle, results, IDLE_MEMORY)


def measure_idle(
    program: Program,
    idle: IdleConnections,
    counts: Sequence[int],
    results: Results,
    measure: Measure,
) -> None:
    """Open so many idle connections, and keep what each but the first ones takes."""
    idle.grow(_FIRST)
    before = program.memory()
    for count in counts:
        idle.grow(count)
        each = (program.memory() - before) / (count - _FIRST)
        results.add(measure, program.name, each / 1024, count)
