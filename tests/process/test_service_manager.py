"""What a process tells its service manager, and what that wants to know."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.logger import capturedLogs, formatEvent

from lbconsul.process.service_manager import (
    NotifySocket,
    inheritable,
    notify_socket,
    watchdog_interval,
)
from tests.support.waiting import PATIENCE

#: More than any queue of datagrams holds.
MANY = 5000


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    """The socket of a service manager, which has a path or a name when it is bound."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        yield sock


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_addresses(manager: socket.socket, tmp_path: Path, kind: str) -> None:
    """The socket of the service manager has a path, or an abstract name."""
    name = str(tmp_path / "notify") if kind == "path" else f"@lbconsul-{os.getpid()}"
    manager.bind(name.replace("@", "\0", 1))
    notify = notify_socket({"NOTIFY_SOCKET": name})
    assert notify is not None
    notify.send("READY=1", "STATUS=für alle")
    assert manager.recv(4096).decode() == "READY=1\nSTATUS=für alle"
    notify.close()


def test_without_a_service_manager() -> None:
    """A process without a service manager has no socket to tell it anything."""
    assert notify_socket({}) is None


@pytest.mark.parametrize("address", ["vsock:2:1234", "relative", "@"])
def test_other_addresses(address: str) -> None:
    """An address of another kind is logged, and the process goes on."""
    with capturedLogs() as events:
        assert notify_socket({"NOTIFY_SOCKET": address}) is None
    assert [formatEvent(each) for each in events] == [
        f"NOTIFY_SOCKET={address}: neither a path nor @ and a name: the service manager"
        " is told nothing"
    ]


def test_a_service_manager_that_does_not_read(
    manager: socket.socket, tmp_path: Path
) -> None:
    """Messages wait without holding up the process; the oldest are dropped."""
    manager.bind(str(tmp_path / "notify"))
    notify = NotifySocket(str(tmp_path / "notify"))
    for number in range(MANY):
        notify.send(f"STATUS={number}")
    was_clear = notify.is_clear
    got: list[bytes] = []
    while not got or got[-1] != b"STATUS=%d" % (MANY - 1):
        got.append(manager.recv(100))
        notify.flush()
    assert (was_clear, notify.is_clear) == (False, True)
    assert got[0] == b"STATUS=0"
    assert got[-16:] == [b"STATUS=%d" % each for each in range(MANY - 16, MANY)]
    notify.close()


def test_a_service_manager_that_is_gone(tmp_path: Path) -> None:
    """It is logged once that the service manager is gone."""
    notify = NotifySocket(str(tmp_path / "notify"))
    with capturedLogs() as events:
        notify.send("READY=1")
        notify.send("WATCHDOG=1")
    assert [formatEvent(each) for each in events] == [
        f"NOTIFY_SOCKET={tmp_path}/notify: cannot be sent to: No such file or directory"
    ]
    assert notify.is_clear
    notify.close()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "17"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "18"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_watchdog(environ: dict[str, str], seconds: float) -> None:
    """A watchdog waits for the process that its variables name, or for any."""
    assert watchdog_interval(environ, 17) == seconds


def test_inheritable() -> None:
    """A successor tells the same service manager, and has the same watchdog."""
    kept = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "1000", "PATH": "/bin"}
    own = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a"}
    assert inheritable(kept | own | {"WATCHDOG_PID": "1"}) == kept
