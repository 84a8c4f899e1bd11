"""What own checks of many instances cost: CPU in percent of a core, once all are known.

usage: python -m bench.own_checks [INSTANCES] [tcp|/PATH] [SECONDS] [RATE]

The instances are addresses of loopback, behind which one process answers; so the
kernel's part includes what it does for the other side, which no network card would ask
of this machine.
"""

import json
import os
import random
import signal
import socket
import sys
import time
from typing import Any

from twisted.internet import reactor as installed  # noqa: TID253 (a program)

from lbconsul.balance.instance import Identity, Instance
from lbconsul.balance.own_checks import CheckKey
from lbconsul.checks.checker import Checker
from lbconsul.config.check_spec import CheckSpec
from lbconsul.config.check_values import probe
from lbconsul.config.mapping_options import with_options
from lbconsul.config.model import Mapping

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


def serve(listening: socket.socket, speaks_http: bool) -> None:
    """Answer until the process is ended."""
    while True:
        client, _ = listening.accept()
        try:
            if speaks_http and client.recv(4096):
                client.sendall(_ANSWER)
            client.close()
        except OSError:
            pass


def targets(checker: Checker, count: int, what: str, port: int) -> None:
    """Have the checker check so many instances."""
    spec = CheckSpec.of(with_options(Mapping("web"), {"check": probe(what)}))
    assert spec is not None
    for number in range(count):
        address = f"127.{1 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"
        identity = Identity("dc1", f"node-{number}", f"web-{number}")
        instance = Instance(identity, address, port, address)
        checker.add(CheckKey.of(spec, instance), spec, instance, None)


def main(count: int, what: str, seconds: float, rate: float) -> None:
    """Check, measure, and print."""
    reactor: Any = installed
    listening = socket.create_server(("0.0.0.0", 0), backlog=4096)
    server = os.fork()
    if not server:
        serve(listening, what != "tcp")
    turned = [0]
    began = time.monotonic()
    at_first = dict[str, float]()

    def on_turned(target: object, before: bool | None) -> None:
        turned[0] += 1
        if turned[0] == count:
            at_first["all known after"] = round(time.monotonic() - began, 1)
            reactor.callLater(1.0, measure)

    def measure() -> None:
        cpu, at, done = time.process_time(), time.monotonic(), checker.done
        reactor.callLater(seconds, tell, cpu, at, done)

    def tell(cpu: float, at: float, before: int) -> None:
        used, spent = time.process_time() - cpu, time.monotonic() - at
        done = checker.done - before
        found = {
            "instances": count,
            "check": what,
            **at_first,
            "CPU in percent": round(100 * used / spent, 2),
            "checks a second": round(done / spent, 1),
            "microseconds a check": round(1e6 * used / done),
            "late": round(checker.late, 1),
            "failing": checker.failing,
        }
        print(json.dumps(found))
        reactor.stop()

    checker = Checker(reactor, random.random, on_turned, rate=rate)
    targets(checker, count, what, listening.getsockname()[1])
    reactor.callWhenRunning(checker.start)
    try:
        reactor.run()
    finally:
        os.kill(server, signal.SIGTERM)
        os.waitpid(server, 0)


if __name__ == "__main__":
    usual = ["10000", "/health", "20", "400"]
    given = sys.argv[1:] + usual[len(sys.argv) - 1 :]
    main(int(given[0]), given[1], float(given[2]), float(given[3]))
