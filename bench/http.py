"""HTTP mode: what a request costs, beside HAProxy, nginx and Envoy."""

from collections.abc import Sequence

from attrs import evolve

from bench import http_growth, load
from bench.compare import in_turn, keep
from bench.http_check import check
from bench.idle import IdleConnections
from bench.latency import DIRECT, ask, half_load
from bench.memory import measure_idle
from bench.peers.http_listeners import HTTP_PEERS, SAFE, chosen
from bench.peers.listeners import Listening
from bench.plan import Plan
from bench.results import Results
from bench.stage import SERVER_NAME, Stage
from bench.tls import say_ciphers, started
from bench.work import (
    HTTP_MEMORY,
    HTTP_P50,
    HTTP_P99,
    HTTP_RATE,
    HTTP_WORK,
    PACE,
)

#: The longest measurement, in seconds: there are many.
_SECONDS = 2.0

#: The work that says what half load is, and the one in which HAProxy's default for
#: upstream connections shows.
_KEPT, _NEW = "HTTP, keep-alive", "HTTP, new client connection"


def http(stage: Stage, plan: Plan, results: Results) -> None:
    """CPU of each kind of work, latency, memory, then how the cost grows."""
    names = chosen(plan.peers)
    todo = [name for name in plan.work if name in HTTP_WORK]
    with started(stage, plan, results, HTTP_PEERS, names) as found:
        peers = _checked(stage, found, todo, results)
        # Envoy takes the client's first choice: it has no setting for TLS 1.3's suites.
        say_ciphers([each for each in peers if each.name != "envoy"], results)
        for number in range(plan.rounds):
            for name in todo:
                for peer in in_turn(_doing(peers, name), number):
                    with results.noting(f"{peer.name}, {name}"):
                        _once(stage, peer, name, seconds(plan), results)
        with results.noting("HTTP, latency"):
            _latency(stage, plan, results, _doing(peers, _KEPT))
    good = [peer.name for peer in _doing(peers, _KEPT)]
    for name in good:
        _memory(stage, plan, results, name)
    http_growth.growth(stage, evolve(plan, peers=good), results)


def seconds(plan: Plan) -> float:
    """How long one measurement lasts."""
    return min(plan.seconds, _SECONDS)


def _checked(
    stage: Stage, peers: Sequence[Listening], todo: Sequence[str], results: Results
) -> list[Listening]:
    """Those that do all the work as it is meant."""
    good = []
    for peer in peers:
        with results.noting(f"{peer.name}, before it is measured"):
            own = [name for name in todo if HTTP_WORK[name].listener in peer.ports]
            check(stage, peer, own, reuses=peer.name != SAFE)
            good.append(peer)
    return good


def _doing(peers: Sequence[Listening], name: str) -> list[Listening]:
    """The peers that are measured with this work."""
    return [
        peer
        for peer in peers
        if HTTP_WORK[name].listener in peer.ports
        and (peer.name != SAFE or name == _NEW)
    ]


def _once(
    stage: Stage, peer: Listening, name: str, lasts: float, results: Results
) -> None:
    work = HTTP_WORK[name]
    port = peer.ports[work.listener]
    extra = list(work.extra)
    if work.script:
        extra += load.script(stage.home / "http.lua", work.script)
    origin = f"https://{SERVER_NAME}" if work.listener == "tls" else load.PLAIN
    before = peer.program.cpu()
    done = load.run(port, work.path, work.connections, lasts, extra, origin)
    keep(results, peer.program, name, before, done)
    peer.program.forget_output()


def _latency(
    stage: Stage, plan: Plan, results: Results, peers: Sequence[Listening]
) -> None:
    lasts = seconds(plan)
    for peer in peers:
        if results.median(PACE[_KEPT], peer.name) is None:
            _once(stage, peer, _KEPT, lasts, results)
    rate = half_load(results, PACE[_KEPT], [peer.name for peer in peers])
    results.add(HTTP_RATE, "all", rate)
    for number in range(plan.rounds):
        for name, port in (
            (DIRECT, stage.ports[0]),
            *((peer.name, peer.ports["plain"]) for peer in in_turn(peers, number)),
        ):
            with results.noting(f"{name}, HTTP, latency"):
                found = ask(port, rate, lasts)
                results.add(HTTP_P50, name, found.p50)
                results.add(HTTP_P99, name, found.p99)


def _memory(stage: Stage, plan: Plan, results: Results, name: str) -> None:
    """Of a balancer that has served nothing else, since freed memory is kept."""
    with started(stage, plan, results, HTTP_PEERS, [name]) as peers:
        for peer in peers:
            with (
                results.noting(f"{name}, HTTP, memory"),
                IdleConnections(peer.ports["plain"]) as idle,
            ):
                measure_idle(peer.program, idle, plan.idle, results, HTTP_MEMORY)
