"""A million client addresses against a rate limit: its memory stays as it is."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from attrs import Factory, define

from bench.processes import tree
from chaos.row import Row
from chaos.rows.slow_clients import others
from chaos.scene import SERVICE, Scene
from chaos.traffic import p99
from tests.end_to_end.registrar import Registrar
from tests.support.gateway import Gateway
from tests.support.ports import free_ports

#: How many addresses come, in the full form and in the quick one.
ADDRESSES = (1_000_000, 60_000)

#: So many of them touch nearly all pages of the table.
FIRST = 20_000

#: What the limit lets one address do at once, and in a minute.
BURST, A_MINUTE = 5, 60

#: The seconds between two requests of an address that keeps below it.
EVERY = 1.5

#: What all of them may take of the gateway's memory, in MiB: the table has 16.  And
#: what it may grow once that is in use.
MOST, LATER = 24.0, 4.0

#: Requests that a connection sends before it reads the answers, and connections.
_AT_ONCE, _CONNECTIONS = 50, 4

_REQUEST = "GET / HTTP/1.1\r\nHost: web.example\r\nX-Forwarded-For: {}\r\n\r\n"

#: The gateway's own answer: no server is to limit the pace.
_SERVED, _LIMITED = b"308", b"429"


@define
class Proxy:
    """What stands in front of the gateway, and says who its clients are."""

    port: int
    statuses: Counter[bytes] = Factory(Counter)

    def ask(self, addresses: Iterable[str]) -> None:
        """Pass on one request of each of them, on one connection."""
        rest = iter(addresses)
        with socket.create_connection(("127.0.0.1", self.port), 60) as sock:
            while some := list(islice(rest, _AT_ONCE)):
                sock.sendall("".join(map(_REQUEST.format, some)).encode())
                said = b""
                while said.count(b"\r\n\r\n") < len(some):
                    data = sock.recv(1 << 18)
                    if not data:
                        raise EOFError(said[-500:])
                    said += data
                answers = said.split(b"HTTP/1.1 ")[1:]
                self.statuses.update(each[:3] for each in answers)


def play(scene: Scene) -> None:
    """Measure memory, and clients of another mapping, before and while they come."""
    agent, (port, limited) = scene.consul(), free_ports(2)
    registrar = Registrar(agent)
    for each in scene.servers():
        registrar.add(SERVICE, each)
    limit = f"rate-limit={A_MINUTE}/m;burst={BURST}"
    gateway = scene.gateway(
        f"--consul=127.0.0.1:{agent.port}",
        "--connection-log=off",
        f"--map={port}:{SERVICE}",
        f"--map={limited}:-,mode=http,redirect-https=on,trusted-proxies=127.0.0.1/32,"
        + limit,
    )
    report, count = scene.report, ADDRESSES[scene.quick]
    before = others(scene, port, scene.either(10.0, 3.0))
    empty = held(gateway)
    crowd = flood(limited, _addresses(0, FIRST))
    first = held(gateway)
    with patient(limited) as served:
        flooding = threading.Thread(
            target=lambda: crowd.update(flood(limited, _addresses(FIRST, count)))
        )
        flooding.start()
        meanwhile = others(scene, port, scene.either(20.0, 4.0))
        flooding.join()
    last = held(gateway)
    greedy = flood(limited, ["192.0.2.7"] * 40 * _CONNECTIONS)
    report.count(count, crowd[_LIMITED])
    report.at_least("addresses served", crowd[_SERVED], count)
    report.at_most("memory of all", (last - empty) / (1 << 20), MOST, "MiB")
    report.at_most("of that later", (last - first) / (1 << 20), LATER, "MiB")
    report.at_most("refused below the rate", served[_LIMITED], 0)
    report.at_least("served below the rate", served[_SERVED], 2)
    # It takes a few seconds at the most.
    report.at_most("served beyond the burst", greedy[_SERVED] - BURST, 10)
    # They come as fast as one process answers, which others feel.
    report.note("p99 before", 1000 * p99(before), "ms")
    report.note("p99 with them", 1000 * p99(meanwhile), "ms")
    report.at_most("failed of the others", len(meanwhile.failed()), 0)


def held(gateway: Gateway) -> int:
    """Bytes of memory that no file has, what processes share included."""
    lines = [
        line
        for pid in tree(gateway.pid)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    ]
    kinds = ("RssAnon:", "RssShmem:")
    return sum(1024 * int(each.split()[1]) for each in lines if each.startswith(kinds))


def flood(port: int, addresses: Sequence[str]) -> Counter[bytes]:
    """One request of each, as fast as they are answered; the statuses."""
    proxies = [Proxy(port) for _ in range(_CONNECTIONS)]
    threads = [
        threading.Thread(target=each.ask, args=[addresses[number::_CONNECTIONS]])
        for number, each in enumerate(proxies)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return sum((each.statuses for each in proxies), Counter[bytes]())


@contextmanager
def patient(port: int) -> Iterator[Counter[bytes]]:
    """An address that keeps below the rate, and the statuses that it gets."""
    proxy, is_over = Proxy(port), threading.Event()

    def ask() -> None:
        while True:
            proxy.ask(["192.0.2.1"])
            if is_over.wait(EVERY):
                return

    thread = threading.Thread(target=ask)
    thread.start()
    begun = time.monotonic()
    try:
        yield proxy.statuses
    finally:
        time.sleep(max(0.0, begun + 2 * EVERY - time.monotonic()))
        is_over.set()
        thread.join()


def _addresses(begin: int, end: int) -> list[str]:
    """Half of them are of IPv6: each is in a /64 of its own."""
    return [
        f"2001:db8:{each >> 16:x}:{each & 0xFFFF:x}::1"
        if each % 2
        else f"10.{each >> 16}.{each >> 8 & 255}.{each & 255}"
        for each in range(begin, end)
    ]


ROW = Row(
    "many-addresses",
    "a million client addresses come to a mapping with a rate limit",
    play,
)
