"""A large service that does not stand still: health and weights change all the time."""

import random
import threading
import time
from types import TracebackType
from typing import Any, Self

from bench import latency, window
from bench.connections import keep
from bench.peers.gateway import gateway
from bench.plan import Plan
from bench.processes import Program
from bench.results import Results
from bench.stage import Stage, check, instance, transact
from bench.work import FLAPPING_CPU, FLAPPING_P50, FLAPPING_P99, FLAPPING_SHARE

_NAME = "lbconsul"
_SERVICE = "flapping"

#: Changes a second.
CHANGES = 20

#: Requests a second while latency is measured.
_RATE = 2000.0

_WORKING = 32


class Flapping:
    """Changes instances in Consul, one after the other, while it is entered."""

    def __init__(self, stage: Stage, instances: int, changes: int) -> None:
        self._stage = stage
        self._instances = instances
        self._pause = 1 / changes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        #: How many it made, and what ended it too early.
        self.made = 0
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        dice = random.Random(1)
        due = time.monotonic()
        try:
            while not self._over.wait(max(0.0, due - time.monotonic())):
                transact(self._stage.consul, [self._change(dice)])
                self.made += 1
                due += self._pause
        except Exception as error:
            self.error = error

    def _change(self, dice: random.Random) -> dict[str, Any]:
        number = dice.randrange(self._instances)
        if dice.random() < 0.5:
            return check(_SERVICE, number, dice.choice(("passing", "critical")))
        port = self._stage.ports[number % len(self._stage.ports)]
        return instance(_SERVICE, number, port, weight=dice.randint(1, 5))


def flapping(stage: Stage, plan: Plan, results: Results) -> None:
    """lbconsul on such a service, first while it is still, then while it flaps."""
    with results.noting("flapping"):
        stage.register(_SERVICE, plan.instances)
        program = gateway(stage, _NAME, [_SERVICE], "--connection-log", "off")
        try:
            program.wait_until_serving()
            time.sleep(1)  # until what it did to start is done
            for _ in range(plan.rounds):
                _measure(stage, plan, results, program, 0)
                with Flapping(stage, plan.instances, CHANGES) as changes:
                    _measure(stage, plan, results, program, CHANGES)
                if changes.error:
                    raise changes.error
        finally:
            program.stop()


def _measure(
    stage: Stage, plan: Plan, results: Results, program: Program, changes: int
) -> None:
    seconds = 2 * plan.seconds
    before = program.cpu()
    time.sleep(seconds)
    share = (program.cpu() - before) / seconds
    results.add(FLAPPING_SHARE, _NAME, share * 100, changes)
    seen = window.measure(program, stage, _WORKING, plan.seconds)
    keep(results, FLAPPING_CPU, _NAME, seen, changes)
    # The catalog's own work takes processor time from all others: what the web
    # servers alone need meanwhile is the floor.
    for name, port in ((_NAME, program.port), (latency.DIRECT, stage.ports[0])):
        found = latency.ask(port, _RATE, plan.seconds)
        results.add(FLAPPING_P50, name, found.p50, changes)
        results.add(FLAPPING_P99, name, found.p99, changes)
