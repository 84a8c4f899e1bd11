"""Limits hold over all processes of a gateway, and survive a reload."""

import os
import re
import socket
import threading
import time
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.test_reload import Running
from tests.support.admin_side import AdminSide
from tests.support.binaries import REPOSITORY
from tests.support.consul_agent import ConsulAgent
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul

#: Clients at a time, each with a connection for each request: all workers get some.
CLIENTS = 8


class Silent(NamedTuple):
    """A server that accepts connections and says what a test has it say."""

    host: str
    port: int
    name: str = "silent"


def flood(port: int, seconds: float, **headers: str) -> tuple[Counter[int], float]:
    """Statuses of requests that come as fast as they can, and how long they came."""
    statuses, begun = Counter[int](), time.monotonic()

    def ask() -> None:
        while time.monotonic() - begun < seconds:
            statuses[status(port, **headers)] += 1

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return statuses, time.monotonic() - begun


def status(port: int, source: str = "", **headers: str) -> int:
    """The status of one request on a connection of its own."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if source:
        fields["X-Forwarded-For"] = source
    try:
        connection.request("GET", "/", headers=fields)
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    return response.status


@pytest.mark.parametrize("workers", ["1", "2"])
def test_rates_over_all_processes(stage: Stage, workers: str, tmp_path: Path) -> None:
    """
    A client gets what its rate allows over all workers, no more and no less; each
    address that a trusted proxy names, an IPv6 /64, counts for itself. A reload that
    leaves the limit as it is goes on counting, one that alters it begins anew.
    """
    port, hourly, admin_port = free_ports(3)
    stage.add(stage.servers[0])
    common = "mode=http,trusted-proxies=127.0.0.1/32"
    fast = f"{port}:{stage.service},{common},rate-limit=50/s;burst=20"
    slow = f"{hourly}:{stage.service},{common},rate-limit=3/h"
    running = Running(
        lambda *words: stage.gateway(f"--admin={admin_port}", *words),
        tmp_path / "lbconsul.toml",
        workers,
        fast,
        slow,
    )
    running.gateway.expect("listening|balancing")
    assert status(port, "192.0.2.99") == 200
    statuses, seconds = flood(port, 2.0, X_Forwarded_For="192.0.2.1")
    assert set(statuses) == {200, 429}
    most = 20 + 50 * seconds
    # Two workers that admit one at the same moment may count one of both.
    assert 0.8 * (20 + 50 * 2.0) <= statuses[200] <= most + 2
    admin = AdminSide(admin_port)

    def is_told() -> bool:
        [told] = [
            each["rate_limited"]
            for each in admin.status()["mappings"]
            if each["name"].startswith(f"{port}:")
        ]
        return bool(told == {"50/s;burst=20": statuses[429]})

    eventually(is_told, "the status has all that were refused")
    pattern = r'lbconsul_rate_limited_total\{.*limit="50/s;burst=20".*\} (\d+)'
    [count] = re.findall(pattern, admin.get("/metrics").body)
    assert int(count) == statuses[429]
    for each in ("192.0.2.2", "2001:db8:0:1::1"):
        assert [status(hourly, each) for _ in range(4)] == [200, 200, 200, 429]
    assert status(hourly, "2001:db8:0:1:2::2") == 429
    assert status(hourly, "2001:db8:0:2::1") == 200
    running.reload(fast, f"{slow},via=on")
    assert status(hourly, "192.0.2.2") == 429
    running.reload(fast, f"{hourly}:{stage.service},{common},rate-limit=4/h")
    assert status(hourly, "192.0.2.2") == 200


#: A hook that holds up its process.
BLOCKING = """
import time

class Blocking:
    def on_accept(self, client):
        time.sleep(1.5)
"""


def test_overload(stage: Stage, consul: ConsulAgent, tmp_path: Path) -> None:
    """
    While its process is held up, a mapping turns a part of its requests away, and
    says so in log, events and status; it serves all of them afterwards.
    """
    port, slow, admin_port = free_ports(3)
    stage.add(stage.servers[0])
    (tmp_path / "blocking.py").write_text(BLOCKING)
    gateway = stage.gateway(
        f"--consul=127.0.0.1:{consul.port}",
        f"--admin={admin_port}",
        f"--map={port}:{stage.service},mode=http,shed-lag=800ms",
        f"--map={slow}:{stage.service},hooks=blocking:Blocking",
        env={"PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(tmp_path)])},
    )
    admin, is_over = AdminSide(admin_port), threading.Event()

    def hold_up() -> None:
        while not is_over.is_set():
            status(slow)

    holding = threading.Thread(target=hold_up)
    with admin.listening() as events:
        holding.start()
        try:
            eventually(lambda: status(port) == 503, "a request is turned away")
            assert events.wait_for("overloaded").data["mapping"].startswith(f"{port}:")
            eventually(
                lambda: (
                    [each["reason"] for each in admin.status()["gateway"]["full"]]
                    == ["shed-lag"]
                ),
                "the status says so",
            )
        finally:
            is_over.set()
            holding.join()
        events.wait_for("relieved")
    eventually(
        lambda: [status(port) for _ in range(10)] == [200] * 10, "all are served"
    )
    assert gateway.find("overloaded: this process is later than shed-lag=0.8s")
    assert gateway.find("no longer overloaded")
    assert gateway.find(" 503 .* RL .*reason=overloaded")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_connections_and_requests(stage: Stage, workers: str) -> None:
    """
    Without HTTP connections beyond the rate are reset; `max-requests` counts the
    requests under way in all workers, and what is over makes room.
    """
    tcp, http = free_ports(2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stage.add(Silent(*silent.getsockname()))
        gateway = stage.gateway(
            *("--workers", workers),
            *("--map", f"{tcp}:{stage.service},rate-limit=3/h"),
            *("--map", f"{http}:{stage.service},mode=http,max-requests=4"),
            wait="listening",
        )
        if workers != "1":
            all_serve(gateway, int(workers))
        served = [socket.create_connection(("127.0.0.1", tcp)) for _ in range(3)]
        accepted = [silent.accept()[0] for _ in served]
        with socket.create_connection(("127.0.0.1", tcp)) as refused:
            refused.settimeout(60)
            with pytest.raises(ConnectionResetError):
                refused.sendall(b"x")
                refused.recv(1)
        gateway.expect(r" PF$| PF ")
        clients = [HTTPConnection("127.0.0.1", http, timeout=60) for _ in range(4)]
        for number, each in enumerate(clients):
            each.request("GET", f"/{number}")
            accepted.append(silent.accept()[0])
        assert status(http) == 503
        # The one that has its answer makes room, in whatever worker.
        first = next(each for each in accepted[3:] if b"/0 " in each.recv(4096))
        first.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        response = clients[0].getresponse()
        assert (response.status, response.read()) == (200, b"")
        clients[0].request("GET", "/again")
        assert b"/again " in first.recv(4096)
        assert status(http) == 503
        for sock in (*served, *accepted):
            sock.close()
        for each in clients:
            each.close()
