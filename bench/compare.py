"""The comparison: the same work for each balancer in turn, several rounds."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from bench import load
from bench.peers.all import PEERS, on_interpreters
from bench.plan import Plan
from bench.processes import Program
from bench.results import Results
from bench.stage import Stage
from bench.work import ALL_WORK, CPU, PACE, WORK

T = TypeVar("T")


@contextmanager
def started(
    stage: Stage, plan: Plan, results: Results, names: Sequence[str]
) -> Iterator[list[Program]]:
    """The peers of these names, as many as do start."""
    starts = {**PEERS, **on_interpreters(plan.interpreters)}
    with ExitStack() as stack:
        programs = []
        for name in names:
            with results.noting(name):
                program = starts[name](stage, plan.most)
                stack.callback(program.stop)
                program.wait_until_serving()
                programs.append(program)
        yield programs


def compare(stage: Stage, plan: Plan, results: Results) -> None:
    """CPU for each kind of work, and how much of it was done."""
    with started(stage, plan, results, plan.peers) as programs:
        for number in range(plan.rounds):
            for work in [each for each in plan.work if each in WORK]:
                for program in in_turn(programs, number):
                    with results.noting(f"{program.name}, {work}"):
                        once(program, work, plan.seconds, results)


def in_turn(each: Sequence[T], number: int) -> list[T]:
    """All peers, each round starting with another one, so that the order varies."""
    begin = number % max(1, len(each))
    return [*each[begin:], *each[:begin]]


def once(program: Program, name: str, seconds: float, results: Results) -> None:
    """One load on one balancer."""
    work = WORK[name]
    before = program.cpu()
    done = load.run(program.port, work.path, work.connections, seconds, work.extra)
    keep(results, program, name, before, done)


def keep(
    results: Results, program: Program, name: str, before: float, done: load.Load
) -> None:
    """Keep what a load cost a balancer, whose CPU was `before` it, and its pace.

    :raises RuntimeError: nothing was answered.
    """
    used = program.cpu() - before
    if done.errors:
        results.trouble(f"{program.name}, {name}: {done.errors}")
    amount = ALL_WORK[name].amount(done)
    if not amount:
        raise RuntimeError("nothing was answered")
    results.add(CPU[name], program.name, used * 1e6 / amount)
    results.add(PACE[name], program.name, amount / done.duration)
