"""All peers by name, and those that can be run here."""

from collections.abc import Callable, Sequence
from functools import partial

from bench.interpreters import Interpreter
from bench.peers.envoy import envoy
from bench.peers.gateway import lbconsul, lbconsul_logging, lbconsul_two_workers
from bench.peers.haproxy import haproxy, haproxy_splice, haproxy_tcplog
from bench.peers.modules import bare_loop, portforward
from bench.peers.nginx import nginx
from bench.processes import Program
from bench.stage import Stage

#: The peer that all ratios are to.
YARDSTICK = "haproxy"

#: Starts a peer that is to carry so many connections.
Start = Callable[[Stage, int], Program]

PEERS: dict[str, Start] = {
    YARDSTICK: haproxy,
    "haproxy, splice": haproxy_splice,
    "haproxy, tcplog": haproxy_tcplog,
    "nginx stream": nginx,
    "envoy": envoy,
    "portforward": portforward,
    "bare loop": bare_loop,
    "lbconsul": lbconsul,
    "lbconsul, logging": lbconsul_logging,
    "lbconsul, 2 workers": lbconsul_two_workers,
}


def on_interpreters(interpreters: Sequence[Interpreter]) -> dict[str, Start]:
    """lbconsul on each of these Pythons, without and with its log."""
    return {
        f"{name}, {each.name}": partial(start, python=each)
        for each in interpreters
        for name, start in (
            ("lbconsul", lbconsul),
            ("lbconsul, logging", lbconsul_logging),
        )
    }
