"""TLS and the PROXY protocol: what each costs, beside HAProxy and nginx."""

import json
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from bench import load
from bench.compare import in_turn, keep
from bench.idle import IdleConnections
from bench.memory import measure_idle
from bench.peers.listeners import LISTENING, OVER_TLS, Listening
from bench.plan import Plan
from bench.processes import REPOSITORY, unverified
from bench.results import Results
from bench.stage import SERVER_NAME, Stage
from bench.work import TLS_MEMORY, TLS_WORK, Work

#: A header of version 2: TCP over IPv4, from 192.0.2.1:50000 to 192.0.2.2:443.
_HEADER = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack(
    "!BBH4s4sHH", 0x21, 0x11, 12, b"\xc0\0\2\1", b"\xc0\0\2\2", 50000, 443
)

#: Of new connections that are to resume a session, so many have to.
_RESUMED = 0.98


def tls(stage: Stage, plan: Plan, results: Results) -> None:
    """CPU of each kind of work, then the memory of an idle connection."""
    names = [name for name in plan.peers if name in LISTENING]
    todo = [name for name in plan.work if name in TLS_WORK]
    with started(stage, plan, results, LISTENING, names) as peers:
        say_ciphers(peers, results)
        for number in range(plan.rounds):
            for name in todo:
                for peer in in_turn(peers, number):
                    with results.noting(f"{peer.name}, {name}"):
                        _once(stage, peer, name, plan.seconds, results)
    for name in names:
        with started(stage, plan, results, LISTENING, [name]) as peers:
            for peer in peers:
                with (
                    results.noting(f"{name}, memory"),
                    IdleConnections(peer.ports["tls"], tls=True) as idle,
                ):
                    measure_idle(peer.program, idle, plan.idle, results, TLS_MEMORY)


@contextmanager
def started(
    stage: Stage,
    plan: Plan,
    results: Results,
    starts: Mapping[str, Callable[[Stage, int], Listening]],
    names: Sequence[str],
) -> Iterator[list[Listening]]:
    """The balancers of these names, as many as do start."""
    with ExitStack() as stack:
        peers = []
        for name in names:
            with results.noting(name):
                peer = starts[name](stage, plan.most)
                stack.callback(peer.program.stop)
                peer.wait_until_serving()
                peers.append(peer)
        yield peers


def say_ciphers(peers: Sequence[Listening], results: Results) -> None:
    """Costs can be compared only where all agree on the same version and suite."""
    agreed = {peer.name: agreed_on(peer.ports["tls"]) for peer in peers}
    if len(set(agreed.values())) > 1:
        results.trouble(f"not all agree on the same cipher: {agreed}")


def agreed_on(port: int) -> tuple[str, str]:
    """The TLS version and the cipher suite of a connection by OpenSSL's defaults."""
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        unverified().wrap_socket(plain, server_hostname=SERVER_NAME) as sock,
    ):
        suite = sock.cipher()
        assert suite is not None
        return sock.version() or "", suite[0]


def _once(
    stage: Stage, peer: Listening, name: str, seconds: float, results: Results
) -> None:
    work = TLS_WORK[name]
    port = peer.ports[work.listener]
    before = peer.program.cpu()
    if work.resumes:
        done = resumed(port, seconds, work.connections)
    else:
        done = _wrk(stage, port, work, seconds)
    keep(results, peer.program, name, before, done)


def _wrk(stage: Stage, port: int, work: Work, seconds: float) -> load.Load:
    extra = list(work.extra)
    if work.listener == "accept-proxy":
        extra += load.behind_header(stage.home / "header.lua", _HEADER)
    # A server name has to be a name, no address.
    origin = f"https://{SERVER_NAME}" if work.listener in OVER_TLS else load.PLAIN
    return load.run(port, work.path, work.connections, seconds, extra, origin)


def resumed(port: int, seconds: float, connections: int) -> load.Load:
    """New connections that resume sessions, from a process of its own.

    :raises RuntimeError: one failed, or too few were resumed.
    """
    command = [sys.executable, "-m", "bench.handshakes", str(port), str(seconds)]
    done = subprocess.run(
        [*command, str(connections)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=seconds + 60,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    said = json.loads(done.stdout)
    count, again = said["connections"], said["resumed"]
    # The first one of each client has nothing to resume.
    if again < _RESUMED * (count - connections):
        raise RuntimeError(f"only {again} of {count} connections were resumed")
    return load.Load(count, said["seconds"], 0)
