"""A gateway that is registered as an instance of what it serves."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import eventually_shared, is_closed_at_once, visits
from tests.support.admin_side import AdminSide
from tests.support.ports import free_ports
from tests.support.waiting import eventually
from tests.support.web_server import WebServer
from tests.support.workers import all_serve

pytestmark = pytest.mark.consul


def host_address() -> str:
    """An address of this host that is not loopback's, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.77", 9))
        except OSError:
            return "127.0.0.3"
        return str(probe.getsockname()[0])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_never_itself(stage: Stage, tmp_path: Path, workers: str) -> None:
    """
    Under whatever address it is registered, even its admin listener's or one that a
    reload adds, a gateway never connects to itself: it says so, and others serve.
    """
    port, added, admin_port = free_ports(3)
    admin = AdminSide(admin_port)
    stage.add(stage.servers[0])
    for number, (host, at) in enumerate(
        [
            ("127.0.0.1", port),
            ("127.0.0.2", port),
            ("localhost", port),
            (host_address(), port),
            ("127.0.0.1", admin_port),
            ("127.0.0.1", added),
        ]
    ):
        stage.add(
            stage.servers[0],
            ID=f"{stage.service}-own-{number}",
            Address=host,
            Port=at,
        )
    file = tmp_path / "lb.toml"
    mapping = f"{port}:{stage.service},policy=roundrobin,eject-after=0,shrink-guard=off"
    file.write_text(f"map = ['{mapping}']\n")
    options = ["--workers", workers, "--admin", str(admin_port), "--config", str(file)]
    started = stage.gateway(*options)
    if workers != "1":
        all_serve(started, int(workers))
    eventually(lambda: len(skipped(admin)) == 5, "it knows itself under five addresses")
    assert visits(port, 20) == {"anna": 20}

    file.write_text(f"map = ['{mapping}', '127.0.0.1:{added}:{stage.service}']\n")
    started.reload()
    eventually(lambda: len(skipped(admin)) == 6, "it knows what it listens on now")
    assert visits(port, 10) == visits(added, 10) == {"anna": 10}
    for number in (0, 4, 5):
        line = rf"skipped \S+-own-{number}@\S+ \S+: it is this gateway itself, which"
        assert len(started.find(line)) == 1

    before = accepted(admin)
    stage.registrar.remove(f"{stage.service}-anna")
    eventually(lambda: is_closed_at_once(port), "nobody is left")
    assert accepted(admin) - before < 500

    file.write_text(f"map = ['{mapping}']\n")
    started.reload()
    eventually(lambda: len(skipped(admin)) == 5, "what is not listened on is not it")
    with ExitStack() as stack:
        other = stack.enter_context(WebServer("otto", port=added))
        assert other.port == added
        eventually_shared(port, {"otto": 4})


def skipped(admin: AdminSide) -> list[str]:
    """What is skipped of the one service, as the status has it."""
    [watch] = admin.status()["watches"]
    assert watch["skipped"] == len(watch["skipped_instances"])
    return [each["reason"] for each in watch["skipped_instances"]]


def accepted(admin: AdminSide) -> int:
    """How many connections the gateway accepted."""
    return int(admin.status()["gateway"]["accepted"])


def test_upstream_allow(stage: Stage) -> None:
    """
    With networks named, no other instance is connected to, and the status says why.
    """
    port, admin_port = free_ports(2)
    admin = AdminSide(admin_port)
    stage.add(stage.servers[0])
    stage.add(stage.servers[1], Address="127.0.0.2", Port=stage.servers[1].port)
    mapping = f"{port}:{stage.service},upstream-allow=127.0.0.1,::1,policy=roundrobin"
    stage.gateway("--admin", str(admin_port), mapping)
    assert visits(port, 6) == {"anna": 6}
    [mapped] = admin.status()["mappings"]
    standings = {
        each["address"].partition(":")[0]: (each["standing"], each["reason"])
        for each in mapped["pools"][0]["upstreams"]
    }
    assert standings == {
        "127.0.0.1": ("serving", "passing"),
        "127.0.0.2": ("draining", "127.0.0.2 is in no network of upstream-allow"),
    }
