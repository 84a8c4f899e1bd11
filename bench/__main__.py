"""``python -m bench``: measure, print the tables, write numbers and plots."""

import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from attrs import asdict, evolve

from bench import missing, plan
from bench.about import about
from bench.calls import calls
from bench.compare import compare
from bench.connections import connections
from bench.flapping import flapping
from bench.http import http
from bench.http_table import http_section
from bench.latency import latency
from bench.mappings import mappings
from bench.memory import memory
from bench.registry import registry
from bench.results import Results
from bench.stage import Stage, staged
from bench.summary import summary
from bench.table import tables
from bench.tls import tls
from bench.upkeep import upkeep

_PARTS: dict[str, Callable[[Stage, plan.Plan, Results], None]] = {
    "compare": compare,
    "tls": tls,
    "http": http,
    "latency": latency,
    "memory": memory,
    "calls": calls,
    "connections": connections,
    "registry": registry,
    "mappings": mappings,
    "upkeep": upkeep,
    "flapping": flapping,
}


def main() -> None:
    """Measure all that the options ask for, as far as it can be had here."""
    asked = plan.parse()
    if lacking := missing.needed():
        sys.exit("\n".join(f"bench: {sentence}" for sentence in lacking))
    results = Results(about(asked.interpreters))
    todo = _possible(asked, results)
    results.about["plan"] = asdict(todo, value_serializer=lambda *of: _plain(of[2]))
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, _interrupt)
    try:
        _measure(todo, results)
    except KeyboardInterrupt:
        results.trouble("interrupted: what follows is not all")
    finally:
        _tell(todo, results)


def _possible(asked: plan.Plan, results: Results) -> plan.Plan:
    todo, said = plan.within_limits(asked)
    without = {name: why for name, why in missing.left_out() if name in todo.peers}
    for sentence in [*said, *(f"no {name}: {why}" for name, why in without.items())]:
        results.trouble(sentence)
    return evolve(todo, peers=[each for each in todo.peers if each not in without])


def _measure(todo: plan.Plan, results: Results) -> None:
    with staged() as stage:
        for part in todo.parts:
            begun = time.monotonic()
            print(f"bench: {part} ... ", end="", file=sys.stderr, flush=True)
            with results.noting(part):
                _PARTS[part](stage, todo, results)
            print(f"{time.monotonic() - begun:.0f} s", file=sys.stderr)


def _tell(todo: plan.Plan, results: Results) -> None:
    earlier = Results.read(todo.output)
    if earlier and len(todo.parts) < len(plan.PARTS):
        results = results.beside(earlier)
    results.write(todo.output)
    sections = (summary(results), tables(results), http_section(results))
    text = "\n\n".join(filter(None, sections))
    (todo.output / "tables.md").write_text(text)
    print(text)
    if missing.can_draw():
        from bench.plots import draw

        draw(results, todo.output)
    else:
        print(f"bench: no plots without matplotlib: {missing.PIP} install matplotlib")
    print(f"bench: written to {todo.output}")


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    """Once: the second Ctrl-C must not keep us from ending our programs."""
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, signal.SIG_IGN)
    raise KeyboardInterrupt


def _plain(value: object) -> object:
    return value if isinstance(value, (int, float, str, list, tuple)) else str(value)


if __name__ == "__main__":
    main()
