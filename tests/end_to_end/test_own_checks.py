"""The gateway's own checks: what Consul calls passing, and cannot be reached."""

import os
import signal
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.test_takeover import next_one
from tests.end_to_end.visits import visits
from tests.support.admin_side import AdminSide
from tests.support.certificates import Authority
from tests.support.lying_server import LyingServer, lying_server
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.workers import all_serve, pids

pytestmark = pytest.mark.consul

FAILING = "own check: GET /health: 503"

#: Checks that tell within a second.
QUICK = "check-interval=500ms,check-fast-interval=100ms,check-timeout=500ms"


@pytest.fixture
def liars() -> Iterator[list[LyingServer]]:
    """Two servers whose health endpoints say what a test wants."""
    with ExitStack() as stack:
        yield [stack.enter_context(lying_server(name)) for name in ("lia", "leo")]


def upstream(admin: AdminSide, name: str) -> Any:
    """The upstream of the first mapping whose server has this name."""
    found = admin.upstreams().items()
    return next(row for service_id, row in found if service_id.endswith(f"-{name}"))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_failing_check_is_seen_before_a_client_is_lost(
    stage: Stage, liars: list[LyingServer], workers: str, tmp_path: Path
) -> None:
    """What fails its check gets nothing, over a reload and a takeover, until it passes.

    Consul calls it passing all the time.
    """
    lia, _ = liars
    (port,) = free_ports(1)
    for each in liars:
        stage.add(each)
    socket, config = tmp_path / "lb.sock", tmp_path / "lb.toml"

    def say(more: str) -> None:
        mapping = f"{port}:{stage.service},check=/health,{QUICK}{more}"
        config.write_text(f'map = ["{mapping}"]\n')

    say("")
    admin = AdminSide(free_ports(1)[0])
    said = (
        f"--admin={admin.place}",
        f"--config={config}",
        f"--workers={workers}",
        f"--takeover={socket}",
    )
    first = stage.gateway(*said)
    assert visits(port, 10).keys() == {"lia", "leo"}
    eventually(lambda: lia.asked, "lia is checked")
    assert "Connection: close" in lia.asked[0]
    assert f"Host: 127.0.0.1:{lia.port}" in lia.asked[0]
    lia.health = 503
    first.wait_for(r"-lia@.* down: own check: GET /health: 503")
    eventually(lambda: visits(port, 10) == {"leo": 10}, "all go to leo")
    row = upstream(admin, "lia")
    assert (row["standing"], row["reason"]) == (
        "draining",
        "own check: GET /health: 503",
    )
    assert row["check"]["state"] == "failing"
    assert upstream(admin, "leo")["check"]["result"] == "GET /health: 200"

    if workers == "2":  # one that starts later is told, too
        ended = all_serve(first, 2)
        os.kill(ended[1], signal.SIGKILL)
        first.expect("worker 1 .* died")
        eventually(lambda: pids(first)[1] != ended[1], "another one serves")
        assert visits(port, 20) == {"leo": 20}

    say(",attempts=2")
    first.reload()
    first.wait_for("reloaded: 0 added, 1 altered")
    assert visits(port, 10) == {"leo": 10}

    second = next_one(stage.gateway, *said)
    second.wait_for("status, metrics and a page: ")
    assert upstream(admin, "lia")["reason"] == FAILING
    assert visits(port, 10) == {"leo": 10}
    assert not second.find(" down: ")

    lia.health = 204
    second.wait_for(r"-lia@.* up: own check: GET /health: 204")
    eventually(lambda: len(visits(port, 10)) == 2, "both serve")


def test_tls_upstreams_and_a_check_of_their_own_name(
    stage: Stage, tmp_path: Path
) -> None:
    """A check speaks TLS where clients' connections do, and verifies likewise: what has
    a certificate of another authority is out before a client meets it.
    """
    good, bad = Authority(tmp_path, "good"), Authority(tmp_path, "bad")
    with ExitStack() as stack:
        for name, authority in (("lia", good), ("leo", bad)):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            issued = authority.issue(f"{name}.internal", "127.0.0.1")
            context.load_cert_chain(issued.cert, issued.key)
            stage.add(stack.enter_context(lying_server(name, context)))
        (port,) = free_ports(1)
        gateway = stage.gateway(
            "--map",
            f"{port}:{stage.service},check=/health,{QUICK},check-init=down,"
            f"upstream-tls=on,upstream-ca={good.file}",
        )
        gateway.wait_for(r"-leo@.* down: own check: GET /health: TLS: .*certificate")
        eventually(lambda: visits(port, 10) == {"lia": 10}, "lia alone serves")
        assert not gateway.find("the TLS handshake with")
