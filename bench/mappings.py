"""One mapping and many: start, memory, CPU per request over all of them."""

import time
from collections.abc import Sequence

from bench import window
from bench.connections import keep
from bench.load import over_ports
from bench.peers.gateway import gateway
from bench.plan import Plan
from bench.processes import Program
from bench.results import Results
from bench.stage import SERVERS, Stage
from bench.work import MAPPINGS_CPU, MAPPINGS_MEMORY, MAPPINGS_START
from tests.support.ports import free_ports

_NAME = "lbconsul"


def mappings(stage: Stage, plan: Plan, results: Results) -> None:
    """Each mapping is of a service of its own, so that each has its watch."""
    services = [f"mapped-{number}" for number in range(max(plan.mappings))]
    for service in services:
        stage.register(service, SERVERS)
    for count in plan.mappings:
        with results.noting(f"{count} mappings"):
            _measure(stage, plan, results, services[:count])


def _measure(
    stage: Stage, plan: Plan, results: Results, services: Sequence[str]
) -> None:
    count = len(services)
    ports = free_ports(count)
    begun = time.monotonic()
    program = gateway(stage, _NAME, services, "--connection-log", "off", ports=ports)
    try:
        for port in ports:
            program.wait_until_serving(port)
        results.add(MAPPINGS_START, _NAME, time.monotonic() - begun, count)
        results.add(MAPPINGS_MEMORY, _NAME, program.memory() / (1 << 20), count)
        for _ in range(plan.rounds):
            _load(stage, plan, results, program, ports)
    finally:
        program.stop()


def _load(
    stage: Stage, plan: Plan, results: Results, program: Program, ports: Sequence[int]
) -> None:
    # As many threads and connections for one mapping as for many: the load is
    # to be the same.
    threads = max(plan.mappings)
    extra = over_ports(stage.home / "ports.lua", ports)
    extra += [f"-t{threads}"]
    seen = window.measure(program, stage, threads, plan.seconds, extra)
    keep(results, MAPPINGS_CPU, _NAME, seen, len(ports))
