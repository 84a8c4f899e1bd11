"""``python -m bench``: CPU microseconds per request, beside HAProxy's.

The machine may be noisy: each round measures every balancer in turn, and the
medians and their ratios are what to quote, not a throughput.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import peers
from tests.support.binaries import find_consul
from tests.support.consul_agent import ConsulAgent

#: What is asked: path, connections, and further arguments of wrk.
WORK: dict[str, tuple[str, int, Sequence[str]]] = {
    "keep-alive, small": ("small", 32, ()),
    "new connection each": ("small", 32, ("-H", "Connection: close")),
    "64 KiB bodies": ("64k", 32, ()),
    "100 MiB bodies": ("100m", 4, ()),
}

Figures = dict[tuple[str, str], list[float]]


def main() -> None:
    """Measure and print one table."""
    options = _options()
    missing = [name for name in ("haproxy", "nginx", "wrk") if not shutil.which(name)]
    binary = find_consul()
    if missing or not binary:
        sys.exit(
            f"bench: missing: {', '.join(missing) or 'Consul'}."
            " On Debian: apt-get install haproxy nginx-light wrk; Consul: make consul"
        )
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home.chmod(0o755)
        consul = stack.enter_context(ConsulAgent(binary))
        servers, ports = peers.web_servers(home, 3)
        stack.callback(servers.stop)
        peers.register(consul, ports)
        balancers = [
            peers.haproxy(home, ports),
            peers.haproxy(home, ports, splice=True),
            peers.lbconsul(consul, "--connection-log", "off"),
            peers.lbconsul(consul, name="lbconsul, logging"),
        ]
        for balancer in balancers:
            stack.callback(balancer.stop)
        _print(_measure(balancers, options), balancers)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of one measurement")
    parser.add_argument("--work", choices=WORK, action="append")
    return parser.parse_args()


def _measure(
    balancers: Sequence[peers.Running], options: argparse.Namespace
) -> Figures:
    figures: Figures = {}
    for _ in range(options.rounds):
        for work in options.work or WORK:
            for balancer in balancers:
                cost = _once(balancer, work, options.seconds)
                figures.setdefault((work, balancer.name), []).append(cost)
    return figures


def _once(balancer: peers.Running, work: str, seconds: int) -> float:
    """CPU microseconds per request."""
    path, connections, extra = WORK[work]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *extra]
    command += [f"http://127.0.0.1:{balancer.port}/{path}"]
    before = balancer.cpu()
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = balancer.cpu() - before
    match = re.search(r"(\d+) requests in", output)
    assert match, output
    errors = re.search(r"Socket errors: (.*)|Non-2xx.*: (\d+)", output)
    if errors and work != "100 MiB bodies":
        print(f"bench: {balancer.name}, {work}: {errors[0]}", file=sys.stderr)
    return used * 1e6 / max(1, int(match[1]))


def _print(figures: Figures, balancers: Sequence[peers.Running]) -> None:
    print("CPU microseconds per request, median (ratio to HAProxy's)")
    for work in dict.fromkeys(work for work, _ in figures):
        print(work)
        base = statistics.median(figures[work, "haproxy"])
        for balancer in balancers:
            median = statistics.median(figures[work, balancer.name])
            print(f"  {balancer.name:20} {median:12.1f} {median / base:8.2f}")


if __name__ == "__main__":
    main()
