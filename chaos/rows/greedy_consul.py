"""What answers in Consul's place wants all of the gateway's memory and time."""

import gzip
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from chaos.false_consul import FalseConsul
from chaos.processes import measured, memory
from chaos.row import Row
from chaos.rows.consul_fails import telling
from chaos.scene import SERVICE, Scene
from chaos.traffic import require_faultless
from lbconsul.admin.client import Admin
from tests.support.gateway import Gateway
from tests.support.misbehaving import Scenario, Stage, always, body, flooding
from tests.support.ports import free_ports
from tests.support.script_server import Asked, Script, entry

#: Beside what it holds anyway, in MiB: an answer of 64 MiB is read, and some at the
#: same time.
MEMORY = 256.0

#: How late the reactor's calls may come, in seconds, or how many times as late as
#: before: the load and Consul's part are played on the same cores.
LAG = 1.0
TIMES = 4.0

_HEAD = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

#: Instances of a catalog that is greedy by its names, and how long these are.
_MANY, _LONG = 200, 20_000


def without_end(begin: bytes, more: bytes) -> Scenario:
    """An answer that begins so, and goes on so as fast as it can be written."""
    piece = more * (1 + 65_536 // len(more))

    def script(stage: Stage) -> Script:
        def go_on(asked: Asked) -> None:
            if not asked.gone:
                asked.write(piece)
                stage.clock.callLater(0.001, go_on, asked)

        def answer(asked: Asked) -> None:
            asked.write(begin)
            go_on(asked)

        return answer

    return Scenario(script)


def bomb(times: int) -> bytes:
    """Ten kilobytes that unpack to some ten gigabytes, or so, in as many steps."""
    packed = gzip.compress(bytes(10_000_000))
    for _ in range(times - 1):
        packed = gzip.compress(packed * 1000)
    return packed


def named(**of: Callable[[int], Any]) -> Scenario:
    """Instances of which these fields are long, and others in each answer."""

    def script(stage: Stage) -> Script:
        def answer(asked: Asked) -> None:
            begin = len(asked.server.asked) * _MANY
            entries = [
                entry(n, **{key: make(n) for key, make in of.items()})
                for n in range(begin, begin + _MANY)
            ]
            asked.answer(json.dumps(entries).encode(), begin)

        return answer

    return Scenario(script)


def _long(number: int) -> str:
    return f"{number}-".ljust(_LONG, "x")


WAYS: Mapping[str, Scenario] = {
    "packed": body(bomb(1), **{"Content-Encoding": "gzip"}),
    "packed-twice": body(bomb(2), **{"Content-Encoding": "gzip, gzip"}),
    "headers": without_end(_HEAD, b"X-More: %b\r\n" % (b"x" * 1000)),
    "short-headers": without_end(_HEAD, b"a:\n"),
    "one-header": without_end(_HEAD + b"X:", b"x"),
    "status-line": without_end(b"HTTP/1.1 200 ", b"x"),
    "interim": without_end(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "body": Scenario(flooding),
    "crumbs": without_end(_CHUNKED, b"1\r\n[\r\n"),
    "chunk-size": without_end(_CHUNKED, b"0"),
    "trailers": without_end(_CHUNKED + b"0\r\n", b"X: y\r\n"),
    "lists": body(b"[" + b"[]," * 5_000_000 + b"[]]"),
    "objects": body(b'[{"Node":{' + b'"x":[],' * 2_000_000 + b'"y":1}}]'),
    "depth": body(b"[" * 1_000_000),
    "digits": body(b"[" + b"9" * 1_000_000 + b"]"),
    "ids": named(ID=_long),
    "hosts": named(Address=_long),
    "tags": named(Tags=lambda n: [_long(n)] * 5),
    "many-tags": named(Tags=lambda n: [str(each) for each in range(n, n + 3000)]),
    "names": named(ID=lambda n: f"{n}-".ljust(255, "y")),
    "surrogates": named(ID=lambda n: f"\udc80{n}", Address=lambda n: f"\ud800{n}"),
    "resets": Scenario(always(Asked.reset)),
}


def play(scene: Scene) -> None:
    """All of them at once, while another service is served."""
    servers = scene.servers()
    consul_port, admin_port, port, *ports = free_ports(3 + len(WAYS))
    services = [SERVICE, *WAYS]
    consul = scene.enter(FalseConsul(consul_port, services, telling(servers)))
    gateway = scene.gateway(
        f"--consul=127.0.0.1:{consul_port}",
        f"--admin=127.0.0.1:{admin_port}",
        f"--map={port}:{SERVICE}",
        *(f"--map={p}:{name}" for p, name in zip(ports, WAYS, strict=True)),
    )
    admin = Admin(f"127.0.0.1:{admin_port}")
    time.sleep(1.5)  # the buckets are full again
    before, log = memory(gateway), len(gateway.log())
    with (
        scene.traffic(port, new=2, kept=2, pause=0.02) as traffic,
        measured(gateway) as span,
    ):
        _, usual = watched(gateway, admin, scene.either(10.0, 4.0))
        consul.misbehave(dict(WAYS))
        most, lag = watched(gateway, admin, scene.either(25.0, 8.0))
        outcome = traffic.stop()
    report = scene.report
    report.note("ways", len(WAYS))
    report.at_most("memory grown", (most - before) / 2**20, MEMORY, "MiB")
    report.note("reactor late before", usual, "s")
    report.at_most("reactor late", lag, max(LAG, TIMES * usual), "s")
    report.note("CPU", span.percent, "%")
    line = max(map(len, gateway.log()[log:].splitlines()), default=0)
    report.at_most("longest line of log", line / 1024, 8.0, "KiB")
    require_faultless(report, outcome)
    consul.behave(telling(servers[1:]))
    gateway.wait_for(rf" info {SERVICE}: 1 left ")


def watched(gateway: Gateway, admin: Admin, seconds: float) -> tuple[int, float]:
    """The most memory that is used within so many seconds, and the worst lag."""
    most, lag, end = 0, 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        most = max(most, memory(gateway))
        status: dict[str, Any] = admin.status()["gateway"]
        lag = max(lag, status["reactor_lag"])
        time.sleep(0.2)
    return most, lag


ROW = Row(
    "greedy-consul",
    f"Consul answers in {len(WAYS)} ways that would take all memory or time",
    play,
)
