"""Play Autobahn's WebSocket cases against a server, directly and through a gateway.

    python3 -m tests.autobahn [--cases 1.* 2.3 ...]

The gateway is in HTTP mode, once with one worker and once with two.  It fails if any
case is worse through it each time: the suite waits a second for some answers, however
busy the machine is.  The cases are all but those of compression (12 and 13), which the
suite's own server does not know.  The reports are in .cache/autobahn-reports.

It needs a Consul, and Python 2.7 or PyPy 2.7; without the latter nothing is played,
and it says so.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.autobahn.verdicts import Cases, summary, worse
from tests.autobahn.wstest import Failed, Missing, WsTest, find_python
from tests.end_to_end.registrar import Place, Registrar
from tests.support.binaries import REPOSITORY, find_consul
from tests.support.consul_agent import ConsulAgent
from tests.support.gateway import Gateway
from tests.support.ports import free_ports
from tests.support.workers import all_serve

REPORTS = REPOSITORY / ".cache" / "autobahn-reports"

CASES = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*")

DIRECT = "direct"

#: How often cases are played again that were worse: what some of them show depends on
#: whether an answer or the end of the connection comes first, directly as well.
ROUNDS = 4

#: Their names in the report, and their workers.
GATEWAYS = {"gateway": 1, "gateway-2-workers": 2}


def main() -> int:
    """Play the cases, print what came of it, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.autobahn")
    parser.add_argument("--cases", nargs="+", default=CASES, metavar="CASE")
    cases = parser.parse_args().cases
    try:
        suite = WsTest(find_python())
        suite.install()
        consul = _consul()
    except Missing as lacking:
        print(f"SKIPPED: {lacking}; no case of Autobahn was played", file=sys.stderr)
        return 0
    try:
        played = play(suite, consul, cases)
        for _ in range(ROUNDS):
            bad = {name: worse(played[DIRECT], played[name]) for name in GATEWAYS}
            again = sorted({case for each in bad.values() for case in each})
            if not again:
                break
            print(f"played again: {', '.join(again)}")
            found = play(suite, consul, again)
            for name, worse_ones in bad.items():
                newer = {case: found[name][case] for case in worse_ones}
                played[name] = {**played[name], **newer}
    except Failed as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    return judge(played)


def judge(played: dict[str, Cases]) -> int:
    """Print what came of the cases, and return the exit status."""
    direct, status = played[DIRECT], 0
    print(f"{DIRECT}: {summary(direct)}")
    for name in GATEWAYS:
        print(f"{name}: {summary(played[name])}")
        for case, how in worse(direct, played[name]).items():
            print(f"FAILED: {name}: {case}: {how}")
            status = 1
    return status


def play(suite: WsTest, consul: str, cases: Sequence[str]) -> dict[str, Cases]:
    """Play these cases, and return what Autobahn says of each agent.

    :raises Failed: they were not played to the end.
    """
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    (port,) = free_ports(1)
    with suite.echo_server(port, REPORTS / "server.log"), gateways(
        consul, port
    ) as through:  # fmt: skip
        ports = {DIRECT: port, **through}
        spec = REPORTS / "spec.json"
        spec.write_text(json.dumps(specification(ports, cases)))
        suite.play(spec, REPORTS / "client.log")
    index: dict[str, Cases] = json.loads((REPORTS / "index.json").read_text())
    if not (index.keys() == ports.keys() and index[DIRECT]):
        raise Failed(f"no case like {' '.join(cases)} was played")
    return index


def specification(ports: dict[str, int], cases: Sequence[str]) -> dict[str, object]:
    """What Autobahn is to play."""
    return {
        "outdir": str(REPORTS),
        "servers": [
            {"agent": name, "url": f"ws://127.0.0.1:{port}"}
            for name, port in ports.items()
        ],
        "cases": list(cases),
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }


@contextmanager
def gateways(consul: str, server: int) -> Iterator[dict[str, int]]:
    """Gateways before a server; the port of each."""
    ports = dict(zip(GATEWAYS, free_ports(len(GATEWAYS)), strict=True))
    with ExitStack() as stack:
        agent = stack.enter_context(ConsulAgent(consul))
        Registrar(agent).add("websocket", Place("echo", server))
        for name, port in ports.items():
            workers = GATEWAYS[name]
            home = stack.enter_context(tempfile.TemporaryDirectory())
            told = [f"--consul=127.0.0.1:{agent.port}", f"--workers={workers}"]
            # The server refuses a Host with another port than its own.
            host = "upstream-host=address"
            mapping = f"--map={port}:websocket,mode=http,{host}"
            gateway = stack.enter_context(Gateway(Path(home), *told, mapping))
            if workers > 1:
                all_serve(gateway, workers)
        yield ports


def _consul() -> str:
    if consul := find_consul():
        return consul
    raise Missing(
        "no Consul binary: set $CONSUL to one, or fetch it with `make consul`"
    )


if __name__ == "__main__":
    sys.exit(main())
