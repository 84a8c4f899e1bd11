"""What a gateway tells of HTTP requests is true, over all its processes."""

from collections import Counter
from http.client import HTTPConnection

import pytest

from tests.end_to_end.stage import Stage
from tests.support.admin_side import AdminSide
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul

#: Clients, and the requests of each.
CLIENTS, REQUESTS = 6, 5


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_request_is_counted(stage: Stage, workers: str) -> None:
    """
    Each request counts by class, for its mapping and its instance; idle connections are
    shown while they are kept; one that no instance could answer is among the last
    unhappy ones, without its query.
    """
    port, lone, admin_port = free_ports(3)
    for server in stage.servers[:2]:
        stage.add(server)
    admin = AdminSide(admin_port)
    web, empty = f"{port}:{stage.service}", f"{lone}:{stage.service}-none"
    gateway = stage.gateway(
        *("--workers", workers, f"--admin={admin_port}"),
        *("--map", f"{web},mode=http,keep-idle-time=1h"),
        *("--map", f"{empty},mode=http"),
        wait="listening",
    )
    if workers != "1":
        all_serve(gateway, int(workers))
    connections = [HTTPConnection("127.0.0.1", port) for _ in range(CLIENTS)]
    statuses = Counter[int]()
    for number in range(REQUESTS):
        for connection in connections:
            connection.request("GET", "/none?a=b" if number == 0 else "/")
            response = connection.getresponse()
            response.read()
            statuses[response.status] += 1
    assert statuses == {200: CLIENTS * (REQUESTS - 1), 404: CLIENTS}
    alone = HTTPConnection("127.0.0.1", lone)
    alone.request("GET", "/basket?secret", headers={"Host": "shop.example"})
    assert alone.getresponse().status == 503

    def is_told() -> bool:
        first, other = admin.status()["mappings"]
        told = sum(first["http"]["requests"].values())
        return bool(told == CLIENTS * REQUESTS and other["unhappy"])

    eventually(is_told, "all requests are told")
    first, other = admin.status()["mappings"]
    http, rows = first["http"], first["pools"][0]["upstreams"]
    assert http["requests"]["2xx"] == CLIENTS * (REQUESTS - 1)
    assert http["requests"]["4xx"] == CLIENTS
    assert (http["active"], http["retries"], first["unhappy"]) == (0, 0, [])
    assert 0 < http["idle_connections"] <= CLIENTS
    assert http["reused"] == CLIENTS * REQUESTS - sum(row["total"] for row in rows)
    assert 0 < http["first_byte_p50"] <= http["first_byte_p99"]
    for kind in ("2xx", "4xx"):
        told = sum(row["http"]["requests"][kind] for row in rows)
        assert told == http["requests"][kind]
    for way in ("bytes_received", "bytes_sent"):
        assert sum(row[way] for row in rows) == first[way]
    head = f" HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept-Encoding: identity\r\n\r\n"
    asked = CLIENTS * (REQUESTS * len(f"GET /{head}") + len("none?a=b"))
    assert first["bytes_received"] == asked
    assert sum(first["request_time"]["counts"]) == CLIENTS * REQUESTS
    [unhappy] = other["unhappy"]
    assert (unhappy["method"], unhappy["host"]) == ("GET", "shop.example")
    assert (unhappy["path"], unhappy["status"]) == ("/basket", 503)
    assert unhappy["client"].startswith("127.0.0.1:")
    assert (
        other["http"]["requests"]["5xx"] == other["http"]["refused"].popitem()[1] == 1
    )
    text = admin.get("/metrics").body
    assert f'lbconsul_requests_total{{class="4xx",mapping="{web}' in text
    assert "shop.example" not in text
    assert "basket" not in text
    for connection in (*connections, alone):
        connection.close()
