"""How the cost of a request grows in HTTP mode: with clients, upstreams, routes."""

import random
import time
from collections.abc import Sequence

from attrs import evolve

from bench import load, window
from bench.browser import arguments, host, over_hosts
from bench.compare import in_turn
from bench.connections import keep
from bench.idle import IdleConnections
from bench.peers.http_listeners import GROWING, Behind, behind, growing
from bench.peers.listeners import Listening
from bench.plan import Plan
from bench.results import Results
from bench.stage import Stage
from bench.tls import started
from bench.work import (
    HTTP_BUSY,
    HTTP_IDLE,
    HTTP_LOOKUP,
    HTTP_ROUTES,
    HTTP_UPSTREAMS,
    Measure,
)
from lbconsul.http.fields import Fields
from lbconsul.http.router import Router

#: More rounds say no more of a curve's shape, and take long.
_ROUNDS = 3

#: The longest measurement, in seconds.
_SECONDS = 2.0

#: The connections that work, where it is not their number that grows.
_WORKING = 32

#: Lookups in one measurement.
_BLOCK = 20_000

#: How long a balancer runs before it is measured, in seconds: until it has a
#: connection to each of many upstreams.
_WARM_UP = {HTTP_UPSTREAMS: 3.0, HTTP_ROUTES: 1.0}


def growth(stage: Stage, plan: Plan, results: Results) -> None:
    """All curves, of HAProxy and of lbconsul."""
    shorter = evolve(
        plan,
        rounds=min(plan.rounds, _ROUNDS),
        seconds=min(plan.seconds, _SECONDS),
        peers=[name for name in GROWING if name in plan.peers],
    )
    _clients(stage, shorter, results)
    small = behind(stage)
    for count in plan.http_upstreams:
        service = f"http-{count}"
        stage.register(service, count)
        ports = [stage.ports[n % len(stage.ports)] for n in range(count)]
        _grown(stage, shorter, results, HTTP_UPSTREAMS, count, Behind(service, ports))
    for count in plan.http_routes:
        for _ in range(plan.rounds):
            results.add(HTTP_LOOKUP, "lbconsul", lookup(count), count)
        routed = evolve(small, hosts=count)
        _grown(stage, shorter, results, HTTP_ROUTES, count, routed)


def lookup(hosts: int) -> float:
    """Microseconds in which the route of a host is found, in-process."""
    router = Router({host(number): number for number in range(hosts)})
    fields = Fields(b"\r\n", 1)
    asked = random.Random(1).choices(
        [host(number) for number in range(hosts)], k=_BLOCK
    )
    begun = time.perf_counter()
    for name in asked:
        router.find(name, b"/small", b"GET", fields)
    return (time.perf_counter() - begun) * 1e6 / _BLOCK


def _clients(stage: Stage, plan: Plan, results: Results) -> None:
    """All of them busy, and nearly all of them idle."""
    starts = growing(behind(stage))
    with started(stage, plan, results, starts, plan.peers) as peers:
        for number in range(plan.rounds):
            for count in plan.http_clients:
                for peer in in_turn(peers, number):
                    what = f"{peer.name}, HTTP, {count}"
                    with results.noting(f"{what} busy clients"):
                        _look(stage, plan, results, peer, HTTP_BUSY, count, count)
                    with (
                        results.noting(f"{what} idle clients"),
                        IdleConnections(peer.ports["plain"]) as idle,
                    ):
                        idle.grow(count)
                        _look(stage, plan, results, peer, HTTP_IDLE, count, _WORKING)


def _look(
    stage: Stage,
    plan: Plan,
    results: Results,
    peer: Listening,
    measure: Measure,
    count: int,
    busy: int,
) -> None:
    others = 0 if busy == count else count
    seen = window.measure(
        peer.program, stage, busy, plan.seconds, arguments(), pooled=others
    )
    keep(results, measure, peer.name, seen, count)
    peer.program.forget_output()


def _grown(
    stage: Stage,
    plan: Plan,
    results: Results,
    measure: Measure,
    count: int,
    given: Behind,
) -> None:
    """One balancer at a time: each may have all connections that there can be."""
    extra: Sequence[str] = arguments()
    if given.hosts:
        extra = load.script(stage.home / "hosts.lua", over_hosts(given.hosts))
    starts = growing(given)
    for number in range(plan.rounds):
        for name in in_turn(plan.peers, number):
            stage.wait_until_quiet()
            with started(stage, plan, results, starts, [name]) as peers:
                for peer in peers:
                    with results.noting(f"{name}, {measure.title}, {count}"):
                        seen = window.measure(
                            peer.program, stage, _WORKING, plan.seconds, extra,
                            pooled=0, warm_up=_WARM_UP[measure],
                        )  # fmt: skip
                        keep(results, measure, name, seen, count)
