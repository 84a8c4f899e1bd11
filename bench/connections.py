"""CPU per request as open connections grow: all busy, or nearly all idle."""

from bench import window
from bench.compare import in_turn, started
from bench.idle import IdleConnections
from bench.peers.all import YARDSTICK
from bench.plan import Plan
from bench.processes import Program
from bench.results import Results
from bench.stage import Stage
from bench.work import BUSY, IDLE, Measure

#: Who is measured: the yardstick and ours.
_PEERS = (YARDSTICK, "lbconsul", "lbconsul, 2 workers")

#: The connections that work beside the idle ones.
_WORKING = 32


def connections(stage: Stage, plan: Plan, results: Results) -> None:
    """Both curves.

    Where all are busy, many are ready at each turn and a turn's cost is shared;
    where nearly all are idle, nothing is shared, and what is only open shows.
    """
    names = [each for each in plan.peers if each in _PEERS]
    with started(stage, plan, results, names) as programs:
        for number in range(plan.rounds):
            for count in plan.connections:
                for program in in_turn(programs, number):
                    what = f"{program.name}, {count}"
                    with results.noting(f"{what} busy connections"):
                        _busy(stage, plan, results, program, count)
                    with results.noting(f"{what} idle connections"):
                        _idle(stage, plan, results, program, count)


def _busy(
    stage: Stage, plan: Plan, results: Results, program: Program, count: int
) -> None:
    stage.wait_until_quiet()
    seen = window.measure(program, stage, count, plan.seconds)
    keep(results, BUSY, program.name, seen, count)


def _idle(
    stage: Stage, plan: Plan, results: Results, program: Program, count: int
) -> None:
    stage.wait_until_quiet()
    with IdleConnections(program.port) as idle:
        idle.grow(count)
        seen = window.measure(program, stage, _WORKING, plan.seconds)
    keep(results, IDLE, program.name, seen, count)


def keep(
    results: Results, measure: Measure, name: str, seen: window.Window, at: int
) -> None:
    """Keep a window's cost, and tell of its errors."""
    if seen.errors:
        results.trouble(f"{name}, {measure.title}, {at}: {seen.errors}")
    results.add(measure, name, seen.cost, at)
