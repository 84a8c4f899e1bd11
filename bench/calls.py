"""How many functions of Python and of the kernel a connection or a request calls."""

import shutil

from bench.peers.http_listeners import HTTP_PEERS, SAFE, chosen
from bench.plan import Plan
from bench.results import Results
from bench.stage import Stage
from bench.system_calls import per_request
from bench.tls import started
from bench.work import CALLS, HTTP_CALLS, HTTP_SYSCALLS
from tests.support.python_calls import calls_per_connection, calls_per_request


def calls(stage: Stage, plan: Plan, results: Results) -> None:
    """Exact figures, so once is enough; Python's are counted in-process."""
    results.add(CALLS, "lbconsul", calls_per_connection(logs=False))
    results.add(CALLS, "lbconsul, logging", calls_per_connection(logs=True))
    with results.noting("lbconsul, HTTP, Python calls"):
        results.add(HTTP_CALLS, "lbconsul", calls_per_request(logs=True, mode="http"))
    if not shutil.which("strace"):
        results.trouble("no system calls: strace is missing (apt-get install strace)")
        return
    for name in chosen(plan.peers):
        if name != SAFE:
            _system_calls(stage, plan, results, name)


def _system_calls(stage: Stage, plan: Plan, results: Results, name: str) -> None:
    with started(stage, plan, results, HTTP_PEERS, [name]) as peers:
        for peer in peers:
            with results.noting(f"{name}, HTTP, system calls"):
                results.add(HTTP_SYSCALLS, name, per_request(peer.program))
