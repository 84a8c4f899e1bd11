"""Where a gateway listens, and where the instances are that it finds."""

import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.stage import Stage
from tests.end_to_end.visits import eventually_shared, visit, visits
from tests.support.ports import free_ports
from tests.support.web_server import WebServer

pytestmark = pytest.mark.consul

#: Does what systemd does for a service with sockets, see sd_listen_fds(3): the
#: sockets are descriptors 3 and up, and the environment says for which process.
LIKE_SYSTEMD = """
import os, sys
names, count = sys.argv[1], int(sys.argv[2])
spare = [os.dup2(int(fd), 100 + n) for n, fd in enumerate(sys.argv[3 : 3 + count])]
for number, fd in enumerate(spare):
    os.dup2(fd, 3 + number)
    os.close(fd)
os.environ.update(LISTEN_FDS=str(count), LISTEN_FDNAMES=names)
os.environ.update(LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[3 + count], sys.argv[3 + count :])
"""


@pytest.fixture
def six() -> Iterator[WebServer]:
    """A web server on ::1."""
    with WebServer("six", "::1") as server:
        yield server


def test_ipv6_listening(stage: Stage) -> None:
    """An IPv6 address in brackets is listened on, and IPv4's stays free."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    stage.gateway("--map", f"[::1]:{port}:{stage.service}")
    assert visit(f"[::1]:{port}") == "anna"
    with pytest.raises(ConnectionRefusedError):
        visit(port)


def test_ipv6_any(stage: Stage) -> None:
    """One port can lead to different services over IPv4 and IPv6."""
    (port,) = free_ports(1)
    stage.registrar.add(f"{stage.service}-4", stage.servers[0])
    stage.registrar.add(f"{stage.service}-6", stage.servers[1])
    stage.gateway(f"{port}:{stage.service}-4", f"[::]:{port}:{stage.service}-6")
    assert visit(port) == "anna"
    assert visit(f"[::1]:{port}") == "bert"


def test_ipv6_upstream(stage: Stage, six: WebServer) -> None:
    """An instance with an IPv6 address is reached, from an IPv4 port."""
    (port,) = free_ports(1)
    stage.add(six)
    stage.gateway("--map", f"{port}:{stage.service}")
    assert visit(port) == "six"


def test_unix_socket(stage: Stage, tmp_path: Path) -> None:
    """A UNIX socket is listened on with the mode that is asked for; none is left."""
    usual, asked = tmp_path / "usual.sock", tmp_path / "asked.sock"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(usual))  # what a gateway that was killed leaves behind
    stage.add(stage.servers[0])
    maps = [
        f"unix:{usual}:{stage.service}",
        f"unix:{asked}:{stage.service},unix-mode=606",
    ]
    started = stage.gateway("--map", maps[0], "--map", maps[1])
    assert visit(str(usual)) == visit(str(asked)) == "anna"
    assert stat.S_IMODE(usual.stat().st_mode) == 0o660
    assert stat.S_IMODE(asked.stat().st_mode) == 0o606
    started.stop()
    assert not usual.exists()
    assert not asked.exists()


def test_systemd(stage: Stage, tmp_path: Path) -> None:
    """Sockets that systemd passes in are listened on, by name and by number."""
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        path = str(tmp_path / "activated.sock")
        unix.bind(path)
        unix.listen()
        passed = [tcp.fileno(), unix.fileno()]
        numbers = [str(fd) for fd in passed]
        prefix = [sys.executable, "-c", LIKE_SYSTEMD, "front:back", "2", *numbers]
        for server in stage.servers[:2]:
            stage.registrar.add(f"{stage.service}-{server.name}", server)
        maps = [
            f"systemd:front:{stage.service}-anna",
            f"systemd:1:{stage.service}-bert",
        ]
        stage.gateway(*maps, prefix=prefix, pass_fds=passed)
        assert visit(tcp.getsockname()[1]) == "anna"
        assert visit(path) == "bert"


def test_host_name(stage: Stage) -> None:
    """An instance may be registered under a host name."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0], Address="localhost")
    stage.gateway("--map", f"{port}:{stage.service},policy=roundrobin")
    eventually_shared(port, {"anna": 4})


def test_unfit_instances(stage: Stage) -> None:
    """Instances that cannot be backends are named once, and the others serve."""
    (port,) = free_ports(1)
    stage.add(stage.servers[0])
    stage.add(stage.servers[1], ID="portless", Port=0)
    proxy = {"DestinationServiceName": "x"}
    stage.add(stage.servers[1], ID="sidecar", Kind="connect-proxy", Proxy=proxy)
    stage.add(stage.servers[1], ID="lost", Address="nobody.invalid")
    started = stage.gateway("--map", f"{port}:{stage.service},policy=roundrobin")
    started.wait_for(r"host name nobody\.invalid cannot be resolved")
    stage.add(stage.servers[2])
    eventually_shared(port, {"anna": 3, "carl": 3})
    assert visits(port, 10) == {"anna": 5, "carl": 5}
    once = (
        r"skipped portless@.*: its port is 0$",
        r"skipped sidecar@.*: its kind is connect-proxy$",
        r"nobody\.invalid cannot be resolved",
    )
    assert [len(started.find(each)) for each in once] == [1, 1, 1]
