"""What a run is to do: the options."""

import argparse
import resource
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve, frozen

from bench.interpreters import HOW, Interpreter, NoInterpreter, interpreters
from bench.peers.all import PEERS, YARDSTICK, on_interpreters
from bench.work import ALL_WORK, WORK

#: The parts of the bench, in their order.
PARTS = (
    "compare",
    "tls",
    "http",
    "latency",
    "memory",
    "calls",
    "connections",
    "registry",
    "mappings",
    "upkeep",
    "flapping",
)

#: Descriptors that a balancer needs beside two for each connection.
_SPARE = 500


@frozen
class Plan:
    """The options, and the sizes that follow from them."""

    rounds: int = 5
    #: Of one measurement.
    seconds: float = 4.0
    work: Sequence[str] = tuple(ALL_WORK)
    peers: Sequence[str] = tuple(PEERS)
    #: Other Pythons that lbconsul is measured on.
    interpreters: Sequence[Interpreter] = ()
    parts: Sequence[str] = PARTS
    output: Path = Path("bench/results")
    #: Open connections whose CPU is measured, and idle ones whose memory is.
    connections: Sequence[int] = (10, 100, 1000, 9000)
    idle: Sequence[int] = (1000, 5000)
    upstreams: Sequence[int] = (10, 100, 1000, 10_000)
    mappings: Sequence[int] = (1, 200)
    #: Held connections, and mappings, whose upkeep is measured; without descriptors.
    held: Sequence[int] = (1000, 10_000, 50_000)
    reloaded: Sequence[int] = (10, 100, 1000, 2000)
    instances: int = 1000
    #: Clients, upstreams, routes in HTTP mode.
    http_clients: Sequence[int] = (10, 1000, 9000)
    http_upstreams: Sequence[int] = (3, 1000, 10_000)
    http_routes: Sequence[int] = (1, 1000, 10_000)

    @property
    def most(self) -> int:
        """The most connections that a balancer has to carry."""
        return max(*self.connections, *self.http_clients, *self.idle, 500) + 100


def parse(arguments: Sequence[str] | None = None) -> Plan:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="within three minutes")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of one measurement")
    for name, choices in (("work", ALL_WORK), ("peers", PEERS), ("only", PARTS)):
        parser.add_argument(
            f"--{name}", action="append", choices=choices, metavar=name.upper(),
            help=f"one of: {'; '.join(choices)}; may be given more than once",
        )  # fmt: skip
    parser.add_argument(
        "--python", action="append", default=[], metavar="PATH",
        help="measure lbconsul on this Python, too; may be given more than once. It has"
        f" to be in an environment with what lbconsul needs: {HOW}",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("bench/results"))
    told = parser.parse_args(arguments)
    plan = _QUICK if told.quick else Plan()
    try:
        others = interpreters(told.python)
    except NoInterpreter as error:
        parser.error(f"--python {error}")
    peers = _with_yardstick(told.peers or plan.peers)
    return evolve(
        plan,
        rounds=told.rounds or plan.rounds,
        seconds=told.seconds or plan.seconds,
        work=told.work or plan.work,
        peers=[*peers, *on_interpreters(others)],
        interpreters=others,
        parts=[each for each in PARTS if each in (told.only or plan.parts)],
        output=told.output,
    )


#: Peers that the quick form leaves out: they say least of a change to lbconsul.
_NOT_QUICK = ("haproxy, splice", "lbconsul, 2 workers")

#: The kinds of work on TLS that show most.
_QUICK_TLS = ("TLS, keep-alive", "TLS, full handshake", "TLS, 64 KiB bodies")

#: The kinds of work in HTTP mode that show most.
_QUICK_HTTP = ("HTTP, keep-alive", "HTTP, Cookie and target vary")

_QUICK = Plan(
    peers=[each for each in PEERS if each not in _NOT_QUICK],
    work=(*WORK, *_QUICK_TLS, *_QUICK_HTTP),
    rounds=1,
    seconds=1.0,
    connections=(10, 1000),
    idle=(500, 1000),
    upstreams=(10, 1000, 10_000),
    mappings=(1, 50),
    held=(1000, 50_000),
    reloaded=(10, 200),
    http_clients=(),
    http_upstreams=(),
    http_routes=(),
)


def _with_yardstick(peers: Sequence[str]) -> list[str]:
    """In their order, with the one that the ratios are to."""
    return [each for each in PEERS if each == YARDSTICK or each in peers]


def within_limits(plan: Plan) -> tuple[Plan, list[str]]:
    """Raise our limit of descriptors, and leave out what it does not allow.

    All programs of the bench inherit it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return fit(plan, hard)


def fit(plan: Plan, descriptors: int) -> tuple[Plan, list[str]]:
    """The plan without what needs more descriptors, and a sentence for each."""
    most = (descriptors - _SPARE) // 2
    counts = {*plan.connections, *plan.http_clients, *plan.idle}
    said = [
        f"{count} connections are left out: the hard limit of descriptors is"
        f" {descriptors}, and {2 * count + _SPARE} are needed (ulimit -Hn)"
        for count in sorted(counts)
        if count > most
    ]
    return evolve(
        plan,
        connections=[each for each in plan.connections if each <= most],
        idle=[each for each in plan.idle if each <= most],
        http_clients=[each for each in plan.http_clients if each <= most],
    ), said
